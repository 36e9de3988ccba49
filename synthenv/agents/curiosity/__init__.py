"""Intrinsic curiosity around any agent."""
