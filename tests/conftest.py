"""Strict JAX for every test: one CPU device, rank promotion raises, compiled programs cached per user."""

import gc
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

os.environ.setdefault("JAX_PLATFORMS", "cpu")
# Threads of OpenBLAS wait for each other by spinning: on busy cores an eigendecomposition takes 40 times as long.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import hypothesis
import jax
import pytest

REPO = Path(__file__).resolve().parents[1]
CACHE = Path(os.environ.get("SYNTHENV_CACHE_DIR", "~/.cache/synthenv")).expanduser() / "jax"

jax.config.update("jax_numpy_rank_promotion", "raise")
jax.config.update("jax_debug_nans", False)
jax.config.update("jax_compilation_cache_dir", str(CACHE))
jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.3)

# The first example of a jitted property compiles, so a deadline would measure the compiler.
hypothesis.settings.register_profile("synthenv", deadline=None)
hypothesis.settings.register_profile("ci", deadline=None, derandomize=True)
hypothesis.settings.load_profile("ci" if "CI" in os.environ else "synthenv")


@pytest.fixture(autouse=True)
def _rank_promotion(request: pytest.FixtureRequest) -> Iterator[None]:
    """Relax the rule for tests marked ``rank_promotion_ok``; fixtures of wider scope stay strict."""
    marked = request.node.get_closest_marker("rank_promotion_ok") is not None
    with jax.numpy_rank_promotion("allow" if marked else "raise"):
        yield


@pytest.fixture(autouse=True, scope="module")
def _forget_programs() -> Iterator[None]:
    """XLA maps memory for every program, and Linux allows a process 65,530 maps: the whole suite needs more."""
    yield
    jax.clear_caches()
    gc.collect()


@pytest.fixture
def run_on_devices() -> Callable[..., str]:
    """Run Python code in a process of its own with simulated CPU devices, and return what it printed."""

    def run(code: str, num_devices: int = 8) -> str:
        flags = f"{os.environ.get('XLA_FLAGS', '')} --xla_force_host_platform_device_count={num_devices}"
        done = subprocess.run(
            [sys.executable, "-c", code],
            cwd=REPO,
            env=os.environ | {"JAX_PLATFORMS": "cpu", "XLA_FLAGS": flags.strip()},
            capture_output=True,
            text=True,
            timeout=300,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    return run
