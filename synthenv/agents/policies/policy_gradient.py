"""What policy-gradient agents share: distributions over actions and the clipped surrogate.

The log-probability of a choice and the entropy of a vector come from distrax, whose numbers are to the last bit those
that agents of earlier versions were trained with. The entropy of a choice and the log-probability of a vector would
differ in the last bit, so both are written out here. Samples are drawn from random words that a loop has at hand, where
distrax asks for keys. All of them are tested against distrax.

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
    """A distribution over choices by logits [..., choices], which need not be normalised."""

    logits: jax.Array

    def sample(self, noise: jax.Array) -> jax.Array:
        """Draw indices [...] by the Gumbel-max trick from standard Gumbel noise [..., choices]."""
        return jnp.argmax(self.logits + noise, axis=-1)

    def mode(self) -> jax.Array:
        """Return the likeliest index [...]; ties go to the first."""
        return jnp.argmax(self.logits, axis=-1)

    def log_prob(self, action: jax.Array) -> jax.Array:
        """Return the log-probability [...] of indices [...]."""
        return as_distrax(self).log_prob(action)

    def entropy(self) -> jax.Array:
        """Return the entropy [...] in nats."""
        log_probs = jax.nn.log_softmax(self.logits)
        return -jnp.sum(jnp.exp(log_probs) * log_probs, axis=-1)


class Gaussian(NamedTuple):
    """Independent normal components; mean and std [..., size]."""

    mean: jax.Array
    std: jax.Array

    def sample(self, noise: jax.Array) -> jax.Array:
        """Draw vectors [..., size] from standard normal noise [..., size]."""
        return self.mean + self.std * noise

    def mode(self) -> jax.Array:
        """Return the mean [..., size]."""
        return self.mean

    def log_prob(self, action: jax.Array) -> jax.Array:
        """Return the log-density [...] of vectors [..., size]."""
        deviation = (action - self.mean) / self.std
        return jnp.sum(-0.5 * jnp.square(deviation) - jnp.log(self.std) - 0.5 * _LOG_2_PI, axis=-1)

    def entropy(self) -> jax.Array:
        """Return the differential entropy [...] in nats."""
        return as_distrax(self).entropy()


def as_distrax(choice: Categorical | Gaussian) -> Any:
    """Return the same distribution as an object of distrax, which can do more: sample by key, moments, divergences."""
    # distrax imports TensorFlow Probability, which takes half a second: only those who have a policy pay for it. The
    # import may happen while a program is traced, and what a module computes meanwhile must not belong to that program.
    with jax.ensure_compile_time_eval():
        import distrax

    if isinstance(choice, Categorical):
        return distrax.Categorical(logits=choice.logits)
    return distrax.Independent(distrax.Normal(choice.mean, choice.std), reinterpreted_batch_ndims=1)


def num_noise_words(actions: Actions) -> int:
    """Return the number of random words that the noise of one action takes."""
    return actions.size if actions.discrete else 2 * actions.size


def noise_from(words: jax.Array, actions: Actions) -> jax.Array:
    """Turn random uint32 [..., num_noise_words] into the noise that ``sample`` needs, float32 [..., size]."""
    if actions.discrete:
        return keys.gumbel(words)
    return keys.normal(words.reshape(*words.shape[:-1], actions.size, 2))


def clipped_surrogate(
    log_prob: jax.Array, old_log_prob: jax.Array, advantage: jax.Array, clip_ratio: jax.Array
) -> jax.Array:
    """Return PPO's objective [B], to be maximised: a ratio beyond 1 +- ``clip_ratio`` gains nothing."""
    ratio = jnp.exp(log_prob - old_log_prob)
    clipped = jnp.clip(ratio, 1.0 - clip_ratio, 1.0 + clip_ratio)
    return jnp.minimum(ratio * advantage, clipped * advantage)


def standardize(x: jax.Array) -> jax.Array:
    """Shift and scale x [B] to mean 0 and standard deviation 1."""
    return (x - jnp.mean(x)) / (jnp.std(x) + 1e-8)
