"""A world model as a gymnax environment: every agent of ours trains in it unchanged.

The environment is static: it knows who predicts and where episodes end. The encoded context travels in ``EnvParams``,
once for any number of parallel copies:

    WorldModel.encode   a context -> cache, once
    env_params          the cache and the context's numbers -> EnvParams
    WorldModelEnv.step  WorldModel.predict(cache, obs, action) -> where the step leads and what it pays
"""

from collections.abc import Callable
from typing import Any

import chex
import jax
import jax.numpy as jnp
import numpy as np
from flax import struct
from gymnax.environments import environment

from synthenv.core.errors import UserError
from synthenv.core.types import Prediction, brief
from synthenv.envs.action_units import Actions
from synthenv.envs.vector_task import VectorTask
from synthenv.worldmodel.context.context import Context
from synthenv.worldmodel.dream import surface
from synthenv.worldmodel.dream.known_ends import Termination

# Bound of observations, in half widths of the context from its middle. Nothing that far is a prediction any more; the
# bound only keeps a model that goes astray from producing infinities.
_FAR = 20.0


@struct.dataclass
class EnvState(environment.EnvState):
    """Where the dream is: the observation [d] and the steps of this episode []."""

    obs: jax.Array
    time: jax.Array


@struct.dataclass
class EnvParams(environment.EnvParams):
    """The context that is dreamt of, encoded, and the bounds of the dream.

    Attributes:
        cache: what ``predict`` needs: weights and the encoded context.
        first_obs: observations that episodes begin with. [R, d]
        low: smallest numbers that an observation may hold. [d]
        high: largest ones. [d]
        surface: what all observations of the context lie on and dreamt ones are moved to; None lets them go anywhere.
        has_ends: whether an episode of the context ended by a termination. If none did, the model ends no episode
            either, whatever its prior says; a known rule still does.
        pessimism: standard deviations of the reward that a step costs.
        max_steps_in_episode: time limit.
    """

    cache: Any = None
    first_obs: Any = None
    low: Any = None
    high: Any = None
    surface: Any = None
    has_ends: Any = True
    pessimism: Any = 0.0

    __repr__ = brief
    max_steps_in_episode: Any = 200


class WorldModelEnv(VectorTask):
    """A dreamt task.

    Args:
        name: what ``env.name`` answers.
        predict: (cache, obs [d], action) -> Prediction.
        termination: where episodes end; None: where the model says so.
        actions: what can be done.
        obs_size: d.
    """

    def __init__(
        self,
        name: str,
        predict: Callable[[Any, jax.Array, jax.Array], Prediction],
        termination: Termination | None,
        actions: Actions,
        obs_size: int,
    ):
        # Without a context: some loops evaluate them whatever they are given. ``reset`` and ``step`` refuse.
        super().__init__(name, actions, EnvParams(), obs_size)
        self._predict = predict
        self._termination = termination

    def step_env(
        self, key: jax.Array, state: EnvState, action: jax.Array, params: EnvParams
    ) -> tuple[jax.Array, EnvState, jax.Array, jax.Array, dict[Any, Any]]:
        """Ask the model for the next step; nothing is drawn."""
        _see_a_context(params)
        if not self.actions.discrete:
            action = jnp.clip(action, -self.actions.bound, self.actions.bound)
        prediction = self._predict(params.cache, state.obs, action)
        chex.assert_shape([prediction.next_obs, prediction.next_obs_std], state.obs.shape)
        chex.assert_rank([prediction.reward, prediction.reward_std, prediction.termination], 0)
        obs = prediction.next_obs
        if params.surface is not None:
            obs = surface.onto(params.surface, obs, prediction.next_obs_std)
        obs = jnp.clip(obs, params.low, params.high)
        if self._termination is None:
            terminated = (prediction.termination > 0.5) & params.has_ends
        else:
            terminated = self._termination(obs)
        reward = prediction.reward - params.pessimism * prediction.reward_std
        state = EnvState(obs=obs, time=state.time + 1)
        return obs, state, reward, terminated, {"discount": 1.0 - terminated}

    def reset_env(self, key: jax.Array, params: EnvParams) -> tuple[jax.Array, EnvState]:
        """Begin at one of the real task's first observations, drawn evenly."""
        _see_a_context(params)
        index = jax.random.randint(key, (), 0, params.first_obs.shape[0])
        obs = params.first_obs[index]
        return obs, EnvState(obs=obs, time=jnp.int32(0))

    def is_terminated(self, state: EnvState, params: EnvParams) -> jax.Array:
        """Return whether a known rule ends the episode here.

        What the model itself says is only in the answer of ``step_env``.
        """
        return jnp.bool_(False) if self._termination is None else self._termination(state.obs)


def _see_a_context(params: Any) -> None:
    """Raise a UserError if the params hold no context."""
    if getattr(params, "first_obs", None) is None:
        raise UserError(
            "these params hold no context to dream of: pass those that synthenv.worldmodel.dream.env.env_params made"
            " of one to reset and step"
        )


def env_params(cache: Any, context: Context, max_steps: int, pessimism: float = 0.0) -> EnvParams:
    """Gather everything that a dream of this context needs."""
    steps = context.transitions
    seen = np.concatenate([steps.obs, steps.next_obs, context.first_obs])
    middle, half = (seen.max(0) + seen.min(0)) / 2, (seen.max(0) - seen.min(0)) / 2
    return EnvParams(
        cache=cache,
        first_obs=jnp.asarray(context.first_obs),
        low=jnp.asarray(middle - _FAR * half),
        high=jnp.asarray(middle + _FAR * half),
        surface=surface.find(seen),
        has_ends=jnp.asarray(bool(steps.terminated.any())),
        pessimism=pessimism,
        max_steps_in_episode=max_steps,
    )
