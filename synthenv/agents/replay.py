"""A ring of packed transitions.

One transition is one row of floats, ``[obs, next_obs, action, reward, not_done]``, padded to a whole number of
cache lines, so that drawing a batch is a single gather.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp

_LINE = 16  # float32 values in a 64-byte cache line


class Replay(NamedTuple):
    """rows [capacity, width] and the number of rows in use (the newest ``size`` writes)."""

    rows: jax.Array
    size: jax.Array


class Rows(NamedTuple):
    """A batch: obs and next_obs [B, obs], action int32 [B], reward and not_done [B]."""

    obs: jax.Array
    next_obs: jax.Array
    action: jax.Array
    reward: jax.Array
    not_done: jax.Array


def init_replay(capacity: int, obs_size: int) -> Replay:
    """An empty ring."""
    width = -(-(2 * obs_size + 3) // _LINE) * _LINE
    return Replay(jnp.zeros((capacity, width), jnp.float32), jnp.int32(0))


def write_row(
    replay: Replay,
    step: jax.Array,
    obs: jax.Array,
    next_obs: jax.Array,
    action: jax.Array,
    reward: jax.Array,
    not_done: jax.Array,
) -> Replay:
    """Store the transition of time ``step`` at ``step mod capacity``."""
    capacity, width = replay.rows.shape
    tail = jnp.stack([action.astype(jnp.float32), reward, not_done.astype(jnp.float32)])
    row = jnp.concatenate([obs, next_obs, tail])
    row = jnp.pad(row, (0, width - row.size))
    rows = jax.lax.dynamic_update_index_in_dim(replay.rows, row, step % capacity, 0)
    return Replay(rows, jnp.minimum(step + 1, capacity))


def unpack(rows: jax.Array, obs_size: int) -> Rows:
    """Split packed rows [B, width]."""
    tail = rows[:, 2 * obs_size : 2 * obs_size + 3]
    return Rows(
        obs=rows[:, :obs_size],
        next_obs=rows[:, obs_size : 2 * obs_size],
        action=tail[:, 0].astype(jnp.int32),
        reward=tail[:, 1],
        not_done=tail[:, 2],
    )


def sample_rows(bits: jax.Array, replay: Replay, obs_size: int) -> Rows:
    """Draw rows uniformly with replacement.

    Args:
        bits: random uint32 [B]. Reduced modulo the fill, a bias below 1e5 / 2**32.
        replay: the ring; at least one row must have been written.
        obs_size: length of an observation.
    """
    index = (bits % replay.size.astype(jnp.uint32)).astype(jnp.int32)
    return unpack(replay.rows.at[index].get(mode="promise_in_bounds"), obs_size)
