"""Tests on the real task between two training episodes, played one step at a time."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from synthenv.core.keys import key_from
from synthenv.core.types import Curve
from synthenv.envs.registry import EnvSpec


class PeriodicTest(NamedTuple):
    """The state of a test, which is not active between tests."""

    env_state: Any
    obs: jax.Array  # [obs]
    active: jax.Array
    step: jax.Array  # test steps so far, of all tests
    count: jax.Array  # finished episodes of this test
    return_so_far: jax.Array  # rewards of this test so far, all episodes
    curve: Curve


def init(key: jax.Array, task: EnvSpec, max_tests: int) -> PeriodicTest:
    """Begin with nothing tested; every test resets the real task itself."""
    obs, env_state = task.env.reset_env(key, task.env_params)
    return PeriodicTest(
        env_state=env_state,
        obs=obs,
        active=jnp.bool_(False),
        step=jnp.int32(0),
        count=jnp.int32(0),
        return_so_far=jnp.float32(0),
        curve=Curve(returns=jnp.zeros(max_tests), steps=jnp.zeros(max_tests, jnp.int32)),
    )


def begin(key: jax.Array, test: PeriodicTest, task: EnvSpec) -> PeriodicTest:
    """Begin a test: reset the real task."""
    obs, env_state = task.env.reset_env(key, task.env_params)
    return test._replace(
        env_state=env_state,
        obs=obs,
        active=jnp.bool_(True),
        count=jnp.int32(0),
        return_so_far=jnp.float32(0),
    )


def play(
    words: jax.Array, test: PeriodicTest, task: EnvSpec, act: Callable[[jax.Array, jax.Array], jax.Array]
) -> PeriodicTest:
    """Make one step on the real task, and reset it after the last one of an episode.

    Args:
        words: random uint32 [6].
        test: where it stands.
        task: the real task.
        act: (key, obs) -> action.
    """
    action = act(key_from(words[:2]), test.obs)
    obs, env_state, reward, terminated, _ = task.env.step_env(
        key_from(words[2:4]), test.env_state, action, task.env_params
    )
    done = terminated | task.env.is_truncated(env_state, task.env_params)
    obs, env_state = jax.lax.cond(
        done,
        lambda: task.env.reset_env(key_from(words[4:]), task.env_params),
        lambda: (obs, env_state),
    )
    return test._replace(
        env_state=env_state,
        obs=obs,
        step=test.step + 1,
        count=test.count + done,
        return_so_far=test.return_so_far + reward,
    )


def record(
    test: PeriodicTest, index: jax.Array, mean_return: jax.Array, num_steps: jax.Array
) -> PeriodicTest:
    """End the test and write its mean return at ``index``, with the training steps used until then."""
    curve = Curve(test.curve.returns.at[index].set(mean_return), test.curve.steps.at[index].set(num_steps))
    return test._replace(active=jnp.bool_(False), curve=curve)
