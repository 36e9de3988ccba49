"""What the curve transformer says of a question: a mixture for the score, a normal for the seconds, odds of a crash.

The score's distribution is a histogram between 0 and 1, so that its improvement over anything has a closed form. Its
bins are filled by a few normal distributions, most of them around the last score that was seen, and a uniform one: a
network of few units can then be as sharp as the bins, and learns it soon.
"""

import math
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.scipy.stats import norm

_LOG_SQRT_TAU = 0.5 * math.log(2.0 * math.pi)


class Answer(NamedTuple):
    """About one question [...].

    Attributes:
        logits: of the score's bins, if it does not crash. [..., B]
        log_seconds: mean logarithm of the seconds of a step. [...]
        log_seconds_std: [...]
        crash: log-odds that it crashes until then. [...]
    """

    logits: jax.Array
    log_seconds: jax.Array
    log_seconds_std: jax.Array
    crash: jax.Array


def edges(num_bins: int) -> np.ndarray:
    """Where bins begin and end. [B + 1]"""
    return np.linspace(0.0, 1.0, num_bins + 1, dtype=np.float32)


def mixture(num_bins: int, centre: jax.Array, numbers: jax.Array) -> jax.Array:
    """Fill bins with normal distributions, and a uniform one.

    Args:
        num_bins: B.
        centre: where two of three normal distributions start from; the third one starts from 0.5. [...]
        numbers: of M normals their shifts, the logarithms of their standard deviations, and the logits of the uniform
            one and of them. [..., 3 M + 1]

    Returns:
        logits of the bins. [..., B]
    """
    num = numbers.shape[-1] // 3
    borders = edges(num_bins)
    lead = (1,) * centre.ndim
    middles = jnp.asarray(0.5 * (borders[1:] + borders[:-1])).reshape(*lead, 1, -1)
    is_near = jnp.arange(num).reshape(*lead, -1) % 3 != 2
    mean = jnp.clip(jnp.where(is_near, centre[..., None], 0.5) + numbers[..., :num], -0.2, 1.2)
    log_std = jnp.clip(numbers[..., num : 2 * num], math.log(0.4 / num_bins), 1.0)
    log_weight = jax.nn.log_softmax(numbers[..., 2 * num :], axis=-1)
    z = (middles - mean[..., None]) * jnp.exp(-log_std)[..., None]
    of_normals = (log_weight[..., 1:] - log_std)[..., None] - 0.5 * jnp.square(z) - _LOG_SQRT_TAU
    of_uniform = log_weight[..., :1]
    most = jax.lax.stop_gradient(jnp.maximum(jnp.max(of_normals, axis=-2), of_uniform))
    total = jnp.sum(jnp.exp(of_normals - most[..., None, :]), axis=-2) + jnp.exp(of_uniform - most)
    return most + jnp.log(total)


def surprise(
    answer: Answer, score: jax.Array, log_seconds: jax.Array, crashed: jax.Array
) -> tuple[jax.Array, jax.Array, jax.Array]:
    """Negative log-densities of what came, in nats: of score, seconds and crash, each [...].

    A score that is NaN or of a run that crashed, and seconds that are NaN, cost 0.
    """
    num_bins = answer.logits.shape[-1]
    has_score, knows = ~jnp.isnan(score) & ~crashed, ~jnp.isnan(log_seconds)
    place = jnp.clip((jnp.where(has_score, score, 0.0) * num_bins).astype(jnp.int32), 0, num_bins - 1)
    log_shares = jax.nn.log_softmax(answer.logits, axis=-1)
    of_score = -jnp.take_along_axis(log_shares, place[..., None], axis=-1)[..., 0] - math.log(num_bins)
    came = jnp.where(knows, log_seconds, answer.log_seconds)
    of_seconds = -norm.logpdf(came, answer.log_seconds, answer.log_seconds_std)
    of_crash = jax.nn.softplus(answer.crash) - crashed.astype(jnp.float32) * answer.crash
    return jnp.where(has_score, of_score, 0.0), jnp.where(knows, of_seconds, 0.0), of_crash
