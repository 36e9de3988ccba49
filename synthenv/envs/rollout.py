"""Scans over an environment that know of no agent and no idea: test episodes and streams of transitions.

Both functions are pure and not jitted; whoever owns the outermost loop compiles them. ``act(key, obs) ->
action`` acts on one observation and closes over its weights, so that ``vmap`` over weights, environment
parameters or keys around either function works.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import chex
import jax
import jax.numpy as jnp

from synthenv.core.types import EvalResult, Transition

Act = Callable[[jax.Array, Any], jax.Array]


def check_step(before: Any, obs: Any, reward: Any, terminated: Any) -> None:
    """See, while a program is traced, that a step answers in the shapes of an environment.

    Raises:
        AssertionError: its observation is of another shape than the one before, or reward or end is not one number.
    """
    chex.assert_trees_all_equal_shapes(before, obs)
    chex.assert_rank([reward, terminated], 0)


class _Episode(NamedTuple):
    """One test episode in progress; the carry holds [E] of them."""

    obs: Any
    state: Any
    finished: jax.Array
    episode_return: jax.Array
    length: jax.Array


def evaluate(
    key: jax.Array, env: Any, env_params: Any, act: Act, num_episodes: int, max_steps: int
) -> EvalResult:
    """Play test episodes side by side until the last has ended.

    An episode ends where the environment terminates or truncates it, or after ``max_steps`` steps. Its return
    and length are frozen there: later rewards of an environment that is merely stepped along are not counted,
    not even a NaN, while a NaN within the episode makes its return NaN. Episode ``i`` depends on ``key`` and
    ``i`` only, not on how its neighbours fare.

    Args:
        key: consumed whole.
        env: a gymnax 1.x environment.
        env_params: its parameters.
        act: policy for one observation.
        num_episodes: E, static.
        max_steps: upper bound on the length of an episode, in environment steps.

    Returns:
        Undiscounted returns, float32 [E], and lengths in steps, int32 [E].
    """
    key_reset, key_step = jax.random.split(key)
    keys_episode = jax.random.split(key_step, num_episodes)  # [E]
    obs, state = jax.vmap(env.reset_env, in_axes=(0, None))(
        jax.random.split(key_reset, num_episodes), env_params
    )
    episodes = _Episode(
        obs=obs,
        state=state,
        finished=jnp.zeros(num_episodes, bool),
        episode_return=jnp.zeros(num_episodes, jnp.float32),
        length=jnp.zeros(num_episodes, jnp.int32),
    )

    def any_running(carry):
        time, episodes = carry
        return (time < max_steps) & ~jnp.all(episodes.finished)

    def advance_all(carry):
        time, episodes = carry
        keys = jax.vmap(jax.random.fold_in, in_axes=(0, None))(keys_episode, time)
        return time + 1, jax.vmap(lambda k, e: _advance(k, env, env_params, act, e))(keys, episodes)

    _, episodes = jax.lax.while_loop(any_running, advance_all, (jnp.int32(0), episodes))
    return EvalResult(returns=episodes.episode_return, lengths=episodes.length)


def _advance(key: jax.Array, env: Any, env_params: Any, act: Act, episode: _Episode) -> _Episode:
    """Step one episode; once finished, its return and length stay as they are."""
    key_act, key_step = jax.random.split(key)
    action = act(key_act, episode.obs)
    obs, state, reward, terminated, _ = env.step_env(key_step, episode.state, action, env_params)
    check_step(episode.obs, obs, reward, terminated)
    ended = jnp.logical_or(terminated, env.is_truncated(state, env_params))
    episode_return = episode.episode_return + jnp.asarray(reward, jnp.float32)
    return _Episode(
        obs=obs,
        state=state,
        finished=jnp.logical_or(episode.finished, ended),
        # A select, not a product with a mask: 0 * NaN is NaN.
        episode_return=jnp.where(episode.finished, episode.episode_return, episode_return),
        length=jnp.where(episode.finished, episode.length, episode.length + 1),
    )


def rollout(key: jax.Array, env: Any, env_params: Any, act: Act, num_steps: int) -> Transition:
    """Act for a fixed number of steps, starting a new episode whenever one ends.

    Where an episode ends at ``t``, ``next_obs[t]`` is its last observation and ``obs[t + 1]`` the first of
    the next episode; everywhere else the two are equal (up to rounding: XLA may compute them twice).

    Args:
        key: consumed whole.
        env: a gymnax 1.x environment.
        env_params: its parameters.
        act: policy for one observation.
        num_steps: T, static.

    Returns:
        Transitions with leading axis [T].
    """
    key_reset, key_scan = jax.random.split(key)
    first = env.reset(key_reset, env_params)

    def advance(carry, key):
        obs, state = carry
        key_act, key_step = jax.random.split(key)
        action = act(key_act, obs)
        next_obs, state, reward, terminated, truncated, info = env.step(key_step, state, action, env_params)
        paid = reward if jnp.size(reward) == 1 else 0.0  # some environments pay several rewards side by side
        check_step(obs, info["final_observation"], paid, terminated)
        transition = Transition(obs, action, reward, info["final_observation"], terminated, truncated)
        return (next_obs, state), transition

    _, transitions = jax.lax.scan(advance, first, jax.random.split(key_scan, num_steps))
    return transitions  # [T]
