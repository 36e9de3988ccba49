"""Strict JAX for every test: one CPU device, rank promotion raises, compiled programs cached per user."""

import gc
import json
import os
import platform
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

os.environ.setdefault("JAX_PLATFORMS", "cpu")
# Threads of OpenBLAS wait for each other by spinning: on busy cores an eigendecomposition takes 40 times as long.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
# Nearly all of the suite's time is compilation, of programs that run for milliseconds: unoptimized they cost a third.
# ``make test-long`` sets XLA_FLAGS to nothing, so that long runs are optimized as everywhere else.
os.environ.setdefault(
    "XLA_FLAGS",
    "--xla_backend_optimization_level=0 --xla_cpu_use_fusion_emitters=false --xla_cpu_parallel_codegen_split_count=1",
)
# Those that a command adds: cached programs go by all flags, and so tests and commands share theirs.
os.environ["XLA_FLAGS"] += " --xla_force_host_platform_device_count=1 --xla_cpu_multi_thread_eigen=false"
# Commands run inside of tests leave this alone, too: without optimization few programs take the 0.3 s of a command.
os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "0.05")

import hypothesis
import jax
import pytest

from synthenv.core import registry
from synthenv.core.programs import forget_programs

REPO = Path(__file__).resolve().parents[1]
FLAGS = os.environ["XLA_FLAGS"]
CACHE = Path(os.environ.get("SYNTHENV_CACHE_DIR", "~/.cache/synthenv")).expanduser() / "jax"

jax.config.update("jax_numpy_rank_promotion", "raise")
jax.config.update("jax_debug_nans", False)
jax.config.update("jax_compilation_cache_dir", str(CACHE))

# The first example of a jitted property compiles, so a deadline would measure the compiler.
hypothesis.settings.register_profile("synthenv", deadline=None)
hypothesis.settings.register_profile("ci", deadline=None, derandomize=True)
hypothesis.settings.load_profile("ci" if "CI" in os.environ else "synthenv")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--record", metavar="FILE", help="write what every test came to, and where, as JSON")


def pytest_terminal_summary(terminalreporter: Any, config: pytest.Config) -> None:
    """Write the file of ``--record``: a test's outcome is its worst one of setup, call and teardown."""
    if config.getoption("record") is None:
        return
    tests = {}
    for outcome in ("passed", "skipped", "failed", "error"):
        for report in terminalreporter.stats.get(outcome, []):
            tests[report.nodeid] = {"outcome": outcome, "seconds": round(report.duration, 1)}
    commit = subprocess.run(
        ["git", "describe", "--always", "--dirty"], cwd=REPO, capture_output=True, text=True
    )
    told = {
        "date": time.strftime("%Y-%m-%d"),
        "commit": commit.stdout.strip(),
        "machine": f"{os.cpu_count()} cores, {platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        "jax": jax.__version__,
        "tests": dict(sorted(tests.items())),
    }
    Path(config.getoption("record")).write_text(json.dumps(told, indent=1) + "\n")


def pytest_collection_finish() -> None:
    """Every collection of garbage would walk the million objects of all modules again: a 20th of the suite's time."""
    registry._extensions.clear()  # what test modules have registered is no extension that a user has imported
    gc.freeze()
    gc.set_threshold(50_000, 20, 20)


@pytest.fixture(autouse=True)
def _flags(monkeypatch: pytest.MonkeyPatch) -> None:
    """No process that a test starts inherits what a command inside of an earlier test was asked for."""
    monkeypatch.setenv("XLA_FLAGS", FLAGS)


@pytest.fixture(autouse=True)
def _registries() -> Iterator[None]:
    """What a test registers is gone after it."""
    entries = {kind: dict(known._entries) for kind, known in registry._REGISTRIES.items()}
    extensions, loaded, typed_in = list(registry._extensions), dict(registry._loaded), set(registry._typed_in)
    yield
    for kind, known in registry._REGISTRIES.items():
        if kind in entries:
            known._entries = entries[kind]
    registry._extensions[:] = extensions
    registry._loaded, registry._typed_in = loaded, typed_in
    for name in [name for name in sys.modules if name.startswith("my_")]:
        del sys.modules[name]


@pytest.fixture(autouse=True)
def _rank_promotion(request: pytest.FixtureRequest) -> Iterator[None]:
    """Relax the rule for tests marked ``rank_promotion_ok``; fixtures of wider scope stay strict."""
    marked = request.node.get_closest_marker("rank_promotion_ok") is not None
    with jax.numpy_rank_promotion("allow" if marked else "raise"):
        yield


@pytest.fixture(autouse=True, scope="module")
def _forget_programs() -> Iterator[None]:
    yield
    forget_programs(40_000)  # what follows finds many of them again


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
