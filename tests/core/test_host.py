"""The host's processor, and double precision on it."""

import jax
import jax.numpy as jnp
import pytest

from synthenv.core.errors import UserError
from synthenv.core.host import on_host
from synthenv.worldmodel.regression.double_precision import double_on_host


def test_programs_run_on_the_host_and_in_double_precision():
    with on_host():
        assert jax.jit(lambda x: x + 1)(jnp.float32(1)).device.platform == "cpu"
    with double_on_host():
        assert jnp.asarray(1.0).dtype == "float64"
    assert jnp.asarray(1.0).dtype == "float32"


def test_a_hidden_processor_is_told_of(monkeypatch):
    def none(backend):
        raise RuntimeError(f"Unknown backend {backend}")

    monkeypatch.setattr(jax, "local_devices", none)
    with pytest.raises(UserError, match="JAX_PLATFORMS=cuda,cpu"), on_host():
        pass
