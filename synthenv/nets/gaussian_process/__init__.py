"""Exact Gaussian processes for every room: kernels, conditioning with missing rows, likelihoods."""
