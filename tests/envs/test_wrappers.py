"""FiveTuple speaks the interface of gymnax < 1."""

import inspect

import jax
import numpy as np
import pytest

from synthenv.envs import registry
from synthenv.envs.wrappers import FiveTuple

DOWN, LEFT = 2, 1


@pytest.fixture
def room():
    """EmptyRoom22 with a limit of two steps: S at cell 0, G at cell 3."""
    spec = registry.make("EmptyRoom22")
    return FiveTuple(spec.env), spec.env_params.replace(max_steps_in_episode=2)


@pytest.mark.parametrize("method", ["step", "step_env"])
def test_done_is_terminated_or_truncated(room, method):
    env, params = room
    step = getattr(env, method)

    def dones(actions):
        _, state = env.reset(jax.random.key(0), params)
        for action in actions:
            _, state, _, done, _ = step(jax.random.key(0), state, action, params)
            yield bool(done)

    assert list(dones([LEFT])) == [False]
    assert list(dones([LEFT, LEFT])) == [False, True]  # truncated
    assert list(dones([DOWN, 0])) == [False, True]  # both at once


def test_terminated_alone_is_done(room):
    env, params = room
    params = params.replace(max_steps_in_episode=10)
    _, state = env.reset(jax.random.key(0), params)
    _, state, _, done, _ = env.step(jax.random.key(0), state, DOWN, params)
    assert not done
    _, _, reward, done, info = env.step(jax.random.key(0), state, 0, params)
    assert done
    assert float(reward) == 1.0
    assert info["terminated"]
    assert not info["truncated"]


def test_step_resets_but_step_env_does_not(room):
    env, params = room
    _, state = env.reset_env(jax.random.key(0), params)
    for _ in range(2):
        before = state
        obs, state, *_ = env.step_env(jax.random.key(0), state, DOWN, params)
    assert int(state.cell) == 2
    assert int(state.time) == 2
    assert env.is_terminal(state, params)
    np.testing.assert_array_equal(obs, env.get_obs(state))
    _, state, *_ = env.step(jax.random.key(0), before, DOWN, params)
    assert int(state.cell) == 0
    assert int(state.time) == 0
    assert not env.is_terminal(state, params)


@pytest.mark.parametrize("name", ["CartPole-v0", "Pendulum-v1", "CliffWalking"])
def test_everything_else_is_the_wrapped_environment(name):
    _, inner, params, _, _ = registry.make(name)
    env = FiveTuple(inner)
    assert (env.name, env.num_actions) == (inner.name, inner.num_actions)
    assert env.observation_space(params).shape == inner.observation_space(params).shape
    assert repr(env.action_space()) == repr(env.action_space(params)) == repr(inner.action_space(params))
    assert env.state_space(params).num_spaces == inner.state_space(params).num_spaces
    assert jax.tree.all(jax.tree.map(np.array_equal, env.default_params, inner.default_params))
    for method in ("step", "step_env"):
        assert list(inspect.signature(getattr(env, method)).parameters) == [
            "key",
            "state",
            "action",
            "params",
        ]


def test_adapting_again_does_not_retrace(room):
    env, params = room
    traces = []

    def first_obs(env, key):
        traces.append(env)
        return env.reset(key, params)[0]

    jitted = jax.jit(first_obs, static_argnums=0)
    jitted(env, jax.random.key(0))
    jitted(FiveTuple(env.env), jax.random.key(1))
    jitted(FiveTuple(registry.make("EmptyRoom23").env), jax.random.key(1))
    assert len(traces) == 2
