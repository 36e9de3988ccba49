"""Reward networks: a network that shapes or replaces the reward of a real environment.

States, actions and episodes are those of the real task; only the reward that an agent trains on differs. Let Phi be the
network, r the real reward of a transition from s to s', and v its info vector. The variants pay:

    additive_potential        r + discount * Phi(s') - Phi(s)        exclusive_potential       the same without r
    additive_non_potential    r + Phi(s')                            exclusive_non_potential   Phi(s')
    ..._augmented             Phi takes (s, v) and (s', v)
    additive_linear           r + w . v                              exclusive_linear          w . v

The discount is that of the agent in training. ``info["real_reward"]`` keeps r.

References:
    Ferreira et al. (2022), Learning synthetic environments and reward networks, section 4 and table 1. The released
    code, as here, feeds the info vector of the transition just made to both potentials, where the paper has v and v'.
    Ng et al. (1999), Policy invariance under reward transformations, for potentials.
"""

import dataclasses
import math
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import struct
from gymnax.environments import environment

from synthenv.core.errors import UserError
from synthenv.core.types import brief
from synthenv.envs.gridworld import GridWorld
from synthenv.nets.mlp import Layer
from synthenv.nets.network import Network, apply_network, init_network
from synthenv.proxies.around_task import AroundTask, held
from synthenv.proxies.config import RewardConfig


@struct.dataclass
class RewardState(environment.EnvState):
    """The real state and its observation [obs]."""

    real: Any
    obs: jax.Array


@struct.dataclass
class RewardParams(environment.EnvParams):
    """Evolved weights, the agent's discount, and the real task's params.

    ``potentials`` [cells] holds the network's values of all states where they can be listed, else None.
    """

    net: Any = None
    discount: Any = 0.99
    potentials: Any = None
    real: Any = None

    __repr__ = brief


def _box(space: Any, inputs: str, info_size: int) -> tuple[np.ndarray, np.ndarray]:
    """Return middle and half width [obs + info] of an observation space: 0 and 1 where unbounded, and for the info."""
    low, high = (
        np.broadcast_to(np.asarray(x, np.float64), space.shape).ravel() for x in (space.low, space.high)
    )
    bounded = (high - low) < 1e6  # gymnax writes the largest float for infinity
    if inputs == "box" and not bounded.any():
        raise UserError(
            "inputs box: this task states no bounds for its observations; choose --proxy.inputs raw"
        )
    low, high = np.where(bounded, low, -1.0), np.where(bounded, high, 1.0)
    middle, half = (low + high) / 2, (high - low) / 2
    middle, half = np.pad(middle, (0, info_size)), np.pad(half, (0, info_size), constant_values=1.0)
    return middle.astype(np.float32), half.astype(np.float32)


class RewardNetwork(AroundTask):
    """A real environment with a learned reward.

    Raises:
        UserError: if the variant needs an info vector and the task has none.
    """

    def __init__(self, real_env: Any, real_params: Any, config: RewardConfig):
        super().__init__(real_env, real_params, config)
        variant = config.variant
        self.additive = variant.startswith("additive")
        self.linear = variant.endswith("linear")
        self.augmented = variant.endswith("augmented")
        self.potential = "potential" in variant and "non_potential" not in variant
        self.info_size = getattr(real_env, "info_size", 0) if self.augmented or self.linear else 0
        if (self.augmented or self.linear) and not self.info_size:
            raise UserError(
                f"{variant} needs an info vector, and this task has none: choose a variant without, or HalfCheetah"
            )
        self.obs_size = math.prod(real_env.observation_space(real_params).shape)
        self.middle, self.half = _box(
            real_env.observation_space(real_params), config.inputs, 0 if self.linear else self.info_size
        )
        # In a gridworld the network has one value per cell, which is computed once a training and then looked up.
        self.listed = isinstance(real_env, GridWorld) and not self.info_size

    def init_params(self, key: jax.Array) -> Network:
        """Draw a fresh network, PyTorch style; the linear forms have weights [info, 1] and no bias."""
        if self.linear:
            bound = 1.0 / jnp.sqrt(jnp.float32(self.info_size))
            kernel = jax.random.uniform(key, (self.info_size, 1), minval=-bound, maxval=bound)
            return (Layer(kernel, jnp.zeros(0)),)
        config = self.config
        into = self.obs_size + self.info_size
        return init_network(key, config.network, into, config.hidden_size, 1, config.depth)

    def env_params(self, proxy_params: Network, discount: Any = 0.99) -> RewardParams:
        """Put evolved weights and the discount of the agent in training where the environment finds them."""
        self.check_weights(proxy_params)
        listed = self.phi(proxy_params, jnp.eye(self.obs_size, dtype=jnp.float32)) if self.listed else None
        return dataclasses.replace(
            self.default_params,
            net=proxy_params,
            discount=jnp.asarray(discount, jnp.float32),
            potentials=listed,
        )

    @property
    def default_params(self) -> RewardParams:
        """Return everything but weights; see ``AroundTask``."""
        return RewardParams(max_steps_in_episode=self.real_params.max_steps_in_episode, real=self.real_params)

    def step_env(
        self, key: jax.Array, state: RewardState, action: jax.Array, params: RewardParams
    ) -> tuple[jax.Array, RewardState, jax.Array, jax.Array, dict[str, Any]]:
        """Make a real transition that pays a learned reward."""
        held(params, "net")
        obs, real, real_reward, terminated, info = self.real_env.step_env(
            key, state.real, action, params.real
        )
        real_reward = jnp.asarray(real_reward, jnp.float32)
        learned = self._learned(state, obs, real, terminated, info.get("vector"), params)
        reward = real_reward + learned if self.additive else learned
        after = RewardState(time=state.time + 1, real=real, obs=obs)
        return obs, after, reward, terminated, {**info, "real_reward": real_reward}

    def _learned(
        self, state: RewardState, obs: Any, real: Any, terminated: Any, vector: Any, params: RewardParams
    ) -> jax.Array:
        """Return what the network pays for the transition from ``state`` to ``real``."""
        if self.linear:
            return jnp.dot(vector, params.net[0].kernel[:, 0])
        after = self._value(params, obs, real, vector)
        if not self.potential:
            return after
        if self.config.terminal_potential == "zero":
            after = jnp.where(terminated, 0.0, after)
        return params.discount * after - self._value(params, state.obs, state.real, vector)

    def _value(self, params: RewardParams, obs: jax.Array, real: Any, vector: Any) -> jax.Array:
        """Return Phi of one state, with the info vector of the transition if the variant takes it."""
        if self.listed:
            return params.potentials[real.cell]
        x = obs.ravel()
        return self.phi(params.net, jnp.concatenate([x, vector]) if self.augmented else x)

    def phi(self, net: Network, x: jax.Array) -> jax.Array:
        """Return Phi of observations [..., obs], followed by the info vector if the variant takes it."""
        if self.config.inputs == "box":
            x = (x - jnp.broadcast_to(self.middle, x.shape)) / jnp.broadcast_to(self.half, x.shape)
        return self.config.output_scale * apply_network(net, x, self.config.activation)[..., 0]

    def reset_env(self, key: jax.Array, params: RewardParams) -> tuple[jax.Array, RewardState]:
        """Reset the real environment."""
        held(params, "net")
        obs, real = self.real_env.reset_env(key, params.real)
        return obs, RewardState(time=jnp.int32(0), real=real, obs=obs)

    def is_terminated(self, state: RewardState, params: RewardParams) -> jax.Array:
        """Return whether the real environment ends the episode here."""
        return self.real_env.is_terminated(state.real, params.real)

    def is_truncated(self, state: RewardState, params: RewardParams) -> jax.Array:
        """Return whether the real environment cuts the episode off here."""
        return self.real_env.is_truncated(state.real, params.real)

    def observation_space(self, params: RewardParams | None = None) -> Any:
        """Return the observation space of the real task."""
        return self.real_env.observation_space(self.real_params)


make = RewardNetwork
