"""Hyperparameters of a process by its marginal likelihood, mean and variance of the signal in closed form.

Covariances are in units of the signal's variance here, noise included, so that what is searched for are length scales
and noise only; any ``covariance_of`` of any parameters will do.

Axis letters here: N rows.

References:
    Rasmussen and Williams (2006), Gaussian processes for machine learning: equations 2.25 for the mean, 5.8 and 5.9 for
    the likelihood and its slopes.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

_LEAST_SIGNAL = 1e-30


class Posterior(NamedTuple):
    """One target given its rows: kernel coefficients [N], constant mean [], signal variance [], inverse [N, N]."""

    alpha: jax.Array
    mean: jax.Array
    signal: jax.Array
    inverse: jax.Array


class Belief(NamedTuple):
    """What is known of mean and signal before any row, each with the number of rows that it counts as. []"""

    mean: jax.Array
    mean_weight: jax.Array
    signal: jax.Array
    signal_weight: jax.Array


def condition(
    factor: jax.Array, target: jax.Array, mask: jax.Array | None = None, belief: Belief | None = None
) -> Posterior:
    """Fit one target; mean and signal have the greatest likelihood, or are the likeliest given a belief.

    Args:
        factor: lower factor of the covariance in units of the signal, of a masked one if there is a mask. [N, N]
        target: [N]
        mask: which rows are there, all if it is None. bool [N]
        belief: in mean and signal.
    """
    inverse = jax.scipy.linalg.cho_solve((factor, True), jnp.eye(len(factor), dtype=factor.dtype))
    if mask is None:
        weight, num = jnp.sum(inverse, axis=0), len(target)
    else:
        target = jnp.where(mask, target, 0.0)
        weight, num = inverse @ mask.astype(factor.dtype), jnp.sum(mask)
    pull, total = weight @ target, jnp.sum(weight)
    if belief is not None:
        pull, total = pull + belief.mean_weight * belief.mean, total + belief.mean_weight
    mean = pull / total
    residual = target - mean if mask is None else jnp.where(mask, target - mean, 0.0)
    alpha = inverse @ residual
    misfit = residual @ alpha
    if belief is not None:
        misfit += belief.mean_weight * jnp.square(mean - belief.mean) + belief.signal_weight * belief.signal
        num += belief.signal_weight
    return Posterior(alpha, mean, jnp.maximum(misfit / num, _LEAST_SIGNAL), inverse)


def slopes(params: Any, covariance_of: Callable[[Any], jax.Array], posterior: Posterior) -> Any:
    """Of the negative logarithm of the likelihood, mean and signal at their best: equation 5.9.

    Differentiating through the factorisation would take twice as long.

    Args:
        params: what the covariance depends on, any tree of arrays.
        covariance_of: covariance in units of the signal [N, N], masked if there is a mask.
        posterior: of the target under that covariance, see :func:`condition`.
    """
    outer = posterior.alpha[:, None] * posterior.alpha[None, :]
    pull = posterior.inverse - outer / posterior.signal
    return jax.grad(lambda params: 0.5 * jnp.sum(pull * covariance_of(params)))(params)
