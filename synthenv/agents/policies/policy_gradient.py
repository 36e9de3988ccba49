"""What policy-gradient agents share: distributions over actions and the clipped surrogate.

The log-probability of a choice and the entropy of a vector are distrax's: to the last bit, these are the numbers that
agents of earlier versions were trained with. The other two are a line or two of our own for that reason, and samples
because a loop draws them from random words that it has at hand, not from keys. All are tested against distrax.

References:
    Schulman et al. (2017), Proximal policy optimization algorithms, equation 7.
"""

from typing import Any, NamedTuple

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
        return as_distrax(self).log_prob(action)

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
        return as_distrax(self).entropy()


def as_distrax(choice: Categorical | Gaussian) -> Any:
    """The same distribution with all that distrax knows of it: samples by key, moments, divergences."""
    # TensorFlow Probability comes along, half a second that only those pay who have a policy. The first one may come
    # here while a program is traced, and what a module computes as it is imported must not belong to that program.
    with jax.ensure_compile_time_eval():
        import distrax

    if isinstance(choice, Categorical):
        return distrax.Categorical(logits=choice.logits)
    return distrax.Independent(distrax.Normal(choice.mean, choice.std), reinterpreted_batch_ndims=1)


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
