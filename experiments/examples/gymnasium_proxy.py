"""A gymnax environment behind gymnasium's interface, one jitted step a call: for agents of other packages.

    env = GymnasiumProxy(*synthenv.make("synthetic/CartPole-v0"))
    stable_baselines3.DQN("MlpPolicy", env).learn(5000)

Knows gymnax and gymnasium and nothing of synthenv. Unlike the wrapper that comes with gymnax it steps without automatic
reset, so the observation of an episode's last step is that step's own.
"""

from functools import partial
from typing import Any

import gymnasium
import jax
import numpy as np
from gymnax.environments.spaces import gymnax_space_to_gym_space


@partial(jax.jit, static_argnums=0)
def _reset(env: Any, key: jax.Array, params: Any) -> tuple[Any, ...]:
    key, key_reset = jax.random.split(key)
    return env.reset_env(key_reset, params), key


@partial(jax.jit, static_argnums=0)
def _step(env: Any, key: jax.Array, state: Any, action: Any, params: Any) -> tuple[Any, ...]:
    key, key_step = jax.random.split(key)
    obs, state, reward, terminated, _ = env.step_env(key_step, state, action, params)
    return obs, state, reward, terminated, env.is_truncated(state, params), key


class GymnasiumProxy(gymnasium.Env):
    """One episode after the other of ``env`` with ``params``; ``reset(seed=...)`` decides all randomness."""

    def __init__(self, env: Any, params: Any):
        self._env, self._params = env, params
        self._key, self._state = None, None
        self.action_space = gymnax_space_to_gym_space(env.action_space(params))
        self.observation_space = gymnax_space_to_gym_space(env.observation_space(params))

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[np.ndarray, dict[str, Any]]:
        """Begin an episode."""
        super().reset(seed=seed)
        if seed is not None or self._key is None:
            self._key = jax.random.key(int(self.np_random.integers(2**31)))
        (obs, self._state), self._key = _reset(self._env, self._key, self._params)
        return np.asarray(obs, np.float32), {}

    def step(self, action: Any) -> tuple[np.ndarray, float, bool, bool, dict[str, Any]]:
        """Make one step; an ended episode has to be reset."""
        obs, self._state, reward, terminated, truncated, self._key = _step(
            self._env, self._key, self._state, action, self._params
        )
        return np.asarray(obs, np.float32), float(reward), bool(terminated), bool(truncated), {}
