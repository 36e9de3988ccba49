"""Ends of episodes as limits of single observed numbers: a pole leans too far, a car is past the flag.

A limit lies half way between the outermost number from which an episode went on and the next one at which one ended.
Limits that account for most ends are taken first, and no more than are needed: a pole that falls is fast as well.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from synthenv.core.errors import UserError

_ENOUGH = 0.9


class Limits(NamedTuple):
    """Limits beyond which episodes end; they are infinite where there is none.

    Attributes:
        low: lower limits. [d]
        high: upper limits. [d]
        explained: share of the rows that ended an episode which lie beyond a limit; 1 if none ended one. []
    """

    low: jax.Array
    high: jax.Array
    explained: jax.Array


def find(next_obs: np.ndarray, terminated: np.ndarray) -> Limits:
    """Find limits between observations [C, d] that ended an episode (bool [C]) and those that did not."""
    after = np.concatenate([next_obs, -next_obs], axis=1)  # only upper limits from here on
    going, ended = after[~terminated], after[terminated]
    limits = np.full(after.shape[1], np.inf)
    left = np.ones(len(ended), bool)
    if len(ended) and not len(going):  # every step is the last one of its episode, as in a bandit
        limits[0], left = -np.inf, ~left
    outermost = going.max(axis=0) if len(going) else np.full_like(limits, np.inf)
    beyond = ended > outermost
    while (counts := (beyond & left[:, None]).sum(axis=0)).any():
        column = int(np.argmax(counts))
        limits[column] = 0.5 * (outermost[column] + ended[beyond[:, column], column].min())
        left &= ~beyond[:, column]
    high, negated = np.split(limits, 2)
    explained = 1.0 - left.mean() if len(ended) else 1.0
    return Limits(*(jnp.asarray(array, jnp.float32) for array in (-negated, high, explained)))


def is_beyond(limits: Limits, obs: jax.Array) -> jax.Array:
    """Return whether an episode ends at obs [d]. bool []"""
    return jnp.any((obs < limits.low) | (obs > limits.high))


def are_beyond(limits: Limits, obs: np.ndarray) -> np.ndarray:
    """Return which of many observations [N, d] end an episode. bool [N]"""
    return np.any((obs < np.asarray(limits.low)) | (obs > np.asarray(limits.high)), axis=1)


def check(limits: Limits) -> None:
    """Refuse to dream where episodes end for other reasons.

    Raises:
        UserError: limits account for too few ends.
    """
    if limits.explained < _ENOUGH:
        raise UserError(
            f"limits of single observed numbers account for {limits.explained:.0%} of the ends in this context, the"
            " others lie amid observations from which episodes went on: write time limits as truncations, pass"
            " --termination known if the task's rule is known, or --model small, which learns other ends too"
        )
