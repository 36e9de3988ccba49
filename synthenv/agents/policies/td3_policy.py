"""The policy of TD3: actions from the actor's network, with and without noise, continuous or by Gumbel-softmax.

References:
    Jang et al. (2017), Categorical reparameterization with Gumbel-softmax.
    Ferreira et al. (2022), the released code: a test acts with exploration noise there (``test_noise``), the Gumbel
    temperature falls to a twentieth in 2,000 gradient steps (``annealed``) or is trained (``learned``, the agents of
    figure 3).
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp

from synthenv.agents.off_policy_config import TD3Config
from synthenv.agents.training.action_vectors import env_action, gumbel_softmax
from synthenv.core.keys import gumbel, normal
from synthenv.envs.action_units import Actions
from synthenv.nets.network import Network, apply_network

_ANNEALING_STEPS = 2000
_COLDEST = 0.05  # annealing ends at this share of the first temperature; a learned one gets no lower


class Actor(NamedTuple):
    """The policy network, and the temperature of its samples (unused by continuous actions)."""

    net: Network
    temperature: jax.Array


class Policy(NamedTuple):
    """What a test needs: the actor, how often it was trained, and the noise of exploration."""

    actor: Actor
    num_updates: jax.Array
    action_std: jax.Array


def temperature(actor: Actor, num_updates: jax.Array, config: TD3Config) -> jax.Array:
    """Return the temperature of the Gumbel-softmax after so many gradient steps.

    The actor's own is the first one, or the one that holds if it is learned.
    """
    if config.temperature_mode == "learned":
        return jnp.maximum(actor.temperature, _COLDEST)
    if config.temperature_mode == "fixed":
        return actor.temperature
    share = jnp.minimum(num_updates / _ANNEALING_STEPS, 1.0)
    return actor.temperature * (1.0 - (1.0 - _COLDEST) * share)


def propose(
    words: jax.Array,
    actor: Actor,
    obs: jax.Array,
    num_updates: jax.Array,
    actions: Actions,
    config: TD3Config,
) -> jax.Array:
    """Return the policy's action vectors [..., size] without exploration noise.

    Args:
        words: random uint32 [..., size], which continuous actions do without.
        actor: network and temperature.
        obs: observations [..., obs].
        num_updates: gradient steps so far, int32 [].
        actions: the environment's actions.
        config: the agent's config.
    """
    out = apply_network(actor.net, obs, config.activation)
    if not actions.discrete:
        return actions.bound * jnp.tanh(out)
    return gumbel_softmax(gumbel(words), out, temperature(actor, num_updates, config), config.one_hot)


def noisy_action(
    words: jax.Array, policy: Policy, obs: jax.Array, actions: Actions, config: TD3Config
) -> jax.Array:
    """Return the policy's action [size] with exploration noise on every component.

    Args:
        words: random uint32 [3 * size].
        policy: actor and standard deviation of the noise.
        obs: observation [obs].
        actions: the environment's actions.
        config: the agent's config.
    """
    size = actions.size
    action = propose(words[:size], policy.actor, obs, policy.num_updates, actions, config)
    action += policy.action_std * normal(words[size:].reshape(size, 2))
    return action if actions.discrete else jnp.clip(action, -actions.bound, actions.bound)


def act(key: jax.Array, policy: Policy, obs: jax.Array, actions: Actions, config: TD3Config) -> jax.Array:
    """Act in a test: without noise, or with that of exploration as the released code has it.

    Args:
        key: random key, which only noise needs.
        policy: the actor and what its noise needs.
        obs: observation [obs].
        actions: the environment's actions.
        config: says by ``test_noise`` which of the two it is.
    """
    if config.test_noise:
        words = jax.random.bits(key, (3 * actions.size,))
        return env_action(noisy_action(words, policy, obs, actions, config), actions)
    out = apply_network(policy.actor.net, obs, config.activation)
    return jnp.argmax(out, axis=-1) if actions.discrete else actions.bound * jnp.tanh(out)
