"""``synthenv tune``: studies over the hyperparameters of searches."""
