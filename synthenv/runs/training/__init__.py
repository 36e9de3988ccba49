"""Agents trained and tested in places by name."""
