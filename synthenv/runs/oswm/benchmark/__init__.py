"""``synthenv oswm benchmark``: the paper's tables."""
