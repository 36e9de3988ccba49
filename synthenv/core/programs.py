"""Compiled programs of a process that compiles many."""

import gc
from pathlib import Path

import jax

MOST_MAPS = 30_000


def forget_programs(most_maps: int = MOST_MAPS) -> None:
    """Let go of all compiled programs if memory maps become many: each holds some, and Linux allows 65,530 a process.

    Args:
        most_maps: as many may stay.
    """
    if num_maps() > most_maps:
        jax.clear_caches()
        gc.collect()


def num_maps() -> int:
    """Memory maps of this process; 0 where nobody counts them."""
    try:
        return Path("/proc/self/maps").read_bytes().count(b"\n")
    except OSError:
        return 0
