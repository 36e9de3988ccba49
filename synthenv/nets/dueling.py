"""The dueling head: a value and an advantage over shared features.

References:
    Wang et al. (2016), Dueling network architectures for deep reinforcement learning. The released SE/RN code has no
    activation between the features and the heads, and takes the mean advantage over batch and actions together.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp

from synthenv.nets.mlp import Params, apply_mlp, init_mlp
from synthenv.nets.network import Network, apply_network, init_network


class DuelingParams(NamedTuple):
    """features [in] -> [feature], value [feature] -> [1], advantage [feature] -> [actions]."""

    features: Network
    value: Params
    advantage: Params


def init_dueling(
    key: jax.Array,
    in_size: int,
    hidden_size: int | jax.Array,
    num_actions: int,
    depth: int,
    feature_size: int,
    max_hidden: int | None = None,
    network: str = "",
) -> DuelingParams:
    """Draw features by ``init_network``, and two heads with one hidden layer each.

    Args:
        key: random key.
        in_size: length of an observation.
        hidden_size: units per hidden layer of the features; may be traced if ``max_hidden`` is given.
        num_actions: choices in a state.
        depth: hidden layers of the features.
        feature_size: number of features, and units of the hidden layer of each head.
        max_hidden: static width of the arrays; ``hidden_size`` if None.
        network: registered module that computes the features in place of an MLP, by name.
    """
    keys = jax.random.split(key, 3)
    return DuelingParams(
        features=init_network(keys[0], network, in_size, hidden_size, feature_size, depth, max_hidden),
        value=init_mlp(keys[1], feature_size, feature_size, 1, 1),
        advantage=init_mlp(keys[2], feature_size, feature_size, num_actions, 1),
    )


def apply_advantages(params: DuelingParams, x: jax.Array, activation: str) -> jax.Array:
    """Advantages [..., actions] of observations x [..., in]: enough to rank a state's actions, without its value."""
    return apply_mlp(params.advantage, apply_network(params.features, x, activation), activation)


def apply_dueling(
    params: DuelingParams, x: jax.Array, activation: str, weight: jax.Array | None = None
) -> jax.Array:
    """Values [..., actions] of observations x [..., in].

    Args:
        params: the net.
        x: observations.
        activation: of every hidden layer.
        weight: of every row [B] in the mean advantage over batch and actions, summing to 1; None takes the mean of
            each state apart.
    """
    features = apply_network(params.features, x, activation)
    value = apply_mlp(params.value, features, activation)
    advantage = apply_mlp(params.advantage, features, activation)
    mean = jnp.mean(advantage, axis=-1, keepdims=True)
    if weight is not None:
        mean = jnp.sum(weight[:, None] * mean, keepdims=True)
    return value + (advantage - jnp.broadcast_to(mean, advantage.shape))
