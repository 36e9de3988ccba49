"""What tasks have in common that observe a vector: their name, their actions, their spaces."""

from typing import Any

import jax
import jax.numpy as jnp
from gymnax.environments import environment, spaces

from synthenv.envs.action_units import Actions


class VectorTask(environment.Environment):
    """A task that observes [obs_size] numbers, which its state holds as ``obs``; subclasses add transitions.

    Args:
        name: what ``env.name`` answers.
        actions: what can be done.
        default_params: what ``env.default_params`` answers.
        obs_size: length of an observation; None where the subclass finds it out when it is asked.
    """

    def __init__(self, name: str, actions: Actions, default_params: Any, obs_size: int | None = None):
        super().__init__()
        self._name, self.actions, self._default_params = name, actions, default_params
        if obs_size is not None:
            self.obs_size = obs_size

    def get_obs(self, state: Any, params: Any = None, key: jax.Array | None = None) -> jax.Array:
        """Return what the last step or reset observed."""
        return state.obs

    @property
    def name(self) -> str:
        return self._name

    @property
    def default_params(self) -> Any:
        return self._default_params

    @property
    def num_actions(self) -> int:
        return self.actions.size

    def action_space(self, params: Any = None) -> Any:
        return self.actions.space

    def observation_space(self, params: Any = None) -> spaces.Box:
        return spaces.Box(-jnp.inf, jnp.inf, (self.obs_size,), dtype=jnp.float32)
