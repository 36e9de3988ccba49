"""How results look: the terminal and figures."""
