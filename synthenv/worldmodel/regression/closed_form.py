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

from synthenv.nets.gaussian_process.kernels import rbf, squared_distance

NOISE_LEVELS = (1e-7, 1e-6, 1e-5, 1e-4, 1e-3, 1e-2, 1e-1)  # as shares of a kernel's mean diagonal
LENGTH_SCALES = (0.5, 1.0, 2.0, 4.0)  # in standard deviations of the inputs
EXPERTS = ("linear", "cubic", *(f"rbf {scale:g}" for scale in LENGTH_SCALES), "relevance", "robust")
SHARPNESS = 4.0  # power of errors in the weights: a tenth of the error has ten thousand times the weight
ROUNDING = 1e-6  # relative error of a kernel in single precision, in which predictions are made
_FLOOR = 1e-13  # least squared error, in units of the targets' variance
_SQUARE_OF_ABSOLUTE = jnp.pi / 2  # mean square of normal numbers whose mean absolute value is 1
_TREND_RIDGE = 1e-9  # share of the mean diagonal that keeps the trend of collinear inputs finite


class Fit(NamedTuple):
    """One expert, fitted: it predicts ``kernel(x, inputs) @ alpha + [1, x] @ beta``.

    Attributes:
        alpha: [C, Y].
        beta: [D + 1, Y].
        left_out: leave-one-out residuals, target minus prediction. [C, Y]
        error: mean squares of these residuals, plus ``rounding``. [Y]
        rounding: squared errors that predictions in single precision add, where coefficients of 1e6 do not cancel. [Y]
    """

    alpha: jax.Array
    beta: jax.Array
    left_out: jax.Array
    error: jax.Array
    rounding: jax.Array


def trend_of(x: jax.Array) -> jax.Array:
    """Return [1, x] for x [..., D]."""
    return jnp.concatenate([jnp.ones_like(x[..., :1]), x], axis=-1)


def num_varying(inputs: jax.Array) -> jax.Array:
    """Count the columns of standardised inputs [C, D] that are in use, at least 1. []"""
    return jnp.maximum(jnp.sum(jnp.any(inputs != 0.0, axis=0)), 1)


def cubic(a: jax.Array, b: jax.Array, num: jax.Array) -> jax.Array:
    """Return a kernel [N, M] of monomials up to degree three, for a [N, D] and b [M, D] with ``num`` columns in use."""
    return (1.0 + a @ b.T / num) ** 3


def solve(
    gram: jax.Array, inputs: jax.Array, targets: jax.Array, mask: jax.Array, counts: jax.Array | None = None
) -> Fit:
    """Fit one expert, choosing the noise level of every target by its leave-one-out error.

    Args:
        gram: kernel of all pairs of rows. [C, C]
        inputs: what the trend is linear in, zero where masked. [C, D]
        targets: standardised targets, zero where masked. [C, Y]
        mask: which rows are there. bool [C]
        counts: how much each row counts, above 0: a row's noise is divided by it; all alike if it is None. [C]
    """
    # Rows are scaled by the roots of their counts, and everything else goes on as if all counted alike.
    counts = mask.astype(gram.dtype) if counts is None else counts * mask
    root, num = jnp.sqrt(counts), num_varying(inputs)
    trend, targets = trend_of(inputs) * root[:, None], targets * root[:, None]
    scale = jnp.sum(jnp.diag(gram) * mask) / jnp.maximum(jnp.sum(mask), 1)
    is_kernel = scale > 0.0  # without a kernel there is only the trend
    scale = jnp.where(is_kernel, scale, 1.0)
    values, vectors = jnp.linalg.eigh(gram * root[:, None] * root[None, :] / scale)
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
        left_out = alpha / jnp.maximum(diagonal, 1e-12)[:, None]
        error = jnp.sum(jnp.square(left_out), axis=0, where=mask[:, None]) / jnp.maximum(
            jnp.sum(counts), 1e-12
        )
        alpha = alpha * root[:, None]
        rounding = jnp.sum(jnp.square(ROUNDING * alpha), axis=0) * is_kernel
        left_out = jnp.where(mask[:, None], left_out / jnp.where(mask, root, 1.0)[:, None], 0.0)
        return Fit(alpha / scale * is_kernel, beta, left_out, error + rounding, rounding)

    return best_of(jax.vmap(at)(jnp.asarray(NOISE_LEVELS, gram.dtype)))


def best_of(fits: Fit) -> Fit:
    """Pick for every target the fit with the least error of several, leading axis N."""
    index = jnp.argmin(fits.error, axis=0)  # [Y]

    def pick(leaf: jax.Array) -> jax.Array:
        return jnp.take_along_axis(leaf, index.reshape((1,) * (leaf.ndim - 1) + (-1,)), axis=0)[0]

    return jax.tree.map(pick, fits)


def solve_all(inputs: jax.Array, targets: jax.Array, mask: jax.Array) -> Fit:
    """Fit all experts that have one kernel for all targets, leading axis K - 2.

    Arguments are as those of ``solve``.
    """
    distance = squared_distance(inputs, inputs)
    grams = [
        jnp.zeros_like(distance),
        cubic(inputs, inputs, num_varying(inputs)),
        *(rbf(distance, scale) for scale in LENGTH_SCALES),
    ]
    return jax.lax.map(lambda gram: solve(gram, inputs, targets, mask), jnp.stack(grams))


def typical(left_out: jax.Array, mask: jax.Array) -> jax.Array:
    """Return the typical squared errors [...] of residuals [..., C] on the rows that are there.

    These are not mean squares, which a few rows that follow another law, such as at a wall, would dominate. They are
    the mean squares of normal residuals with the same mean absolute value.
    """
    return _SQUARE_OF_ABSOLUTE * jnp.square(
        jnp.sum(jnp.abs(left_out), axis=-1) / jnp.maximum(jnp.sum(mask), 1)
    )


def nearby(left_out: jax.Array, error: jax.Array, near: jax.Array) -> jax.Array:
    """Return the typical squared errors near a query, where one more row stands for all of them. [K, Y]

    Args:
        left_out: leave-one-out residuals. [K, Y, C]
        error: typical squared errors over all rows, see ``typical``. [K, Y]
        near: how much each row counts for a target. [Y, C]
    """
    total = jnp.einsum("kyc,yc->ky", jnp.abs(left_out), near) + jnp.sqrt(error / _SQUARE_OF_ABSOLUTE)
    return _SQUARE_OF_ABSOLUTE * jnp.square(total / (jnp.sum(near, axis=1) + 1.0)[None])


def weights(error: jax.Array) -> jax.Array:
    """Return each expert's share [K, Y] in the common prediction, from the experts' errors [K, Y]."""
    return jax.nn.softmax(-SHARPNESS * jnp.log(error + _FLOOR), axis=0)
