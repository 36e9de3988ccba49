"""``synthenv oswm``: one-shot world models."""
