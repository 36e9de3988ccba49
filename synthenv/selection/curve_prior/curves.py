"""Random learning curves: 23 numbers of a configuration, and the score that they give at any time.

A curve is a weighted mean of four shapes that rise from one start to one end. Each shape has a clock of its own, which
changes its speed at the shape's saturation, where a known share of the way is still left. A clock that runs backwards
makes a curve diverge. Nothing is stored along time. Whatever could overflow in single precision is computed by
logarithms.

Times count from 0 to 1. The last axis of what belongs to shapes is power, exponential, logarithmic, Hill.

References:
    Rakotoarison et al. (2024), In-context freeze-thaw Bayesian optimization, appendix, and its released prior.
"""

import math
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax.scipy.special import log_ndtr, ndtr

NUM_PARAMETERS = 23
_EPSILON = 1e-9  # time between the two points that the slope at the start is taken from
_LEAST_START = 1e-9
# Means and standard deviations of the logarithms of the shapes' exponents.
_EXPONENT_MEANS = (1.0, 0.0, -4.0, 0.5)
_EXPONENT_STDS = (1.0, 1.0, 1.0, 0.5)


class Curve(NamedTuple):
    """Of one or many configurations [...].

    Attributes:
        start: score at time 0. [...]
        end: score that it tends to. [...]
        weights: of the shapes, with sum 1. [..., 4]
        exponents: of the shapes; of the logarithmic one its base less 1. [..., 4]
        saturation: when a shape's clock changes its speed. [..., 4]
        log_gap: logarithm of the share of the way from start to end that is left then, positive. [..., 4]
        speed: of the clock from then on, at most 1; negative runs backwards. [..., 4]
        noise: standard deviation of an observed score. [...]
    """

    start: jax.Array
    end: jax.Array
    weights: jax.Array
    exponents: jax.Array
    saturation: jax.Array
    log_gap: jax.Array
    speed: jax.Array
    noise: jax.Array


def from_scores(scores: jax.Array, start: jax.Array, most: jax.Array) -> Curve:
    """Read normal scores [..., 23] as curves of a task whose scores start at ``start`` and end below ``most``, []."""

    def exponential(z: jax.Array) -> jax.Array:
        return -log_ndtr(-z)

    weights, saturation = exponential(scores[..., 1:5]), exponential(scores[..., 10:14])
    means, stds = (
        jnp.broadcast_to(jnp.array(numbers), weights.shape) for numbers in (_EXPONENT_MEANS, _EXPONENT_STDS)
    )
    longest = 10.0 ** scores[..., 9:10] / jnp.max(saturation, axis=-1, keepdims=True)
    return Curve(
        start=jnp.broadcast_to(start, scores.shape[:-1]),
        end=start + (most - start) * ndtr(scores[..., 0]),
        weights=weights / jnp.sum(weights, axis=-1, keepdims=True),
        exponents=jnp.exp(means + stds * scores[..., 5:9]),
        saturation=saturation * jnp.broadcast_to(longest, weights.shape),
        log_gap=3.0 * math.log(10.0) * ndtr(-scores[..., 14:18]),
        speed=1.0 - exponential(scores[..., 18:22]),
        noise=jnp.exp(scores[..., 22] - 5.0),
    )


def _log_expm1(x: jax.Array) -> jax.Array:
    """Logarithm of exp(x) - 1 for positive x."""
    return x + jnp.log(-jnp.expm1(-x))


def log_left(curve: Curve, log_time: jax.Array) -> jax.Array:
    """Logarithm of the share of the way that each shape has left.

    Args:
        curve: of shape [...].
        log_time: logarithm of the clock's time over that of saturation, [..., 4].

    Returns:
        [..., 4]; at saturation, where ``log_time`` is 0, all are ``-curve.log_gap``.
    """
    exponent, log_gap = curve.exponents, curve.log_gap
    power, exponential, logarithmic, hill = (log_time[..., i] for i in range(4))
    base = jnp.log1p(exponent[..., 2])
    grown = jax.nn.softplus(_log_expm1(jnp.expm1(log_gap[..., 2]) * base) + logarithmic)
    faded = jnp.exp(jnp.minimum(exponent[..., 1] * exponential, 60.0))
    left = (
        -exponent[..., 0] * jax.nn.softplus(_log_expm1(log_gap[..., 0] / exponent[..., 0]) + power),
        -log_gap[..., 1] * faded,
        -jnp.log1p(grown / base),
        -jax.nn.softplus(_log_expm1(log_gap[..., 3]) + exponent[..., 3] * hill),
    )
    return jnp.stack(left, axis=-1)


def noise_free(curve: Curve, time: jax.Array) -> jax.Array:
    """Scores [...] of curves [...] at times [...]."""
    time = jnp.broadcast_to(time[..., None], curve.saturation.shape)
    after = curve.saturation + curve.speed * (time - curve.saturation)
    clock = jnp.where(time < curve.saturation, time, after)
    start, way = (
        jnp.broadcast_to(x[..., None], clock.shape)
        for x in (jnp.maximum(curve.start, _LEAST_START), curve.end - curve.start)
    )
    early = [jnp.full_like(clock, n * _EPSILON) for n in (1.0, 2.0)]
    log_times = jnp.log(jnp.stack([jnp.maximum(clock, 1e-30), *early]) / curve.saturation[None])
    left, *left_early = jax.vmap(log_left, (None, 0))(curve, log_times)
    risen = curve.end[..., None] - way * jnp.exp(left)
    # Shares of the way that are covered so early are too small to be told from 1 less what is left.
    first, second = (-jnp.expm1(x) for x in left_early)
    slope = way * (second - first) / _EPSILON
    fallen = start * jnp.exp(jnp.minimum(clock, 0.0) * (slope + _EPSILON) / start)
    return jnp.sum(curve.weights * jnp.where(clock > 0.0, risen, fallen), axis=-1)


def observe(key: jax.Array, curve: Curve, time: jax.Array) -> jax.Array:
    """Scores with independent noise, between 0 and 1. [...]"""
    noise = curve.noise * jax.random.normal(key, time.shape)
    return jnp.clip(noise_free(curve, time) + noise, 0.0, 1.0)
