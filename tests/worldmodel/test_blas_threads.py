"""Experts are fitted with one BLAS thread, whoever calls and however early."""

import os
import subprocess
import sys

import numpy as np
from threadpoolctl import threadpool_info, threadpool_limits

from synthenv.worldmodel.experts import world_model as experts_model
from synthenv.worldmodel.experts.world_model import Arrays, fit_arrays


def threads() -> set[int]:
    """Of all BLAS libraries that are loaded."""
    return {library["num_threads"] for library in threadpool_info() if library["user_api"] == "blas"}


def test_the_fit_has_one_thread_and_leaves_the_others(monkeypatch):
    seen = []

    def fit(*arrays):
        seen.append(threads())
        return arrays[0]

    monkeypatch.setattr(experts_model, "_fit", fit)
    with threadpool_limits(2, user_api="blas"):
        rows = np.ones((4, 2))
        fit_arrays(Arrays(rows, rows, rows, rows[:, 0], rows[:, 0] > 0))
        assert threads() == {2}
    assert seen == [{1}]


def test_the_library_is_there_before_anything_is_compiled():
    """A limit says nothing to a library that is loaded afterwards."""
    code = (
        "import synthenv.worldmodel.experts.world_model, threadpoolctl as t\n"
        "libraries = lambda: {x['filepath'] for x in t.threadpool_info() if x['user_api'] == 'blas'}\n"
        "before = libraries()\n"
        "import jax, jax.numpy as jnp\n"
        "jax.jit(jnp.linalg.eigh)(jnp.eye(3))\n"
        "print(libraries() - before)"
    )
    environment = os.environ | {"JAX_PLATFORMS": "cpu"}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment)
    assert done.stdout.strip() == "set()", done.stderr
