"""The paper's transformer, and its pretraining."""
