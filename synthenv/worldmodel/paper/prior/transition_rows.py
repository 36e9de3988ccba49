"""Rows of a prior: transitions of many environments, and what is done to them before a model learns from them.

References:
    OSWM: section 3 of the chapter, appendix table 8; released code automl/oswm at 70647fb, priors/rl_prior.py
    (``get_train_batch``) and utils.py (``get_weighted_single_eval_pos_sampler``).
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from synthenv.core import keys

MIN_CONTEXT, MAX_CONTEXT = 500, 1000  # evaluation positions lie in [500, 1000)
_CONTEXT_POWER = 0.4
_ROUNDING = 1e-6  # a column whose deviation is below this share of its mean is constant


class Rows(NamedTuple):
    """Transitions of B environments, T of each.

    Attributes:
        x: 11 state slots, then 3 action slots. [B, T, 14].
        y: 11 next-state slots in the order of x, 2 zeros, the reward. [B, T, 14].
        obs_size, action_size, num_momentum: dimensions in use and pairs among them, int [B].
        state_mask, action_mask: slots in use, bool [B, 11] and [B, 3].
    """

    x: jax.Array
    y: jax.Array
    obs_size: jax.Array
    action_size: jax.Array
    num_momentum: jax.Array
    state_mask: jax.Array
    action_mask: jax.Array


def shuffle(key: jax.Array, rows: Rows) -> Rows:
    """Permute the time steps, alike in x and y and in all environments."""
    num_rows = rows.x.shape[1]
    words = keys.stream(keys.seed_words(key), num_rows)
    # Words are sorted whose low bits are the row's number, which takes half the time of sorting pairs. At 1,001 rows,
    # 22 bits are left to chance. In one batch of nine they are equal for some two rows, which then keep their order.
    bits = (num_rows - 1).bit_length()
    tagged = (words >> bits << bits) | jnp.arange(num_rows, dtype=jnp.uint32)
    order = (jnp.sort(tagged, stable=False) & ((1 << bits) - 1)).astype(jnp.int32)
    return rows._replace(x=rows.x[:, order], y=rows.y[:, order])


def normalize(rows: Rows, num_context: jax.Array | int | None = None) -> Rows:
    """Standardise every column of every environment: mean 0, unbiased standard deviation 1; constant ones become 0.

    Args:
        rows: what to standardise.
        num_context: how many of the first rows give the moments (may be traced, at least 2); all if None. A column
            that is constant there becomes 0 everywhere; the released code has 3.4e38 in rows that differ.
    """
    return rows._replace(x=_standardize(rows.x, num_context), y=_standardize(rows.y, num_context))


def moments(x: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Return mean and unbiased standard deviation of the columns of x [T, N]; the latter is 0 of constant ones."""
    mean = jnp.mean(x, axis=0)
    std = jnp.std(x, axis=0, ddof=1)
    return mean, jnp.where(std > _ROUNDING * jnp.abs(mean), std, 0.0)


def _standardize(x: jax.Array, num_context: jax.Array | int | None) -> jax.Array:
    count = x.shape[1] if num_context is None else num_context
    inside = None if num_context is None else jnp.arange(x.shape[1])[None, :, None] < num_context
    mean = jnp.sum(x, 1, keepdims=True, where=inside) / count
    x = x - mean
    deviation = jnp.sqrt(jnp.sum(x * x, 1, keepdims=True, where=inside) / (count - 1))
    varies = deviation > _ROUNDING * jnp.abs(mean)
    return x * jnp.where(varies, 1.0 / jnp.where(varies, deviation, 1.0), 0.0)


def sample_eval_position(key: jax.Array) -> jax.Array:
    """Draw how many rows are context: 500 + i with probability proportional to (500 - i)^-0.4, int []."""
    left = np.arange(MAX_CONTEXT - MIN_CONTEXT, 0, -1)
    cumulative = np.cumsum(left**-_CONTEXT_POWER)
    return MIN_CONTEXT + (jax.random.uniform(key) >= jnp.asarray(cumulative[:-1] / cumulative[-1])).sum()
