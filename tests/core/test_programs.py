"""Letting go of compiled programs."""

import jax
import pytest

from synthenv.core import programs


@pytest.mark.parametrize(("num_maps", "is_full"), [(100, False), (101, True)])
def test_programs_are_forgotten_when_maps_become_many(num_maps, is_full, monkeypatch):
    cleared = []
    monkeypatch.setattr(programs, "num_maps", lambda: num_maps)
    monkeypatch.setattr(jax, "clear_caches", lambda: cleared.append(True))
    programs.forget_programs(100)
    assert bool(cleared) == is_full


def test_maps_are_counted():
    """A process that has loaded JAX has hundreds; a system that counts none is no error."""
    assert programs.num_maps() == 0 or programs.num_maps() > 100
