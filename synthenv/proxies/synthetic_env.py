"""Synthetic environments: a network that plays the MDP, in two forms.

``SyntheticMDP`` has three independent networks, which map (action, state) to next state, reward and done. Its episodes
start from the real task's initial-state distribution or from a learned one. ``SyntheticBandit`` has an initial-state
network and a reward network, and all of its episodes are one step long.

Both are ordinary gymnax environments. The evolved weights are part of ``EnvParams``. The last step of an episode is
reported as the config's ``time_limit`` says, so that an agent which bootstraps through time limits sees the same MDP as
one that does not.

References:
    Ferreira et al. (2022), Learning synthetic environments and reward networks, section 3.
    Liesen et al. (2024), Discovering minimal reinforcement learning environments (the bandit form).
    Lange et al., gymnax (the environment interface).
"""

import dataclasses
import math
from typing import Any

import jax
import jax.numpy as jnp
from flax import struct
from gymnax.environments import environment, spaces

from synthenv.core.types import brief
from synthenv.nets.network import Network, apply_network, init_network
from synthenv.proxies.around_task import AroundTask, held
from synthenv.proxies.config import SyntheticConfig


@struct.dataclass
class SyntheticState(environment.EnvState):
    """The synthetic state is the raw network output."""

    raw: jax.Array


@struct.dataclass
class SyntheticParams(environment.EnvParams):
    """Evolved weights by the name of their network, and the real task's params for its resets."""

    nets: Any = None
    real: Any = None

    __repr__ = brief


class _Synthetic(AroundTask):
    """What both forms share: sizes taken from the real task, and its networks."""

    def __init__(self, real_env: Any, real_params: Any, config: SyntheticConfig):
        super().__init__(real_env, real_params, config)
        space = real_env.observation_space(real_params)
        self.obs_shape = space.shape
        self.obs_size = math.prod(space.shape)
        actions = real_env.action_space(real_params)
        self.discrete = hasattr(actions, "n")
        self.action_size = actions.n if self.discrete else math.prod(actions.shape)
        self.ends_terminal = config.time_limit == "terminal"

    def _init(self, key: jax.Array, in_size: int, out_size: int) -> Network:
        config = self.config
        return init_network(key, config.network, in_size, config.hidden_size, out_size, config.depth)

    def _apply(self, params: Network, x: jax.Array) -> jax.Array:
        return apply_network(params, x, self.config.activation)

    def _inputs(self, action: jax.Array, raw: jax.Array) -> jax.Array:
        if self.discrete:
            vector = jax.nn.one_hot(action, self.action_size, dtype=jnp.float32)
        else:
            vector = jnp.ravel(action).astype(jnp.float32)
        return jnp.concatenate([vector, raw])

    def _noise(self, key: jax.Array) -> jax.Array:
        """Draw the noise of a learned reset.

        It has single precision, in which all networks were evolved, whatever the caller computes in.
        """
        return jax.random.normal(key, (self.obs_size,), jnp.float32)

    def env_params(self, proxy_params: dict[str, Network], discount: Any = None) -> SyntheticParams:
        """Put evolved weights where the environment finds them; the agent's discount is not needed."""
        self.check_weights(proxy_params)
        return dataclasses.replace(self.default_params, nets=proxy_params)

    @property
    def default_params(self) -> SyntheticParams:
        """Return everything but weights; see ``AroundTask``."""
        return SyntheticParams(max_steps_in_episode=self.config.max_steps, real=self.real_params)

    def is_truncated(self, state: SyntheticState, params: SyntheticParams) -> jax.Array:
        """Return whether a time limit, and not the synthetic MDP, has ended the episode."""
        return jnp.logical_and(not self.ends_terminal, state.time >= params.max_steps_in_episode)

    def observation_space(self, params: SyntheticParams | None = None) -> spaces.Box:
        """Return an unbounded space: a network's output obeys no physical limit."""
        return spaces.Box(-jnp.inf, jnp.inf, self.obs_shape, jnp.float32)


class SyntheticMDP(_Synthetic):
    """State, reward and done networks over (action, state); a discrete action is one-hot."""

    def init_params(self, key: jax.Array) -> dict[str, Network]:
        """Draw the networks ``state``, ``reward``, ``done`` (unless ``never``) and ``reset`` (if ``learned``)."""
        keys = jax.random.split(key, 4)
        in_size = self.action_size + self.obs_size
        nets = {
            "state": self._init(keys[0], in_size, self.obs_size),
            "reward": self._init(keys[1], in_size, 1),
        }
        if self.config.done != "never":
            nets["done"] = self._init(keys[2], in_size, 1)
        if self.config.reset == "learned":
            nets["reset"] = self._init(keys[3], self.obs_size, self.obs_size)
        return nets

    def step_env(
        self, key: jax.Array, state: SyntheticState, action: jax.Array, params: SyntheticParams
    ) -> tuple[jax.Array, SyntheticState, jax.Array, jax.Array, dict[str, jax.Array]]:
        """Make one synthetic transition; ``info["discount"]`` is the bootstrap factor the agent should use."""
        nets, x = held(params, "nets"), self._inputs(action, state.raw)
        raw = self._apply(nets["state"], x)
        reward = self._apply(nets["reward"], x)[0]
        if self.config.done == "never":
            terminated, discount = jnp.bool_(False), jnp.float32(1)
        else:
            done = self._apply(nets["done"], x)[0]
            terminated = done > 0.5
            discount = 1.0 - (done if self.config.done == "raw" else terminated.astype(jnp.float32))
        state = SyntheticState(time=state.time + 1, raw=raw)
        if self.ends_terminal:
            over = state.time >= params.max_steps_in_episode
            terminated, discount = terminated | over, jnp.where(over, 0.0, discount)
        return raw.reshape(self.obs_shape), state, reward, terminated, {"discount": discount}

    def is_terminated(self, state: SyntheticState, params: SyntheticParams) -> jax.Array:
        """Return whether the episode's last step was made.

        What a done network says is only in the answer of ``step_env``.
        """
        if self.config.done != "never":
            return super().is_terminated(state, params)
        return jnp.logical_and(self.ends_terminal, state.time >= params.max_steps_in_episode)

    def reset_env(self, key: jax.Array, params: SyntheticParams) -> tuple[jax.Array, SyntheticState]:
        """Draw an initial state."""
        nets = held(params, "nets")
        if self.config.reset == "learned":
            raw = self._apply(nets["reset"], self._noise(key))
        else:
            raw = self.real_env.reset_env(key, params.real)[0].ravel().astype(jnp.float32)
        return raw.reshape(self.obs_shape), SyntheticState(time=jnp.int32(0), raw=raw)


class SyntheticBandit(_Synthetic):
    """Initial-state and reward networks; the episode ends after one action."""

    def init_params(self, key: jax.Array) -> dict[str, Network]:
        """Draw the networks ``reset`` (noise to context) and ``reward``."""
        key_reset, key_reward = jax.random.split(key)
        return {
            "reset": self._init(key_reset, self.obs_size, self.obs_size),
            "reward": self._init(key_reward, self.action_size + self.obs_size, 1),
        }

    def step_env(
        self, key: jax.Array, state: SyntheticState, action: jax.Array, params: SyntheticParams
    ) -> tuple[jax.Array, SyntheticState, jax.Array, jax.Array, dict[str, jax.Array]]:
        """Pay the reward of (context, action) and end the episode; the context does not move."""
        reward = self._apply(held(params, "nets")["reward"], self._inputs(action, state.raw))[0]
        state = SyntheticState(time=state.time + 1, raw=state.raw)
        info = {"discount": jnp.float32(0)}
        return state.raw.reshape(self.obs_shape), state, reward, jnp.bool_(True), info

    def is_terminated(self, state: SyntheticState, params: SyntheticParams) -> jax.Array:
        """Return whether the one step of the episode was made."""
        return jnp.greater_equal(state.time, 1)

    def is_truncated(self, state: SyntheticState, params: SyntheticParams) -> jax.Array:
        """Return False: the one step terminates the episode."""
        return jnp.bool_(False)

    def reset_env(self, key: jax.Array, params: SyntheticParams) -> tuple[jax.Array, SyntheticState]:
        """Draw a context."""
        raw = self._apply(held(params, "nets")["reset"], self._noise(key))
        return raw.reshape(self.obs_shape), SyntheticState(time=jnp.int32(0), raw=raw)


def make(real_env: Any, real_params: Any, config: SyntheticConfig) -> SyntheticMDP | SyntheticBandit:
    """Make the synthetic environment that ``config.form`` names."""
    form = {"mdp": SyntheticMDP, "bandit": SyntheticBandit}[config.form]
    return form(real_env, real_params, config)
