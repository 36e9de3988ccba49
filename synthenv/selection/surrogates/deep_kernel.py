"""The deep kernel of Quick-Tune: a network turns a configuration, a data set and a curve into a point of a process.

The process tells the score ``after`` some steps of a candidate whose curve is known for fewer. Its inputs come from a
network over the configuration, the meta-features, the number of steps, and the curve so far; network and process are
trained together on the likelihood of other data sets' curves.

Every candidate is one row of the process, not one for every step: its latest score, as told from the curve of some
steps before. What the earlier steps say is in that curve. So the process has at most N rows, nothing grows, and a
search needs no more memory at its end than at its beginning.

Axis letters here: B batch, N candidates, F inputs of a configuration, K meta-features, T steps, Z coordinates.

References:
    Arango et al. (2024), Quick-Tune; Wistuba et al. (2022), Dynamic and efficient gray-box hyperparameter optimization.
"""

from dataclasses import dataclass
from typing import NamedTuple

import jax
import jax.numpy as jnp

from synthenv.nets.gaussian_process import exact
from synthenv.nets.gaussian_process.kernels import rbf, squared_distance
from synthenv.nets.linear import Linear, init_linear, linear

NOISE_FLOOR = 1e-5  # of the process, in squared scores


@dataclass(frozen=True)
class DeepKernelConfig:
    """Sizes of the network, and how it is trained.

    Attributes:
        width: units of hidden layers.
        meta_width: units that the meta-features become.
        curve_width: units that the curve becomes.
        num_coordinates: inputs of the process.
        reach: how many steps ahead the process is asked to look.
        num_iterations: gradient steps of meta-training, at most.
        batch_size: points of one data set that a gradient step sees.
        learning_rate: Adam's at the beginning; it falls to a thousandth by a cosine.
    """

    width: int = 64
    meta_width: int = 8
    curve_width: int = 16
    num_coordinates: int = 32
    reach: int = 10
    num_iterations: int = 6000
    batch_size: int = 64
    learning_rate: float = 1e-3


class Process(NamedTuple):
    """What a Gaussian process has beside its inputs.

    Attributes:
        offset: of the mean. []
        slope: of the mean, which is linear in the coordinates: before anything is seen, the network has the say. [Z]
        log_scale: logarithm of the length scale. []
        log_variance: logarithm of the signal's variance. []
        log_noise: logarithm of the noise's variance. []
    """

    offset: jax.Array
    slope: jax.Array
    log_scale: jax.Array
    log_variance: jax.Array
    log_noise: jax.Array


class DeepKernel(NamedTuple):
    """Weights: layers of each part of the network, and the process."""

    config: tuple[Linear, ...]
    meta: tuple[Linear, ...]
    curve: tuple[Linear, ...]
    head: tuple[Linear, ...]
    process: Process


class Points(NamedTuple):
    """What the process is asked of, or told.

    Attributes:
        config: inputs of a configuration. [..., F]
        meta: inputs of its data set. [K]
        curve: scores in [0, 1], anything finite from where they are not known. [..., T]
        known: how many steps of the curve are known. int32 [...]
        after: the steps after which the score is asked for. int32 [...]
    """

    config: jax.Array
    meta: jax.Array
    curve: jax.Array
    known: jax.Array
    after: jax.Array


def init_layers(key: jax.Array, *sizes: int) -> tuple[Linear, ...]:
    """Draw layers from each size to the next."""
    keys = jax.random.split(key, len(sizes) - 1)
    return tuple(init_linear(k, a, b) for k, a, b in zip(keys, sizes[:-1], sizes[1:], strict=True))


def _curve_size(num_steps: int) -> int:
    return 2 * num_steps + 3


def init(
    key: jax.Array, config: DeepKernelConfig, num_inputs: int, num_meta: int, num_steps: int
) -> DeepKernel:
    """Draw the weights.

    Args:
        key: of all draws.
        config: the sizes.
        num_inputs: F.
        num_meta: K, 0 if data sets have no meta-features.
        num_steps: T.
    """
    keys = jax.random.split(key, 4)
    width, out = config.width, config.num_coordinates
    joined = width + config.meta_width + config.curve_width + 1
    start = (0.5, jnp.zeros(out), 0.0, -2.0, -5.0)
    return DeepKernel(
        init_layers(keys[0], num_inputs, width, width),
        init_layers(keys[1], max(num_meta, 1), config.meta_width),
        init_layers(keys[2], _curve_size(num_steps), width, config.curve_width),
        init_layers(keys[3], joined, width, out),
        Process(*(jnp.asarray(x) for x in start)),
    )


def through(layers: tuple[Linear, ...], x: jax.Array, activate_last: bool) -> jax.Array:
    """Take x [..., in] through layers with leaky ReLU between them, and behind the last one if asked. [..., out]"""
    for i, layer in enumerate(layers):
        x = linear(layer, x)
        if activate_last or i < len(layers) - 1:
            x = jax.nn.leaky_relu(x)
    return x


def _of_curve(curve: jax.Array, known: jax.Array) -> jax.Array:
    """What the network sees of a curve: the scores, which of them there are, the last, the best, the last change."""
    there = jax.lax.broadcasted_iota(jnp.int32, curve.shape, curve.ndim - 1) < known[..., None]
    score = jnp.where(there, curve, 0.0)
    last, before = (
        jnp.take_along_axis(score, jnp.maximum(known - back, 0)[..., None], axis=-1) for back in (1, 2)
    )
    best = jnp.max(score, axis=-1, keepdims=True)
    return jnp.concatenate([score, there.astype(score.dtype), last, best, last - before], axis=-1)


def coordinates(weights: DeepKernel, points: Points) -> jax.Array:
    """Where the points are in the process's space. [..., Z]"""
    shape = points.known.shape
    config = through(weights.config, points.config, True)
    meta = points.meta if points.meta.shape[-1] else jnp.zeros(1)
    meta = jnp.broadcast_to(through(weights.meta, meta, False), (*shape, weights.meta[-1].kernel.shape[1]))
    curve = through(weights.curve, _of_curve(points.curve, points.known), True)
    after = (points.after / points.curve.shape[-1])[..., None]
    return through(weights.head, jnp.concatenate([config, meta, after, curve], axis=-1), False)


def _crossed(process: Process, a: jax.Array, b: jax.Array) -> jax.Array:
    """Covariance of points a [N, Z] and b [M, Z] without noise. [N, M]"""
    distance = squared_distance(a, b)
    return jnp.exp(process.log_variance) * rbf(distance, jnp.exp(process.log_scale))


def _covariance(process: Process, rows: jax.Array) -> jax.Array:
    """Covariance of scores at rows [N, Z]. [N, N]"""
    return _crossed(process, rows, rows) + _noise(process) * jnp.eye(len(rows))


def _noise(process: Process) -> jax.Array:
    return NOISE_FLOOR + jnp.exp(process.log_noise)


def _mean(process: Process, rows: jax.Array) -> jax.Array:
    """What is expected at rows [N, Z] of which nothing like them was seen. [N]"""
    return process.offset + rows @ process.slope


def negative_log_likelihood(
    process: Process, rows: jax.Array, scores: jax.Array, mask: jax.Array
) -> jax.Array:
    """Of scores [N] at rows [N, Z], for each that counts. []"""
    residual = scores - _mean(process, rows)
    total = exact.log_likelihood(_covariance(process, rows), residual, mask)
    return -total / jnp.maximum(jnp.sum(mask), 1)


def posterior(
    process: Process, rows: jax.Array, scores: jax.Array, mask: jax.Array, queries: jax.Array
) -> exact.Said:
    """Mean and variance of noisy scores at queries [M, Z], given scores [N] at the rows [N, Z]. [M] each"""
    factor = exact.cholesky(exact.masked(_covariance(process, rows), mask))
    before = jnp.full(len(queries), jnp.exp(process.log_variance))
    crossed = _crossed(process, rows, queries)
    said = exact.predict(factor, scores - _mean(process, rows), mask, crossed, before)
    return exact.Said(_mean(process, queries) + said.mean, said.variance + _noise(process))
