"""What commands make of the caller's environment: precision, caches, platforms."""

import os
import pwd
import subprocess
import sys
from pathlib import Path

import jax
import pytest

from synthenv.core.errors import UserError
from synthenv.runs import jax_setup
from synthenv.runs.storage import environment

SETTINGS = """
import sys
from synthenv.runs.jax_setup import configure_jax
configure_jax()
import jax, os
names = ("jax_enable_x64", "jax_default_prng_impl", "jax_numpy_rank_promotion", "jax_compilation_cache_dir")
print([getattr(jax.config, name) for name in names], os.environ.get("JAX_ENABLE_X64"))
"""


def settings(**variables: str) -> str:
    """What a process with these variables of the environment ends up with."""
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("JAX_", "XLA_", "SYNTHENV_"))
    }
    done = subprocess.run(
        [sys.executable, "-c", SETTINGS],
        env=kept | {"JAX_PLATFORMS": "cpu", "PYTHONPATH": str(Path(__file__).parents[2])} | variables,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_commands_decide_their_own_precision_and_obey_jax_s_cache(tmp_path):
    asked = {
        "JAX_ENABLE_X64": "1",
        "JAX_DEFAULT_PRNG_IMPL": "rbg",
        "JAX_NUMPY_RANK_PROMOTION": "raise",
        "JAX_COMPILATION_CACHE_DIR": str(tmp_path / "theirs"),
        "SYNTHENV_CACHE_DIR": str(tmp_path / "ours"),
    }
    got = settings(**asked)
    assert got == f"[False, 'threefry2x32', 'allow', '{tmp_path / 'theirs'}'] False", "children inherit it"
    assert not (tmp_path / "ours").exists()


def test_the_cache_is_optional(tmp_path, monkeypatch):
    monkeypatch.setenv("SYNTHENV_CACHE_DIR", str(tmp_path / "ours"))

    def nobody(uid):
        raise KeyError(uid)

    monkeypatch.setattr(pwd, "getpwuid", nobody)
    monkeypatch.delenv("HOME")
    with pytest.raises(RuntimeError):
        Path.home()
    assert jax_setup._cache() == tmp_path / "ours" / "jax"
    monkeypatch.delenv("SYNTHENV_CACHE_DIR")
    assert jax_setup._cache() is None
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("SYNTHENV_CACHE_DIR", str(tmp_path / "file"))
    assert jax_setup._cache() is None, "nor can a file hold a cache"


@pytest.mark.parametrize(
    ("error", "cause"),
    [
        (RuntimeError("Unable to initialize\n backend 'cuda'."), "Unable to initialize backend 'cuda'"),
        (AssertionError(), "its build knows no platform cuda"),
    ],
)
def test_a_platform_that_is_not_there_is_told_in_a_line(error, cause, monkeypatch):
    def devices():
        raise error

    monkeypatch.setattr(jax, "devices", devices)
    monkeypatch.setenv("JAX_PLATFORMS", "cuda")
    with pytest.raises(UserError) as caught:
        jax_setup._find_device()
    assert str(caught.value) == (
        f"JAX finds no device ({cause}): unset JAX_PLATFORMS=cuda, or install the build of JAX for it"
    )


def test_flags_of_the_environment_are_on_record(monkeypatch):
    monkeypatch.setenv("JAX_DEFAULT_MATMUL_PRECISION", "bfloat16")
    assert environment.environment()["flags"]["JAX_DEFAULT_MATMUL_PRECISION"] == "bfloat16"
