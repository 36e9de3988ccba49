"""Choosing before anything is trained, and what such a choice is worth."""
