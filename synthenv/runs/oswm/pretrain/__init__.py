"""``synthenv oswm pretrain``: training the world models that have weights."""
