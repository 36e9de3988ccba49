"""Surrogates that rank configurations from meta-features alone."""
