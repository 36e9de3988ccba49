"""Tasks that only gymnasium has: stepped on the host, inside compiled loops and outside of them."""
