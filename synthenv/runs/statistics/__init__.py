"""Summaries of many numbers: histograms, densities and intervals."""
