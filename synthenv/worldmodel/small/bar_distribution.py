"""A distribution over the real line made of bars: probabilities of intervals, with Lomax tails outside.

Bars are narrow around zero and widen outwards, because residuals of good experts are small most of the time and large
now and then, and sizes of both kinds have to be told apart. The tails are heavier than the half-normal ones of the
reference: an agent that goes where its context never was meets residuals of any size, and none of them should dominate
the loss.

References:
    Müller et al. (2022), Transformers can do Bayesian inference, section 5, for the Riemann distribution.
"""

import jax
import jax.numpy as jnp
import numpy as np

_POSITIVE = np.array([0.003, 0.01, 0.02, 0.04, 0.07, 0.12, 0.2, 0.33, 0.53, 0.8, 1.2, 1.75, 2.5, 3.6, 5.0])
BORDERS = np.concatenate([-_POSITIVE[::-1], _POSITIVE]).astype(np.float32)
NUM_BARS = len(BORDERS) + 1  # the first and the last are the tails
TAIL_SCALE, TAIL_POWER = 6.0, 3.0  # the density falls as (1 + distance / scale) ** -(power + 1)
_TAIL_MEAN = TAIL_SCALE / (TAIL_POWER - 1)
_TAIL_VARIANCE = TAIL_SCALE**2 * TAIL_POWER / ((TAIL_POWER - 1) ** 2 * (TAIL_POWER - 2))
_ENDS = (BORDERS[0] - _TAIL_MEAN, BORDERS[-1] + _TAIL_MEAN)
_CENTRES = np.pad((BORDERS[1:] + BORDERS[:-1]) / 2, 1, constant_values=_ENDS)
# Mean squares of a bar around its own centre.
_VARIANCES = np.pad(np.square(np.diff(BORDERS)) / 12, 1, constant_values=_TAIL_VARIANCE)


def first_logits() -> np.ndarray:
    """Return the logits [NUM_BARS] of a Laplace distribution with scale 0.5, to start from."""
    cdf = np.where(BORDERS < 0, 0.5 * np.exp(BORDERS / 0.5), 1 - 0.5 * np.exp(-BORDERS / 0.5))
    shares = np.diff(np.concatenate([[0.0], cdf, [1.0]]))
    return np.log(np.maximum(shares, 1e-6)).astype(np.float32)


def log_density(logits: jax.Array, x: jax.Array) -> jax.Array:
    """Return the log-density of x [...] under logits [..., NUM_BARS], in nats."""
    index = jnp.searchsorted(jnp.asarray(BORDERS), x, side="right", method="compare_all")
    widths = jnp.asarray(np.concatenate([[1.0], np.diff(BORDERS), [1.0]]).astype(np.float32))
    outside = jnp.maximum(jnp.maximum(BORDERS[0] - x, x - BORDERS[-1]), 0.0)
    lomax = jnp.log(TAIL_POWER / TAIL_SCALE) - (TAIL_POWER + 1) * jnp.log1p(outside / TAIL_SCALE)
    is_tail = (index == 0) | (index == NUM_BARS - 1)
    within = jnp.where(is_tail, lomax, -jnp.log(widths[index]))
    log_shares = jax.nn.log_softmax(logits)
    return jnp.take_along_axis(log_shares, index[..., None], axis=-1)[..., 0] + within


def rms(logits: jax.Array) -> jax.Array:
    """Return the root mean square [...] of the distributions with logits [..., NUM_BARS]."""
    return jnp.sqrt(jax.nn.softmax(logits) @ jnp.asarray(np.square(_CENTRES) + _VARIANCES))
