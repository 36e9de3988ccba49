"""What the agents share: schedules, replay, exploration, hyperparameters, stopping."""
