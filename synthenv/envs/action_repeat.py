"""Every decision of the agent is carried out for several steps of the environment.

References:
    Ferreira et al. (2022), tables 16 and 17: two steps per decision on MountainCarContinuous.
"""

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
from gymnax.environments import environment

from synthenv.envs.wrappers import AroundEnv


@dataclasses.dataclass(frozen=True)
class ActionRepeat(AroundEnv, environment.Environment):
    """An environment whose step plays up to ``num_repeats`` steps of another, real or proxy, with one action.

    Its reward is their sum. It stops early where one of them terminates or reaches the time limit, which stays the
    inner environment's and counts inner steps; its observation and ``info`` (``discount`` among it) are those of the
    last inner step played. State and params are the inner environment's own.

    Two adapters of one environment with equal ``num_repeats`` are equal and hash alike, so adapting it again compiles
    nothing again. The steps are unrolled: compile time grows with ``num_repeats``, which is meant to be small.

    Attributes:
        env: the inner environment, gymnax 1.x.
        num_repeats: most inner steps of a step, at least 1.

    Raises:
        ValueError: ``num_repeats`` is below 1.
    """

    env: Any
    num_repeats: int

    def __post_init__(self):
        if self.num_repeats < 1:
            raise ValueError(f"an action has to be played at least once, got num_repeats={self.num_repeats}")

    def step_env(
        self, key: jax.Array, state: Any, action: jax.Array, params: Any
    ) -> tuple[jax.Array, Any, jax.Array, jax.Array, dict[Any, Any]]:
        """Play the action; the reward is float32 []."""
        # The key itself if there is one step only: then this is the inner environment, draw by draw.
        keys = jax.random.split(key, self.num_repeats) if self.num_repeats > 1 else (key,)
        transition = self.env.step_env(keys[0], state, action, params)
        return_so_far = jnp.asarray(transition[2], jnp.float32)
        for i in range(1, self.num_repeats):
            transition = self._play_on(keys[i], transition, action, params)
            return_so_far += transition[2]
        obs, state, _, terminated, info = transition
        return obs, state, return_so_far, terminated, info

    def _play_on(self, key: jax.Array, transition: Any, action: jax.Array, params: Any) -> Any:
        """One more inner step, unless the last one ended the episode: then the same transition, without reward."""
        obs, state, reward, terminated, info = transition
        return jax.lax.cond(
            terminated | self.env.is_truncated(state, params),
            lambda: (obs, state, jnp.zeros_like(reward), terminated, info),
            lambda: self.env.step_env(key, state, action, params),
        )

    def is_terminated(self, state: Any, params: Any) -> jax.Array:
        """Ask the inner environment."""
        return self.env.is_terminated(state, params)

    def is_truncated(self, state: Any, params: Any) -> jax.Array:
        """Ask the inner environment: time is counted there."""
        return self.env.is_truncated(state, params)
