"""Searches on tables of past runs: how they decide, and what they come to."""
