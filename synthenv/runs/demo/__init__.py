"""``synthenv demo``: the shortest tour."""
