"""Epsilon-greedy exploration, with a rate that falls once per episode."""

from typing import Any

import jax
import jax.numpy as jnp

from synthenv.core.keys import uniform


def epsilon_greedy(words: jax.Array, greedy: jax.Array, epsilon: jax.Array, num_actions: int) -> jax.Array:
    """Replace the greedy action by a uniform one with probability ``epsilon``; words uint32 [2]."""
    other = (words[1] % num_actions).astype(greedy.dtype)
    return jnp.where(uniform(words[0]) < epsilon, other, greedy)


def next_epsilon(epsilon: jax.Array, hyperparams: Any) -> jax.Array:
    """Return the rate of the next episode: ``epsilon_decay`` times this one's, at least ``epsilon_min``."""
    return jnp.maximum(epsilon * hyperparams.epsilon_decay, hyperparams.epsilon_min)
