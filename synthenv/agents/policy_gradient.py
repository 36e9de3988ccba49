"""What policy-gradient agents share: distributions over actions and the clipped surrogate.

A few lines of our own rather than distrax: samples are drawn from random words that a loop has at hand, not from keys,
and importing distrax imports TensorFlow Probability.

References:
    Schulman et al. (2017), Proximal policy optimization algorithms, equation 7.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp

from synthenv.core import keys
from synthenv.envs.action_units import Actions

_LOG_2_PI = 1.8378770664093453


class Categorical(NamedTuple):
    """One of several choices; logits [..., choices], not normalised."""

    logits: jax.Array

    def sample(self, noise: jax.Array) -> jax.Array:
        """An index [...] by the Gumbel-max trick; standard Gumbel noise [..., choices]."""
        return jnp.argmax(self.logits + noise, axis=-1)

    def mode(self) -> jax.Array:
        """The likeliest index [...]; ties go to the first."""
        return jnp.argmax(self.logits, axis=-1)

    def log_prob(self, action: jax.Array) -> jax.Array:
        """Log-probability [...] of indices [...]."""
        chosen = jax.nn.one_hot(action, self.logits.shape[-1], dtype=bool)
        return jnp.sum(jnp.where(chosen, jax.nn.log_softmax(self.logits), 0.0), axis=-1)

    def entropy(self) -> jax.Array:
        """In nats [...]."""
        log_probs = jax.nn.log_softmax(self.logits)
        return -jnp.sum(jnp.exp(log_probs) * log_probs, axis=-1)


class Gaussian(NamedTuple):
    """Independent normal components; mean and std [..., size]."""

    mean: jax.Array
    std: jax.Array

    def sample(self, noise: jax.Array) -> jax.Array:
        """A vector [..., size]; standard normal noise [..., size]."""
        return self.mean + self.std * noise

    def mode(self) -> jax.Array:
        """The mean [..., size]."""
        return self.mean

    def log_prob(self, action: jax.Array) -> jax.Array:
        """Log-density [...] of vectors [..., size]."""
        deviation = (action - self.mean) / self.std
        return jnp.sum(-0.5 * jnp.square(deviation) - jnp.log(self.std) - 0.5 * _LOG_2_PI, axis=-1)

    def entropy(self) -> jax.Array:
        """In nats [...]."""
        return jnp.sum(jnp.log(self.std) + 0.5 * (1.0 + _LOG_2_PI), axis=-1)


def num_noise_words(actions: Actions) -> int:
    """Random words that the noise of one action takes."""
    return actions.size if actions.discrete else 2 * actions.size


def noise_from(words: jax.Array, actions: Actions) -> jax.Array:
    """What ``sample`` needs, float32 [..., size], from uint32 [..., num_noise_words]."""
    if actions.discrete:
        return keys.gumbel(words)
    return keys.normal(words.reshape(*words.shape[:-1], actions.size, 2))


def clipped_surrogate(
    log_prob: jax.Array, old_log_prob: jax.Array, advantage: jax.Array, clip_ratio: jax.Array
) -> jax.Array:
    """PPO's objective [B] of each row, to be maximised: no gain from a ratio beyond 1 +- ``clip_ratio``."""
    ratio = jnp.exp(log_prob - old_log_prob)
    clipped = jnp.clip(ratio, 1.0 - clip_ratio, 1.0 + clip_ratio)
    return jnp.minimum(ratio * advantage, clipped * advantage)


def standardize(x: jax.Array) -> jax.Array:
    """Shift and scale x [B] to mean 0 and standard deviation 1."""
    return (x - jnp.mean(x)) / (jnp.std(x) + 1e-8)
