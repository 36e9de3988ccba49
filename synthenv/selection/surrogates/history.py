"""What a search has seen of a data set, in arrays of one size: nothing is compiled again as it grows.

It is kept twice: in the order in which it came, as rows; and as curves, candidate by step. Rows have a capacity; when
it is used up, the newest row takes the place of the oldest. Curves forget nothing.

Axis letters here: N candidates, T steps, M rows at most.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp

from synthenv.selection.surrogates.surrogate import Seen


class History(NamedTuple):
    """Steps seen so far.

    Attributes:
        candidate: of each row. int32 [M]
        step: how many steps the candidate had then been trained for. int32 [M]
        score: NaN for a crash. [M]
        seconds: what the step took, NaN where unknown. [M]
        count: rows ever appended. int32 []
        curves: scores by candidate and step, NaN where there is none. [N, T]
        steps: steps of each candidate. int32 [N]
        crashed: which candidates crashed. bool [N]
    """

    candidate: jax.Array
    step: jax.Array
    score: jax.Array
    seconds: jax.Array
    count: jax.Array
    curves: jax.Array
    steps: jax.Array
    crashed: jax.Array

    @property
    def mask(self) -> jax.Array:
        """Which rows hold a score. bool [M]"""
        return (jnp.arange(len(self.score)) < self.count) & ~jnp.isnan(self.score)


def empty(num_candidates: int, num_steps: int, capacity: int) -> History:
    """Nothing seen yet."""
    unknown, zeros = jnp.full(capacity, jnp.nan), jnp.zeros(capacity, jnp.int32)
    return History(
        zeros,
        zeros,
        unknown,
        unknown,
        jnp.zeros((), jnp.int32),
        jnp.full((num_candidates, num_steps), jnp.nan),
        jnp.zeros(num_candidates, jnp.int32),
        jnp.zeros(num_candidates, bool),
    )


def append(history: History, seen: Seen) -> History:
    """Add one step of one candidate."""
    row = history.count % len(history.score)
    candidate = seen.candidate
    return History(
        history.candidate.at[row].set(candidate),
        history.step.at[row].set(seen.step),
        history.score.at[row].set(seen.score),
        history.seconds.at[row].set(seen.seconds),
        history.count + 1,
        history.curves.at[candidate, seen.step - 1].set(seen.score),
        history.steps.at[candidate].max(seen.step),
        history.crashed.at[candidate].max(jnp.isnan(seen.score)),
    )


class Rows(NamedTuple):
    """Points of curves, padded: candidate int32 [M], step int32 [M], score [M] (0 where masked), mask bool [M]."""

    candidate: jax.Array
    step: jax.Array
    score: jax.Array
    mask: jax.Array


def telling_rows(history: History, capacity: int) -> Rows:
    """At most so many points of the curves, those first that tell the most of what comes next.

    First the last point of every curve, then the first, then those 1, 2, 4, 8, ... steps before the last, then the
    others from the end backwards.
    """
    num_candidates, num_steps = history.curves.shape
    step = jnp.arange(1, num_steps + 1)[None]
    age = history.steps[:, None] - step
    is_power = (age & (age - 1)) == 0
    kind = jnp.where(age == 0, 0, jnp.where(step == 1, 1, jnp.where(is_power, 2, 3)))
    there = (age >= 0) & ~jnp.isnan(history.curves)
    rank = jnp.where(there, kind * num_steps + age, 4 * num_steps)
    capacity = min(capacity, num_candidates * num_steps)
    place = jax.lax.top_k(-rank.ravel(), capacity)[1]
    mask = there.ravel()[place]
    score = jnp.where(mask, history.curves.ravel()[place], 0.0)
    return Rows(place // num_steps, place % num_steps + 1, score, mask)
