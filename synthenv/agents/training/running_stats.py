"""Mean and variance of everything seen so far, to bring observations and rewards to one scale.

References:
    Chan, Golub and LeVeque (1979), Updating formulae and a pairwise algorithm for computing sample variances.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp

_CLIP = 10.0  # bound of a normalised number, in standard deviations


class RunningStats(NamedTuple):
    """Mean and (population) variance [...] of ``count`` [] samples."""

    mean: jax.Array
    var: jax.Array
    count: jax.Array


def init_stats(shape: tuple[int, ...]) -> RunningStats:
    """Begin with nothing seen: mean 0 and variance 1, without weight."""
    return RunningStats(jnp.zeros(shape), jnp.ones(shape), jnp.float32(0))


def update_stats(stats: RunningStats, batch: jax.Array) -> RunningStats:
    """Take in samples [B, ...]."""
    size = batch.shape[0]
    mean, var = jnp.mean(batch, axis=0), jnp.var(batch, axis=0)
    count = stats.count + size
    share = size / count  # what the new samples are of all
    shift = mean - stats.mean
    return RunningStats(
        mean=stats.mean + share * shift,
        var=(1.0 - share) * stats.var + share * var + (1.0 - share) * share * jnp.square(shift),
        count=count,
    )


def normalize(stats: RunningStats, x: jax.Array) -> jax.Array:
    """Shift and scale x [..., features], clipped to ten standard deviations."""
    mean, std = jnp.broadcast_to(stats.mean, x.shape), jnp.broadcast_to(_std(stats), x.shape)
    return jnp.clip((x - mean) / std, -_CLIP, _CLIP)


def rescale(stats: RunningStats, x: jax.Array) -> jax.Array:
    """Scale x [...] without shifting it, clipped to ten standard deviations; ``stats`` are of one number []."""
    return jnp.clip(x / _std(stats), -_CLIP, _CLIP)


def _std(stats: RunningStats) -> jax.Array:
    return jnp.sqrt(stats.var + 1e-8)
