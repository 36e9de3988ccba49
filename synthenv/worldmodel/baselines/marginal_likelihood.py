"""One target's Gaussian process: conditioned on a context, and its length scales and noise by marginal likelihood.

The process has a constant mean, a squared-exponential kernel and noise. Mean and signal variance have closed forms, so
that length scales and noise are all that is searched for. Run it under ``jax.enable_x64()``.

Axis letters here: C context, D inputs.

References:
    Rasmussen and Williams (2006), Gaussian processes for machine learning: equations 2.25 for the mean, 5.8 and 5.9 for
    the likelihood and its slopes.
"""

from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp

from synthenv.worldmodel.regression.closed_form import rbf, squared_distance
from synthenv.worldmodel.regression.sign_steps import Logs, Rules, descend

NUM_STEPS = 30
NOISE_FLOOR = 1e-12  # as a share of the signal's variance
_FIRST_NOISE = 1e-3
_RULES = Rules(1.2, shortest=1e-4, log_scales=(-8.0, 4.0), log_noise=(-27.0, 1.0), skips_turns=True)


class Posterior(NamedTuple):
    """One target given the context.

    It holds kernel coefficients [C], the constant mean [], the signal variance [] and the inverse covariance [C, C].
    """

    alpha: jax.Array
    mean: jax.Array
    signal: jax.Array
    inverse: jax.Array


def gram(logs: Logs, inputs: jax.Array) -> jax.Array:
    """Return the covariance [C, C] of the rows of inputs [C, D], noise included, in units of the signal's variance."""
    moved = inputs * jnp.exp(logs.scales)[None]
    noise = NOISE_FLOOR + jnp.exp(logs.noise)
    return rbf(squared_distance(moved, moved), 1.0) + noise * jnp.eye(len(inputs), dtype=inputs.dtype)


def condition(logs: Logs, inputs: jax.Array, target: jax.Array) -> Posterior:
    """Fit one target [C] under given length scales and noise; mean and signal have the greatest likelihood."""
    identity = jnp.eye(len(inputs), dtype=inputs.dtype)
    factor = jnp.linalg.cholesky(gram(logs, inputs))
    inverse = jax.scipy.linalg.cho_solve((factor, True), identity)
    weight = jnp.sum(inverse, axis=0)
    mean = weight @ target / jnp.sum(weight)
    alpha = inverse @ (target - mean)
    signal = jnp.maximum((target - mean) @ alpha / len(target), 1e-30)
    return Posterior(alpha, mean, signal, inverse)


def slopes(logs: Logs, inputs: jax.Array, target: jax.Array) -> Logs:
    """Return the slopes of the negative log-likelihood with mean and signal at their best: equation 5.9.

    Differentiating through the factorisation would take twice as long.
    """
    posterior = condition(logs, inputs, target)
    outer = posterior.alpha[:, None] * posterior.alpha[None, :]
    pull = posterior.inverse - outer / posterior.signal
    return jax.grad(lambda logs: 0.5 * jnp.sum(pull * gram(logs, inputs)))(logs)


def search(inputs: jax.Array, target: jax.Array, num_scales: int) -> Logs:
    """Climb the likelihood of one target, from length scales at which rows are about a unit apart."""
    scale = -0.5 * jnp.log(jnp.asarray(inputs.shape[1], inputs.dtype))
    start = Logs(jnp.full(num_scales, scale), jnp.asarray(jnp.log(_FIRST_NOISE), inputs.dtype))
    return descend(start, partial(slopes, inputs=inputs, target=target), _RULES, NUM_STEPS)
