"""A distribution over the real line made of bars: probabilities of intervals, with half-normal tails outside.

Bars are narrow around zero and widen outwards: residuals of good experts are small most of the time and large now and
then, and both have to be told apart.

References:
    Müller et al. (2022), Transformers can do Bayesian inference, section 5 and appendix E, for the Riemann distribution.
"""

import jax
import jax.numpy as jnp
import numpy as np

_POSITIVE = np.array([0.02, 0.05, 0.1, 0.2, 0.35, 0.55, 0.8, 1.1, 1.5, 2.0, 2.7, 3.7, 5.0])
BORDERS = np.concatenate([-_POSITIVE[::-1], _POSITIVE]).astype(np.float32)
NUM_BARS = len(BORDERS) + 1  # the first and the last are the tails
TAIL_SCALE = 3.0  # of the half-normals
_CENTRES = np.concatenate(
    [
        [BORDERS[0] - TAIL_SCALE * np.sqrt(2 / np.pi)],
        (BORDERS[1:] + BORDERS[:-1]) / 2,
        [BORDERS[-1] + TAIL_SCALE * np.sqrt(2 / np.pi)],
    ]
).astype(np.float32)
# Mean squares of a bar around its own centre: of an even one, and of a half-normal.
_VARIANCES = np.concatenate(
    [
        [TAIL_SCALE**2 * (1 - 2 / np.pi)],
        np.square(BORDERS[1:] - BORDERS[:-1]) / 12,
        [TAIL_SCALE**2 * (1 - 2 / np.pi)],
    ]
).astype(np.float32)


def first_logits() -> np.ndarray:
    """Logits of a Laplace distribution with scale 0.5, to start from. [NUM_BARS]"""
    cdf = np.where(BORDERS < 0, 0.5 * np.exp(BORDERS / 0.5), 1 - 0.5 * np.exp(-BORDERS / 0.5))
    shares = np.diff(np.concatenate([[0.0], cdf, [1.0]]))
    return np.log(np.maximum(shares, 1e-6)).astype(np.float32)


def log_density(logits: jax.Array, x: jax.Array) -> jax.Array:
    """Of x [...] under logits [..., NUM_BARS], in nats."""
    index = jnp.searchsorted(jnp.asarray(BORDERS), x, side="right", method="compare_all")
    widths = jnp.asarray(np.concatenate([[1.0], np.diff(BORDERS), [1.0]]).astype(np.float32))
    outside = jnp.maximum(jnp.maximum(BORDERS[0] - x, x - BORDERS[-1]), 0.0)
    half_normal = jnp.log(2.0 / (TAIL_SCALE * jnp.sqrt(2 * jnp.pi))) - 0.5 * jnp.square(outside / TAIL_SCALE)
    is_tail = (index == 0) | (index == NUM_BARS - 1)
    within = jnp.where(is_tail, half_normal, -jnp.log(widths[index]))
    log_shares = jax.nn.log_softmax(logits)
    return jnp.take_along_axis(log_shares, index[..., None], axis=-1)[..., 0] + within


def mean(logits: jax.Array) -> jax.Array:
    """[...] of logits [..., NUM_BARS]."""
    return jax.nn.softmax(logits) @ jnp.asarray(_CENTRES)


def std(logits: jax.Array) -> jax.Array:
    """Standard deviation [...] of logits [..., NUM_BARS]."""
    shares = jax.nn.softmax(logits)
    second = shares @ jnp.asarray(np.square(_CENTRES) + _VARIANCES)
    return jnp.sqrt(jnp.maximum(second - jnp.square(shares @ jnp.asarray(_CENTRES)), 1e-12))
