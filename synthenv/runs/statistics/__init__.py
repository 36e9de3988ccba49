"""What many numbers come to: histograms and densities."""
