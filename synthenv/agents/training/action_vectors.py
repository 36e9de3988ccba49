"""Actions of actor-critic agents: vectors of numbers, also where the environment takes an index.

References:
    Jang et al. (2017), Categorical reparameterization with Gumbel-softmax.
"""

import jax
import jax.numpy as jnp

from synthenv.envs.action_units import Actions


def gumbel_softmax(noise: jax.Array, logits: jax.Array, temperature: jax.Array, one_hot: bool) -> jax.Array:
    """Draw a relaxed sample [..., choices], or with ``one_hot`` a hard one that has the relaxed one's gradient."""
    soft = jax.nn.softmax((logits + noise) / temperature)
    if not one_hot:
        return soft
    hard = jax.nn.one_hot(jnp.argmax(soft, axis=-1), soft.shape[-1])
    return hard + soft - jax.lax.stop_gradient(soft)


def env_action(action: jax.Array, actions: Actions) -> jax.Array:
    """Return what the environment takes: the vector itself, or the index of its largest entry."""
    return jnp.argmax(action, axis=-1) if actions.discrete else action
