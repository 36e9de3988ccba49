"""One target's Gaussian process: conditioned on a context, and its length scales and noise by marginal likelihood.

A constant mean, a squared-exponential kernel and noise; mean and signal variance have closed forms, so that length
scales and noise are all that is searched for. Run it under ``jax.enable_x64()``.

Axis letters here: C context, D inputs.

References:
    Rasmussen and Williams (2006), Gaussian processes for machine learning: equations 2.25 for the mean, 5.8 and 5.9 for
    the likelihood and its slopes.
    Igel and Huesken (2003), Empirical evaluation of the improved Rprop learning algorithms: the search, iRprop-.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp

from synthenv.worldmodel.regression.closed_form import rbf, squared_distance

NUM_STEPS = 30
NOISE_FLOOR = 1e-12  # as a share of the signal's variance
_FIRST_NOISE = 1e-3
_FIRST_STEP, _FASTER, _SLOWER, _LONGEST_STEP = 0.3, 1.2, 0.5, 1.0  # in nats
_LOG_SCALE_RANGE, _LOG_NOISE_RANGE = (-8.0, 4.0), (-27.0, 1.0)


class Logs(NamedTuple):
    """What is searched for: logarithms of inverse length scales ([D] or [1]) and of the noise above its floor."""

    scales: jax.Array
    noise: jax.Array


class Posterior(NamedTuple):
    """One target given the context: kernel coefficients [C], constant mean [], signal variance [], inverse [C, C]."""

    alpha: jax.Array
    mean: jax.Array
    signal: jax.Array
    inverse: jax.Array


def gram(logs: Logs, inputs: jax.Array) -> jax.Array:
    """Covariance of the rows of inputs [C, D] in units of the signal's variance, noise included. [C, C]"""
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
    """Of the negative logarithm of the likelihood, mean and signal at their best: equation 5.9.

    Differentiating through the factorisation would take twice as long.
    """
    posterior = condition(logs, inputs, target)
    outer = posterior.alpha[:, None] * posterior.alpha[None, :]
    pull = posterior.inverse - outer / posterior.signal
    return jax.grad(lambda logs: 0.5 * jnp.sum(pull * gram(logs, inputs)))(logs)


def search(inputs: jax.Array, target: jax.Array, num_scales: int) -> Logs:
    """Climb the likelihood of one target by the signs of its slopes: steps need no tuning to their sizes."""

    def step(carry: tuple[Logs, Logs, Logs], _: None) -> tuple[tuple[Logs, Logs, Logs], None]:
        logs, sizes, before = carry
        now = slopes(logs, inputs, target)
        now = jax.tree.map(lambda slope: jnp.where(jnp.isfinite(slope), slope, 0.0), now)
        sizes = jax.tree.map(_next_size, sizes, now, before)
        # After a turn the step is left out, and the next one is judged afresh.
        now = jax.tree.map(lambda slope, past: jnp.where(slope * past < 0.0, 0.0, slope), now, before)
        logs = jax.tree.map(lambda log, size, slope: log - size * jnp.sign(slope), logs, sizes, now)
        logs = Logs(jnp.clip(logs.scales, *_LOG_SCALE_RANGE), jnp.clip(logs.noise, *_LOG_NOISE_RANGE))
        return (logs, sizes, now), None

    start = _start(inputs, num_scales)
    sizes = jax.tree.map(lambda log: jnp.full_like(log, _FIRST_STEP), start)
    none = jax.tree.map(jnp.zeros_like, start)
    return jax.lax.scan(step, (start, sizes, none), None, length=NUM_STEPS)[0][0]


def _start(inputs: jax.Array, num_scales: int) -> Logs:
    """Length scales at which rows are about a unit apart."""
    scale = -0.5 * jnp.log(jnp.asarray(inputs.shape[1], inputs.dtype))
    return Logs(jnp.full(num_scales, scale), jnp.asarray(jnp.log(_FIRST_NOISE), inputs.dtype))


def _next_size(size: jax.Array, slope: jax.Array, before: jax.Array) -> jax.Array:
    """A longer step where the slope has kept its sign, a shorter one where it has not."""
    same = slope * before
    factor = jnp.where(same > 0, _FASTER, jnp.where(same < 0, _SLOWER, 1.0))
    return jnp.clip(size * factor, 1e-4, _LONGEST_STEP)
