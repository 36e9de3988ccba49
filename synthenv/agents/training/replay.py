"""A ring of packed transitions.

One transition is one row of floats, ``[obs, next_obs, action, reward, not_done]``, padded to a whole number of
cache lines, so that drawing a batch is a single gather.
"""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp

_LINE = 16  # float32 values in a 64-byte cache line


class Replay(NamedTuple):
    """A ring of rows [capacity, width], and how many are in use (the newest ``size`` writes)."""

    rows: jax.Array
    size: jax.Array


class Rows(NamedTuple):
    """A batch: obs and next_obs [B, obs], action [B, action] (int32 [B] for indices), reward and not_done [B]."""

    obs: jax.Array
    next_obs: jax.Array
    action: jax.Array
    reward: jax.Array
    not_done: jax.Array


RowsTransform = Callable[[Rows], Rows]


def unchanged(rows: Rows) -> Rows:
    """The transform of a batch that does nothing."""
    return rows


def init_replay(capacity: int, obs_size: int, action_size: int = 1) -> Replay:
    """Make an empty ring."""
    width = -(-(2 * obs_size + action_size + 2) // _LINE) * _LINE
    return Replay(jnp.zeros((capacity, width), jnp.float32), jnp.int32(0))


def pack_row(
    width: int,
    obs: jax.Array,
    next_obs: jax.Array,
    action: jax.Array,
    reward: jax.Array,
    not_done: jax.Array,
) -> jax.Array:
    """Pack one transition into a row [width].

    Args:
        width: floats in a row of the ring.
        obs: observation [obs].
        next_obs: the one after it [obs].
        action: a vector [action] or an index [].
        reward: [].
        not_done: factor of the next state's value [].
    """
    ends = jnp.stack([reward, not_done.astype(jnp.float32)])
    row = jnp.concatenate([obs, next_obs, jnp.atleast_1d(action).astype(jnp.float32), ends])
    return jnp.pad(row, (0, width - row.size))


def write_row(replay: Replay, step: jax.Array, row: jax.Array, skip: jax.Array | None = None) -> Replay:
    """Store the transition of time ``step`` at ``step mod capacity``, or nothing where ``skip`` says so."""
    capacity = replay.rows.shape[0]
    index, size = step % capacity, step + 1
    if skip is not None:  # a branch would select over all rows under vmap
        row = jnp.where(skip, jax.lax.dynamic_index_in_dim(replay.rows, index, keepdims=False), row)
        size = jnp.where(skip, step, size)
    rows = jax.lax.dynamic_update_index_in_dim(replay.rows, row, index, 0)
    return Replay(rows, jnp.minimum(size, capacity))


def unpack(rows: jax.Array, obs_size: int, action_size: int | None = None) -> Rows:
    """Split packed rows [B, width]; without ``action_size`` actions are indices."""
    size = action_size or 1
    tail = rows[:, 2 * obs_size : 2 * obs_size + size + 2]
    return Rows(
        obs=rows[:, :obs_size],
        next_obs=rows[:, obs_size : 2 * obs_size],
        action=tail[:, :size] if action_size else tail[:, 0].astype(jnp.int32),
        reward=tail[:, size],
        not_done=tail[:, size + 1],
    )


def sample_rows(bits: jax.Array, replay: Replay, obs_size: int, action_size: int | None = None) -> Rows:
    """Draw rows uniformly with replacement.

    Args:
        bits: random uint32 [B]; they are reduced modulo the fill, which biases by less than 1e5 / 2**32.
        replay: the ring; at least one row must have been written.
        obs_size: length of an observation.
        action_size: length of an action; None if actions are indices.
    """
    index = (bits % replay.size.astype(jnp.uint32)).astype(jnp.int32)
    return unpack(replay.rows.at[index].get(mode="promise_in_bounds"), obs_size, action_size)
