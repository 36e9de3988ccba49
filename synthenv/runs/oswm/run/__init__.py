"""``synthenv oswm run``: agents trained in a dream of a few real transitions."""
