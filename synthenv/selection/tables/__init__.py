"""Past runs as arrays: meta-data sets, hyperparameters, meta-features, folds."""
