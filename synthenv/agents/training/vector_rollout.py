"""Several environments stepped side by side, for agents that learn from what a fixed policy has just done."""

from collections.abc import Callable
from typing import Any, NamedTuple

import chex
import jax
import jax.numpy as jnp

from synthenv.core.keys import key_from

ENV_WORDS = 4  # random words that a step of one environment takes


class Envs(NamedTuple):
    """N environments in the middle of their episodes."""

    env_state: Any
    obs: jax.Array  # [N, obs]
    return_so_far: jax.Array  # rewards of the current episodes so far [N]
    discounted_return: jax.Array  # the same discounted, the newest reward counting most [N]


class Steps(NamedTuple):
    """What T steps of N environments gave, [T, N].

    ``next_obs`` is the observation before any reset. ``not_done`` is the factor of the value of ``next_obs``: 0 where
    the task has ended, else 1; a synthetic environment may say anything in between. ``ended`` marks the last step of
    an episode, for whatever reason. ``episode_return`` and ``discounted_return`` include this step.
    """

    obs: jax.Array
    action: jax.Array
    log_prob: jax.Array
    reward: jax.Array
    next_obs: jax.Array
    not_done: jax.Array
    ended: jax.Array
    episode_return: jax.Array
    discounted_return: jax.Array


# words [N, words], obs [N, obs] -> action [N, ...] as it is learnt from, its log-probability [N]
Explore = Callable[[jax.Array, jax.Array], tuple[jax.Array, jax.Array]]


def reset_all(key: jax.Array, env: Any, env_params: Any, num_envs: int) -> Envs:
    """Begin an episode in each environment."""
    obs, env_state = jax.vmap(env.reset_env, in_axes=(0, None))(jax.random.split(key, num_envs), env_params)
    chex.assert_rank(obs, 2)
    zeros = jnp.zeros(num_envs)
    return Envs(env_state, obs, zeros, zeros)


def collect(
    words: jax.Array,
    envs: Envs,
    env: Any,
    env_params: Any,
    explore: Explore,
    env_action: Callable[[jax.Array], jax.Array],
    discount: jax.Array,
    time_limit: str,
) -> tuple[Envs, Steps]:
    """Step all environments T times, beginning a new episode wherever one ends.

    Args:
        words: random uint32 [T, N, ENV_WORDS + what ``explore`` takes].
        envs: where they stand.
        env: a gymnax 1.x environment.
        env_params: its parameters.
        explore: the policy.
        env_action: action as it is learnt from -> as the environment takes it.
        discount: for ``discounted_return``.
        time_limit: terminal or bootstrap, see ``AgentConfig``.
    """

    def step_one(words: jax.Array, env_state: Any, action: jax.Array) -> tuple[Any, ...]:
        obs, env_state, reward, terminated, info = env.step_env(
            key_from(words), env_state, env_action(action), env_params
        )
        chex.assert_shape([obs, reward, terminated], [envs.obs.shape[1:], (), ()])
        truncated = env.is_truncated(env_state, env_params)
        not_done = jnp.asarray(info["discount"], jnp.float32)
        if time_limit == "terminal":
            not_done = jnp.where(truncated, 0.0, not_done)
        return obs, env_state, jnp.asarray(reward, jnp.float32), not_done, terminated | truncated

    def reset_ended(words: jax.Array, obs: jax.Array, env_state: Any, ended: jax.Array) -> tuple[Any, ...]:
        def reset_one(words: jax.Array, obs: jax.Array, env_state: Any, ended: jax.Array) -> Any:
            fresh = env.reset_env(key_from(words), env_params)
            return jax.tree.map(lambda new, old: jnp.where(ended, new, old), fresh, (obs, env_state))

        # Most steps end no episode, and the branch then draws no initial states that nobody would use.
        return jax.lax.cond(
            jnp.any(ended),
            lambda: jax.vmap(reset_one)(words, obs, env_state, ended),
            lambda: (obs, env_state),
        )

    def step_all(envs: Envs, words: jax.Array) -> tuple[Envs, Steps]:
        action, log_prob = explore(words[:, ENV_WORDS:], envs.obs)
        next_obs, env_state, reward, not_done, ended = jax.vmap(step_one)(
            words[:, :2], envs.env_state, action
        )
        total = envs.return_so_far + reward
        discounted = discount * envs.discounted_return + reward
        steps = Steps(envs.obs, action, log_prob, reward, next_obs, not_done, ended, total, discounted)
        obs, env_state = reset_ended(words[:, 2:ENV_WORDS], next_obs, env_state, ended)
        running = ~ended
        return Envs(env_state, obs, running * total, running * discounted), steps

    return jax.lax.scan(step_all, envs, words)
