"""Adapters around environments, one concern each."""

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
from gymnax.environments.environment import Environment


class AroundEnv:
    """Whatever an adapter leaves as its inner environment ``env`` has it."""

    env: Any

    def reset_env(self, key: jax.Array, params: Any) -> tuple[Any, Any]:
        """Return the first observation and state of an episode."""
        return self.env.reset_env(key, params)

    def get_obs(self, state: Any, params: Any = None, key: jax.Array | None = None) -> Any:
        """Return the observation of a state."""
        return self.env.get_obs(state, params, key)

    @property
    def default_params(self) -> Any:
        return self.env.default_params

    @property
    def name(self) -> str:
        return self.env.name

    @property
    def num_actions(self) -> int:
        return self.env.num_actions

    def action_space(self, params: Any = None) -> Any:
        return self.env.action_space(self.default_params if params is None else params)

    def observation_space(self, params: Any = None) -> Any:
        return self.env.observation_space(params)

    def state_space(self, params: Any) -> Any:
        return self.env.state_space(params)


@dataclasses.dataclass(frozen=True)
class FiveTuple(AroundEnv):
    """Present a gymnax 1.x environment through the interface of gymnax < 1.

    For code that still expects ``obs, state, reward, done, info`` (rejax, purejaxrl, ...). As it was then,
    ``done`` is terminated *or* truncated, in ``step``, in ``step_env`` and in ``is_terminal``; whether it was
    the one or the other is left in the ``info`` of ``step``. (gymnax's own ``LegacyStepAPIWrapper`` converts
    ``step`` only, so a caller of its ``step_env`` runs past the time limit.)

    Two adapters of one environment are equal and hash alike, so adapting it again compiles nothing again.
    """

    env: Environment

    def reset(self, key: jax.Array, params: Any = None) -> tuple[Any, Any]:
        """Return the first observation and state of an episode."""
        return self.env.reset(key, params)

    def step(
        self, key: jax.Array, state: Any, action: jax.Array, params: Any = None
    ) -> tuple[Any, Any, jax.Array, jax.Array, dict[Any, Any]]:
        """Step with automatic reset; returns obs, state, reward, done, info."""
        obs, state, reward, terminated, truncated, info = self.env.step(key, state, action, params)
        return obs, state, reward, jnp.logical_or(terminated, truncated), info

    def step_env(
        self, key: jax.Array, state: Any, action: jax.Array, params: Any
    ) -> tuple[Any, Any, jax.Array, jax.Array, dict[Any, Any]]:
        """Step without automatic reset; returns obs, state, reward, done, info."""
        obs, state, reward, terminated, info = self.env.step_env(key, state, action, params)
        return obs, state, reward, jnp.logical_or(terminated, self.env.is_truncated(state, params)), info

    def is_terminal(self, state: Any, params: Any) -> jax.Array:
        """Say whether the episode is over, for whatever reason."""
        return jnp.logical_or(self.env.is_terminated(state, params), self.env.is_truncated(state, params))
