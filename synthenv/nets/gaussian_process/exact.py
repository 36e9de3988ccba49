"""An exact Gaussian process over padded rows: its factor, its likelihood and what it says elsewhere.

Rows that are masked have no influence on anything: in the covariance each of them is independent of the rest. Targets
are given without their mean. Everything may be compiled, vmapped and run in single or double precision, and the
likelihood may be differentiated through whatever the covariance was computed by.

Axis letters here: N rows, Q queries.

References:
    Rasmussen and Williams (2006), Gaussian processes for machine learning: algorithm 2.1, equations 5.8 and 5.9.
"""

import math
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax.scipy.linalg import cho_solve, solve_triangular

_FIRST_JITTER = 10.0  # in units of the least difference of numbers near 1
_MOST_JITTER = 0.1  # as a share of the mean variance
_LEAST_VARIANCE = 1e-12


class Said(NamedTuple):
    """Mean and variance at the queries. [Q]"""

    mean: jax.Array
    variance: jax.Array


def masked(covariance: jax.Array, mask: jax.Array) -> jax.Array:
    """The covariance [N, N] with every row that is not there independent of all others and of variance 1."""
    there = mask[:, None] & mask[None, :]
    return jnp.where(there, covariance, jnp.eye(len(mask), dtype=covariance.dtype))


def cholesky(covariance: jax.Array) -> jax.Array:
    """The lower factor of a covariance [N, N], with as little added to its diagonal as makes it finite.

    First nothing is added, then ten times the precision of numbers as a share of the mean variance, and ten times more
    until the factor is finite. If a tenth of the variance is not enough, the factor is NaN.
    """
    scale = jnp.mean(jnp.diag(covariance))
    identity = jnp.eye(len(covariance), dtype=covariance.dtype)
    first = _FIRST_JITTER * float(jnp.finfo(covariance.dtype).eps)
    most = math.ceil(math.log10(_MOST_JITTER / first)) + 1

    def fails(carry: tuple[jax.Array, jax.Array]) -> jax.Array:
        tries, factor = carry
        return (tries < most) & ~jnp.all(jnp.isfinite(jnp.diag(factor)))

    def try_more(carry: tuple[jax.Array, jax.Array]) -> tuple[jax.Array, jax.Array]:
        tries, _ = carry
        jitter = first * 10.0 ** tries.astype(covariance.dtype) * scale
        return tries + 1, jnp.linalg.cholesky(covariance + jitter * identity)

    return jax.lax.while_loop(fails, try_more, (jnp.zeros((), jnp.int32), jnp.linalg.cholesky(covariance)))[1]


@jax.custom_vjp
def log_likelihood(covariance: jax.Array, residual: jax.Array, mask: jax.Array) -> jax.Array:
    """The logarithm of the density of the rows that are there. []

    It may be differentiated with respect to covariance and residual, once.

    Args:
        covariance: of all rows, noise included. [N, N]
        residual: targets without their mean. [N]
        mask: which rows are there. bool [N]
    """
    return _log_likelihood(covariance, residual, mask)[0]


def _log_likelihood(
    covariance: jax.Array, residual: jax.Array, mask: jax.Array
) -> tuple[jax.Array, tuple[jax.Array, jax.Array, jax.Array]]:
    factor = cholesky(masked(covariance, mask))
    alpha = cho_solve((factor, True), jnp.where(mask, residual, 0.0))
    misfit = 0.5 * jnp.sum(jnp.where(mask, residual, 0.0) * alpha)
    volume = jnp.sum(jnp.log(jnp.diag(factor)), where=mask)
    value = -misfit - volume - 0.5 * math.log(2.0 * math.pi) * jnp.sum(mask)
    return value, (factor, alpha, mask)


def _slopes(
    saved: tuple[jax.Array, jax.Array, jax.Array], up: jax.Array
) -> tuple[jax.Array, jax.Array, None]:
    """Equation 5.9; differentiating through the factorisation would take twice as long, and its ladder has no slope."""
    factor, alpha, mask = saved
    inverse = cho_solve((factor, True), jnp.eye(len(factor), dtype=factor.dtype))
    pull = 0.5 * (alpha[:, None] * alpha[None, :] - inverse)
    return up * jnp.where(mask[:, None] & mask[None, :], pull, 0.0), -up * alpha, None


log_likelihood.defvjp(_log_likelihood, _slopes)


def predict(
    factor: jax.Array, residual: jax.Array, mask: jax.Array, crossed: jax.Array, variance: jax.Array
) -> Said:
    """Mean and variance at queries, to which the targets' mean and, for new observations, the noise is to be added.

    Args:
        factor: of the masked covariance, noise included. [N, N]
        residual: targets without their mean. [N]
        mask: which rows are there. bool [N]
        crossed: covariance of rows and queries. [N, Q]
        variance: of the queries before anything is known. [Q]
    """
    white = solve_triangular(factor, jnp.where(mask, residual, 0.0), lower=True)
    return from_white(
        white, solve_triangular(factor, jnp.where(mask[:, None], crossed, 0.0), lower=True), variance
    )


def from_white(white: jax.Array, white_crossed: jax.Array, variance: jax.Array) -> Said:
    """Mean and variance where the factor has been divided out of residuals [N] and crossed covariances [N, Q]."""
    left = variance - jnp.sum(jnp.square(white_crossed), axis=0)
    return Said(white @ white_crossed, jnp.maximum(left, _LEAST_VARIANCE))
