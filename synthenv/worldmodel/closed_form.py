"""Closed-form experts: linear and kernel regressions of a context, with leave-one-out errors, in a few linear solves.

Each expert is a Gaussian-process mean with a linear trend (universal kriging) and a fixed kernel; only the noise
level is chosen, per target column, by the leave-one-out error, which the same eigendecomposition gives for all
levels. Nothing is trained here, so this is part of a forward pass: the world model hears what each expert predicts
and how well it did on the context, and predicts what they leave over.

Run it under ``jax.enable_x64()``: single precision cannot follow noise levels below 1e-5.

Axis letters here: C context, D inputs, Y targets, K experts.

References:
    Dubrule (1983), Cross validation of kriging in a unique neighborhood, for leave-one-out with a trend.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp

NOISE_LEVELS = (1e-7, 1e-6, 1e-5, 1e-4, 1e-3, 1e-2, 1e-1)  # as shares of a kernel's mean diagonal
LENGTH_SCALES = (0.25, 0.5, 1.0, 2.0, 4.0, 8.0)  # in standard deviations of the inputs
EXPERTS = ("linear", "cubic", *(f"rbf {scale:g}" for scale in LENGTH_SCALES), "slopes", "relevance")
SHARPNESS = 4.0  # of the weights: a tenth of the error is ten thousand times the weight
ROUNDING = 1e-6  # of a kernel in single precision, in which predictions are made
_FLOOR = 1e-13  # of squared errors, in units of the targets' variance
_TREND_RIDGE = 1e-9  # keeps a trend finite whose inputs are collinear, in units of its mean diagonal


class Fit(NamedTuple):
    """One expert, fitted: it predicts ``kernel(x, inputs) @ alpha + [1, x] @ beta``.

    Attributes:
        alpha: [C, Y].
        beta: [D + 1, Y].
        left_out: leave-one-out residuals, target minus prediction. [C, Y]
        error: their mean squares, and what rounding adds: coefficients of 1e6 cancel in double precision only. [Y]
    """

    alpha: jax.Array
    beta: jax.Array
    left_out: jax.Array
    error: jax.Array


def trend_of(x: jax.Array) -> jax.Array:
    """[1, x] of x [..., D]."""
    return jnp.concatenate([jnp.ones_like(x[..., :1]), x], axis=-1)


def num_varying(inputs: jax.Array) -> jax.Array:
    """How many of the columns of standardised inputs [C, D] are in use, at least 1. []"""
    return jnp.maximum(jnp.sum(jnp.any(inputs != 0.0, axis=0)), 1)


def cubic(a: jax.Array, b: jax.Array, num: jax.Array) -> jax.Array:
    """Monomials up to degree three: kernel [N, M] of a [N, D] and b [M, D] with ``num`` columns in use."""
    return (1.0 + a @ b.T / num) ** 3


def rbf(squared_distance: jax.Array, length_scale: float | jax.Array) -> jax.Array:
    """Kernel of squared distances [...]."""
    return jnp.exp(squared_distance * (-0.5 / length_scale**2))


def squared_distance(a: jax.Array, b: jax.Array) -> jax.Array:
    """Between all rows of a [N, D] and b [M, D]."""
    norms = jnp.sum(jnp.square(a), axis=1)[:, None] + jnp.sum(jnp.square(b), axis=1)[None, :]
    return jnp.maximum(norms - 2.0 * a @ b.T, 0.0)


def solve(gram: jax.Array, inputs: jax.Array, targets: jax.Array, mask: jax.Array) -> Fit:
    """Fit one expert, choosing the noise level of every target by its leave-one-out error.

    Args:
        gram: kernel of all pairs of rows. [C, C]
        inputs: what the trend is linear in, zero where masked. [C, D]
        targets: zero where masked. [C, Y]
        mask: which rows are there. bool [C]
    """
    trend, num = trend_of(inputs) * mask[:, None], num_varying(inputs)
    gram = jnp.where(mask[:, None] & mask[None, :], gram, 0.0)
    count = jnp.maximum(jnp.sum(mask), 1)
    scale = jnp.trace(gram) / count
    is_kernel = scale > 0.0  # else the trend is all there is
    scale = jnp.where(is_kernel, scale, 1.0)
    values, vectors = jnp.linalg.eigh(gram / scale)
    values = jnp.maximum(values, 0.0)
    projected_trend, projected_targets = vectors.T @ trend, vectors.T @ targets

    def at(noise: jax.Array) -> Fit:
        inverse = (1.0 / (values + noise))[:, None]
        solved_trend = vectors @ (inverse * projected_trend)
        solved_targets = vectors @ (inverse * projected_targets)
        normal = trend.T @ solved_trend
        ridge = _TREND_RIDGE * jnp.trace(normal) / (1 + num)
        normal = jnp.linalg.inv(normal + ridge * jnp.eye(normal.shape[0]))
        beta = normal @ (trend.T @ solved_targets)
        alpha = solved_targets - solved_trend @ beta
        diagonal = jnp.square(vectors) @ inverse[:, 0] - jnp.sum(solved_trend @ normal * solved_trend, axis=1)
        left_out = alpha / jnp.maximum(diagonal, 1e-12)[:, None] * mask[:, None]
        error = jnp.sum(jnp.square(left_out), axis=0) / count
        error = error + jnp.sum(jnp.square(ROUNDING * alpha), axis=0) * is_kernel
        return Fit(alpha / scale * is_kernel, beta, left_out, error)

    return best_of(jax.vmap(at)(jnp.asarray(NOISE_LEVELS, gram.dtype)))


def best_of(fits: Fit) -> Fit:
    """Of several fits, leading axis N, the one with the least error for every target."""
    index = jnp.argmin(fits.error, axis=0)  # [Y]
    best = [jnp.take_along_axis(leaf, index[None, None, :], axis=0)[0] for leaf in fits[:3]]
    return Fit(*best, error=jnp.min(fits.error, axis=0))


def solve_all(inputs: jax.Array, targets: jax.Array, mask: jax.Array) -> Fit:
    """Fit all experts with one kernel for all targets, leading axis K - 2; arguments as those of :func:`solve`."""
    distance = squared_distance(inputs, inputs)
    grams = [
        jnp.zeros_like(distance),
        cubic(inputs, inputs, num_varying(inputs)),
        *(rbf(distance, scale) for scale in LENGTH_SCALES),
    ]
    return jax.lax.map(lambda gram: solve(gram, inputs, targets, mask), jnp.stack(grams))


def weights(error: jax.Array) -> jax.Array:
    """Shares [K, Y] of the experts in their common prediction, from their errors [K, Y]."""
    return jax.nn.softmax(-SHARPNESS * jnp.log(error + _FLOOR), axis=0)
