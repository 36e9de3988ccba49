"""Relevance of each input for each target: length scales from a few sign steps up a marginal likelihood.

The number of steps is fixed and small, and part of the rows suffices, so this is one more piece of the forward pass
that encodes a context.

References:
    Neal (1996), Bayesian learning for neural networks, for automatic relevance determination.
    Rasmussen and Williams (2006), Gaussian processes for machine learning, section 2.7, for the trend.
"""

from functools import partial

import jax
import jax.numpy as jnp

from synthenv.nets.gaussian_process.kernels import rbf, squared_distance
from synthenv.nets.gaussian_process.sign_steps import Logs, Rules, descend
from synthenv.worldmodel.regression.closed_form import Fit, solve, trend_of

_FIRST_LENGTH_SCALE = 2.0  # in standard deviations of the inputs
_FIRST_NOISE = 1e-3  # as a share of the kernel's diagonal
_RULES = Rules(faster=1.3, shortest=1e-3, log_scales=(-5.0, 3.0), log_noise=(-16.0, 0.0))
_JITTER = 1e-7


def first_logs(num_inputs: int, dtype: jnp.dtype) -> Logs:
    """Return where the search begins."""
    scales = jnp.full(num_inputs, -jnp.log(_FIRST_LENGTH_SCALE), dtype)
    return Logs(scales, jnp.asarray(jnp.log(_FIRST_NOISE), dtype))


def climb(
    logs: Logs, inputs: jax.Array, target: jax.Array, mask: jax.Array, counts: jax.Array, num_steps: int
) -> Logs:
    """Search length scales and noise of one target by sign steps, for an RBF kernel with a linear trend.

    Args:
        logs: where to begin.
        inputs: standardised inputs. [C, D]
        target: standardised target. [C]
        mask: which rows are there. bool [C]
        counts: what each row's noise is divided by. [C]
        num_steps: number of steps.
    """
    slopes = jax.grad(partial(_misfit, inputs=inputs, target=target, mask=mask, counts=counts))
    return descend(logs, slopes, _RULES, num_steps)


def fit(
    logs: Logs, inputs: jax.Array, target: jax.Array, mask: jax.Array, counts: jax.Array | None = None
) -> Fit:
    """Fit the expert with these length scales to one target.

    Args:
        logs: inverse length scales and noise, as logarithms.
        inputs: standardised inputs, zero where masked. [C, D]
        target: standardised target, zero where masked. [C]
        mask: which rows are there. bool [C]
        counts: what each row's noise is divided by; all alike if it is None. [C]

    Returns:
        the fit, Y = 1.
    """
    moved = inputs * jnp.exp(logs.scales)[None]
    return solve(rbf(squared_distance(moved, moved), 1.0), inputs, target[:, None], mask, counts)


def _misfit(
    logs: Logs, inputs: jax.Array, target: jax.Array, mask: jax.Array, counts: jax.Array
) -> jax.Array:
    """Return the negative log-likelihood.

    The linear trend is integrated out, and the signal variance is at its best value.
    """
    moved = inputs * jnp.exp(logs.scales)[None]
    gram = jnp.where(mask[:, None] & mask[None, :], rbf(squared_distance(moved, moved), 1.0), 0.0)
    # A masked row has a kernel that is 1 for itself and 0 for all others: its share of the likelihood is constant.
    diagonal = jnp.where(mask, jnp.exp(logs.noise) / counts + _JITTER, 1.0)
    factor = jnp.linalg.cholesky(gram + jnp.diag(diagonal))
    trend = trend_of(inputs) * mask[:, None]
    white = jax.scipy.linalg.solve_triangular(
        factor, jnp.concatenate([(target * mask)[:, None], trend], axis=1), lower=True
    )
    white_target, white_trend = white[:, 0], white[:, 1:]
    normal = white_trend.T @ white_trend
    varies = jnp.append(True, jnp.any(inputs != 0.0, axis=0))
    ridge = 1e-9 * jnp.trace(normal) / jnp.sum(varies)
    normal = normal + jnp.diag(
        jnp.where(varies, ridge, 1.0)
    )  # columns that are not in use leave the likelihood as it is
    crossed = white_trend.T @ white_target
    rest = white_target @ white_target - crossed @ jnp.linalg.solve(normal, crossed)
    freedom = jnp.maximum(jnp.sum(mask) - jnp.sum(varies), 1)
    determinants = jnp.sum(jnp.log(jnp.diag(factor))) + 0.5 * jnp.linalg.slogdet(normal)[1]
    return 0.5 * freedom * jnp.log(jnp.maximum(rest, 1e-12)) + determinants
