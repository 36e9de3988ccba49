"""Policies that algorithms share, or that are too long to stand beside theirs."""
