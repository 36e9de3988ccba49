"""Random learning curves for a transformer to learn from: networks, curves, orders of training, tasks."""
