"""``synthenv list``: what commands can be told by name."""
