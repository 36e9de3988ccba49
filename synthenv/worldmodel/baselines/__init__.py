"""Baselines that a world model has to beat: persistence, ridge regression, Gaussian processes."""
