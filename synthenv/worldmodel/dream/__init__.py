"""A world model as an environment: its resets, steps and ends."""
