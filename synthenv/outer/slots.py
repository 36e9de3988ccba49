"""Continuous batching of members inside one compiled program, for accelerators.

A vmapped ``while_loop`` runs until its slowest member ends. Here a fixed number of slots is advanced in chunks;
after each chunk a finished member's result is filed and its slot is given to the next waiting member, as servers of
language models do with their requests. Buffers never pass through a select except at a hand-over.
"""

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

PyTree = Any

# A program may hold all states so many times: before and after a step, fresh ones, and what steps need.
_COPIES = 4


class SlotSteps(NamedTuple):
    """Steps of all slots together: how many were executed, and how many of these advanced a member."""

    executed: jax.Array
    useful: jax.Array


def fitting_width(member: PyTree, memory: int) -> int:
    """Return how many members with states shaped like ``member`` a device of ``memory`` bytes can step together."""
    size = sum(math.prod(leaf.shape) * leaf.dtype.itemsize for leaf in jax.tree.leaves(member))
    return max(1, memory // (_COPIES * size))


def run_slots(
    init: Callable[[PyTree], PyTree],
    step: Callable[[PyTree, PyTree], PyTree],
    finished: Callable[[PyTree], jax.Array],
    result: Callable[[PyTree, PyTree], PyTree],
    tasks: PyTree,
    width: int,
    chunk: int,
) -> tuple[PyTree, SlotSteps]:
    """Work through all tasks with ``width`` slots.

    Args:
        init: task -> state of a fresh member.
        step: (task, state) -> state; must leave a finished member as it is.
        finished: state -> bool [].
        result: (task, state) -> what to keep of a finished member.
        tasks: pytree with leading axis N.
        width: slots advanced together.
        chunk: steps between hand-overs.

    Returns:
        results with leading axis N, in the order of the tasks, and the number of slot steps (executed: width x chunk
        x chunks).
    """
    num_tasks = jax.tree.leaves(tasks)[0].shape[0]
    width = min(width, num_tasks)

    def take(index: jax.Array) -> PyTree:
        return jax.tree.map(lambda x: x[index], tasks)

    def advance(slot_tasks: PyTree, states: PyTree) -> tuple[PyTree, jax.Array]:
        def step_all(_: jax.Array, carry: tuple[PyTree, jax.Array]) -> tuple[PyTree, jax.Array]:
            running = ~jax.vmap(finished)(carry[0])
            return jax.vmap(step)(slot_tasks, carry[0]), carry[1] + running

        return jax.lax.fori_loop(0, chunk, step_all, (states, jnp.zeros(width, jnp.int32)))

    def hand_over(carry: tuple) -> tuple:
        states, owner, waiting, results, chunks, useful = carry
        slot_tasks = jax.vmap(take)(owner)
        states, advanced = advance(slot_tasks, states)
        useful += jnp.mean(advanced / chunk)
        over = jax.vmap(finished)(states)  # [slots]
        fresh = jax.vmap(result)(slot_tasks, states)
        # Only the owner of a slot that is over may write; others aim beyond the end and are dropped.
        target = jnp.where(over & (owner < num_tasks), owner, num_tasks)
        results = jax.tree.map(lambda all_, new: all_.at[target].set(new, mode="drop"), results, fresh)
        rank = jnp.cumsum(over) - 1
        owner = jnp.where(over, jnp.minimum(waiting + rank, num_tasks), owner)
        waiting = jnp.minimum(waiting + jnp.sum(over), num_tasks)
        refill = over & (owner < num_tasks)
        states = jax.lax.cond(
            jnp.any(refill),
            lambda: _select(refill, jax.vmap(lambda i: init(take(i)))(owner), states),
            lambda: states,
        )
        return states, owner, waiting, results, chunks + 1, useful

    owner = jnp.arange(width)
    states = jax.vmap(lambda i: init(take(i)))(owner)
    shapes = jax.eval_shape(lambda: jax.vmap(result)(jax.vmap(take)(owner), states))
    results = jax.tree.map(lambda x: jnp.zeros((num_tasks, *x.shape[1:]), x.dtype), shapes)
    carry = (states, owner, jnp.int32(width), results, jnp.int32(0), jnp.float32(0))
    carry = jax.lax.while_loop(lambda c: jnp.any(c[1] < num_tasks), hand_over, carry)
    chunks = carry[4].astype(jnp.float32)  # the products would overflow an int32
    return carry[3], SlotSteps(chunks * (width * chunk), jnp.minimum(carry[5], chunks) * (width * chunk))


def _select(mask: jax.Array, new: PyTree, old: PyTree) -> PyTree:
    """``new`` where mask [slots], else ``old``, along the leading axis of every leaf."""
    return jax.tree.map(lambda a, b: jnp.where(mask.reshape(-1, *([1] * (a.ndim - 1))), a, b), new, old)
