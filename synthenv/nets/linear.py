"""One affine map with PyTorch's initialisation, bias optional, differentiated by JAX alone.

``nets.mlp`` has maps of its own, whose width may be traced and whose gradients are made for nets of 100 units on a CPU
core. At a transformer's width neither is of use: [8008, 512]^T [8008, 512] takes 32 ms either way.
"""

import math
from typing import NamedTuple

import jax
import jax.numpy as jnp


class Linear(NamedTuple):
    """Weights of ``x @ kernel + bias``: kernel [in, out], bias [out], or None where the map has none."""

    kernel: jax.Array
    bias: jax.Array | None


def init_linear(key: jax.Array, in_size: int, out_size: int, bias: bool = True) -> Linear:
    """Draw weights and biases uniformly in +-1/sqrt(in_size), the default of PyTorch's ``Linear``."""
    bound = 1.0 / math.sqrt(in_size)
    draws = jax.random.uniform(key, (in_size + bias, out_size), minval=-bound, maxval=bound)
    return Linear(draws[:in_size], draws[in_size] if bias else None)


def zero_linear(in_size: int, out_size: int) -> Linear:
    """A map onto zero: what ends a residual branch that is to start as the identity."""
    return Linear(jnp.zeros((in_size, out_size)), jnp.zeros(out_size))


def linear(params: Linear, x: jax.Array) -> jax.Array:
    """Map x [..., in] to [..., out]."""
    y = jnp.dot(x, params.kernel)
    return y if params.bias is None else y + jnp.broadcast_to(params.bias, y.shape)
