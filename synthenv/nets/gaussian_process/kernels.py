"""Kernels of squared distances, in units of the signal's variance.

Axis letters here: N and M rows, D inputs.
"""

import math

import jax
import jax.numpy as jnp


def squared_distance(a: jax.Array, b: jax.Array) -> jax.Array:
    """Between all rows of a [N, D] and b [M, D]."""
    norms = jnp.sum(jnp.square(a), axis=1)[:, None] + jnp.sum(jnp.square(b), axis=1)[None, :]
    return jnp.maximum(norms - 2.0 * a @ b.T, 0.0)


def rbf(squared_distance: jax.Array, length_scale: float | jax.Array) -> jax.Array:
    """Squared-exponential kernel of squared distances [...]."""
    return jnp.exp(squared_distance * (-0.5 / length_scale**2))


def matern52(squared_distance: jax.Array, length_scale: float | jax.Array = 1.0) -> jax.Array:
    """Matérn kernel with smoothness 5/2 of squared distances [...]."""
    return _matern52(squared_distance / length_scale**2)


@jax.custom_jvp
def _matern52(squares: jax.Array) -> jax.Array:
    root = jnp.sqrt(5.0 * squares)
    return (1.0 + root + root**2 / 3.0) * jnp.exp(-root)


@_matern52.defjvp
def _matern52_slope(primals: tuple[jax.Array], tangents: tuple[jax.Array]) -> tuple[jax.Array, jax.Array]:
    """The slope by hand, since that of the root has no limit at a distance of 0, while this one has."""
    (squares,), (change,) = primals, tangents
    root = math.sqrt(5.0) * jnp.sqrt(squares)
    return _matern52(squares), -5.0 / 6.0 * (1.0 + root) * jnp.exp(-root) * change
