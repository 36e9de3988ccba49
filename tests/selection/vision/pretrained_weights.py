"""Tests with real weights skip where the package with them is not installed."""

import pytest

from synthenv.selection.vision.hub import Weights, is_installed, load_pretrained


def real_weights(name: str) -> Weights:
    """The weights of a network of the hub."""
    if not is_installed(name):
        pytest.skip(f"needs the package with the weights of {name}")
    return load_pretrained(name)
