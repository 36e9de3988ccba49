"""Who was trained for how long: random histories of a search, and what may be asked after them.

Every candidate owns as many tickets as it has steps. Tickets are drawn without replacement, with weights that differ a
lot between candidates in some histories and little in others: those with the smallest exponential clocks. The first
ones drawn are the history, in which a candidate with three tickets has been trained for three steps. The rest are
questions: each becomes a random step that the candidate has not been trained for yet, no two of them the same.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp


class Order(NamedTuple):
    """A history and questions; S candidates, Q questions.

    Attributes:
        done: steps that each candidate was trained for. int32 [S]
        candidate: which one is asked for. int32 [Q]
        step: after how many steps. int32 [Q]
        mask: which questions there are. bool [Q]
    """

    done: jax.Array
    candidate: jax.Array
    step: jax.Array
    mask: jax.Array


def draw_weights(key: jax.Array, num_candidates: int) -> jax.Array:
    """How much the candidates are favoured, up to a factor. [S]"""
    key_spread, key_weights = jax.random.split(key)
    shape = 10.0 ** jax.random.uniform(key_spread, (), minval=-4.0, maxval=-1.0)
    return shape * jnp.exp(jax.random.loggamma(key_weights, shape, (num_candidates,))) + 1e-9


def draw(
    key: jax.Array,
    weights: jax.Array,
    tickets: jax.Array,
    num_points: int,
    most_steps: int,
    num_queries: int,
) -> Order:
    """Draw a history of up to ``num_points - 1`` steps, and questions from the rest of that many tickets.

    Args:
        key: random.
        weights: of the candidates. [S]
        tickets: how many each has, at most ``most_steps``. int32 [S]
        num_points: tickets drawn, if there are so many.
        most_steps: static bound of the tickets.
        num_queries: Q; with fewer questions than tickets that are left, a random part of them.
    """
    key_clock, key_size, key_part = jax.random.split(key, 3)
    num_candidates = len(tickets)
    num_points = min(num_points, num_candidates * most_steps)
    there = jnp.arange(most_steps)[None] < tickets[:, None]
    clocks = jax.random.exponential(key_clock, there.shape) / jnp.broadcast_to(weights[:, None], there.shape)
    _, drawn = jax.lax.top_k(jnp.where(there, -clocks, -jnp.inf).reshape(-1), num_points)
    exists = there.reshape(-1)[drawn]
    in_history = jnp.arange(num_points) < jax.random.randint(
        key_size, (), 0, jnp.minimum(num_points, jnp.sum(exists))
    )
    seen = jnp.zeros(num_candidates * most_steps, bool).at[drawn].set(in_history & exists)
    seen = seen.reshape(num_candidates, most_steps)
    done = jnp.sum(seen, axis=1)
    later = done[:, None] + jnp.cumsum(
        ~seen, axis=1
    )  # the step that a ticket asks for, if it is not of the history
    chance = jnp.where(exists & ~in_history, jax.random.uniform(key_part, (num_points,)), -1.0)
    chance, part = jax.lax.top_k(chance, min(num_queries, num_points))
    asked = drawn[part]
    return Order(done, asked // most_steps, later.reshape(-1)[asked], chance >= 0.0)
