"""A transformer that reads and forecasts learning curves."""
