"""Episodes and streams of transitions, by hand arithmetic on a counter and on the real tasks."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import struct
from gymnax.environments import environment

from synthenv.envs import registry
from synthenv.envs.rollout import evaluate, rollout

RIGHT, LEFT, DOWN, UP = range(4)


@struct.dataclass
class CounterParams(environment.EnvParams):
    reward: Any = 1.0
    length: Any = 3  # terminates at this time
    nan_at: Any = -1  # the step that pays NaN
    nan_from: Any = 1000  # all steps from here on pay NaN
    max_steps_in_episode: Any = 100


@struct.dataclass
class CounterState:
    time: jax.Array
    length: jax.Array


class Counter(environment.Environment):
    """Pays action * reward at every step; observes its time; lasts `length` + {0, 1, 2} steps, at random."""

    def __init__(self, spread=0):
        super().__init__()
        self.spread = spread

    def reset_env(self, key, params):
        length = params.length + jax.random.randint(key, (), 0, self.spread + 1)
        state = CounterState(time=jnp.int32(0), length=length)
        return self.get_obs(state), state

    def get_obs(self, state, params=None, key=None):
        return jnp.float32(state.time)[None]

    def step_env(self, key, state, action, params):
        time = state.time + 1
        is_nan = (time == params.nan_at) | (time >= params.nan_from)
        reward = jnp.where(is_nan, jnp.nan, params.reward * action)
        state = CounterState(time=time, length=state.length)
        # Only this once: an evaluator that forgets who has finished would let the episode run on.
        terminated = time == state.length
        return self.get_obs(state), state, reward, terminated, {}


COUNTER, UNEVEN = Counter(), Counter(spread=2)
play = jax.jit(evaluate, static_argnames=("env", "act", "num_episodes"))


def one(key, obs):
    return jnp.float32(1.0)


def test_returns_and_lengths_by_hand():
    # 3 steps of reward 2.
    result = play(jax.random.key(0), COUNTER, CounterParams(reward=2.0), one, 4, 50)
    np.testing.assert_array_equal(result.returns, [6.0] * 4)
    np.testing.assert_array_equal(result.lengths, [3] * 4)
    assert (result.returns.dtype, result.lengths.dtype) == (jnp.float32, jnp.int32)


def test_policy_sees_the_current_observation():
    # Actions are the observed times 0, 1, 2 and rewards equal actions.
    result = play(jax.random.key(0), COUNTER, CounterParams(), lambda key, obs: obs[0], 2, 50)
    np.testing.assert_array_equal(result.returns, [0.0 + 1.0 + 2.0] * 2)


@pytest.mark.parametrize(("limit", "max_steps"), [(2, 50), (100, 2)])
def test_truncation_and_the_bound_end_an_episode(limit, max_steps):
    params = CounterParams(max_steps_in_episode=limit)
    result = play(jax.random.key(0), COUNTER, params, one, 3, max_steps)
    np.testing.assert_array_equal(result.lengths, [2] * 3)
    np.testing.assert_array_equal(result.returns, [2.0] * 3)


def test_finished_episodes_are_frozen_while_others_run():
    result = play(jax.random.key(0), UNEVEN, CounterParams(), one, 16, 50)
    assert set(np.asarray(result.lengths).tolist()) == {3, 4, 5}
    np.testing.assert_array_equal(result.returns, result.lengths)


def test_nan_inside_an_episode_shows_and_after_it_does_not():
    # Episodes last 3, 4 or 5 steps and the fourth pays NaN; the short ones are stepped through it unharmed.
    for params in (CounterParams(nan_at=4), CounterParams(nan_from=4)):
        result = play(jax.random.key(0), UNEVEN, params, one, 16, 50)
        expected = np.where(np.asarray(result.lengths) >= 4, np.nan, 3.0)
        assert 0 < np.isnan(expected).sum() < 16
        np.testing.assert_array_equal(result.returns, expected)


def test_the_loop_stops_with_the_last_episode():
    steps = []

    def act(key, obs):
        jax.debug.callback(lambda o: steps.append(o), obs)
        return jnp.float32(1.0)

    play(jax.random.key(0), COUNTER, CounterParams(), act, 1, 1000)
    jax.effects_barrier()
    assert len(steps) == 3


def test_vmap_over_closed_over_weights_equals_a_loop():
    _, env, params, _, _ = registry.make("CartPole-v0")
    max_steps = 60  # in longer episodes the ways of rounding show: five poles at once have another than one
    weights = jax.random.normal(jax.random.key(1), (5, 4))
    keys = jax.random.split(jax.random.key(2), 5)

    def score(key, weight):
        # Number by number: a product of matrices is rounded in another way for five weights than for one.
        push = lambda obs: obs[0] * weight[0] + obs[1] * weight[1] + obs[2] * weight[2] + obs[3] * weight[3]  # noqa: E731
        act = lambda key, obs: (push(obs) + 0.1 * jax.random.normal(key) > 0).astype(jnp.int32)  # noqa: E731
        return evaluate(key, env, params, act, 3, max_steps)

    together = jax.jit(jax.vmap(score))(keys, weights)
    assert together.returns.shape == together.lengths.shape == (5, 3)
    alone = jax.jit(score)
    for i in range(5):
        np.testing.assert_array_equal(together.lengths[i], alone(keys[i], weights[i]).lengths)
        np.testing.assert_array_equal(together.returns[i], alone(keys[i], weights[i]).returns)
    assert len(set(np.asarray(together.lengths).ravel().tolist())) > 3


def test_vmap_over_env_params_equals_a_loop():
    params = CounterParams(reward=jnp.array([1.0, -2.0]), length=jnp.array([3, 7]))
    axes = CounterParams(reward=0, length=0, nan_at=None, nan_from=None, max_steps_in_episode=None)
    score = jax.vmap(lambda p: play(jax.random.key(0), COUNTER, p, one, 2, 50), in_axes=(axes,))
    np.testing.assert_array_equal(score(params).returns, [[3.0, 3.0], [-14.0, -14.0]])


def test_the_optimal_path_along_the_cliff_returns_minus_12():
    _, env, params, _, max_steps = registry.make("CliffWalking")
    # Up from the start (cell 36), right along row 2, down at its end (cell 35).
    policy = jnp.full(48, RIGHT).at[36].set(UP).at[35].set(DOWN)
    act = lambda key, obs: policy[jnp.argmax(obs)]  # noqa: E731
    result = play(jax.random.key(0), env, params, act, 2, max_steps)
    np.testing.assert_array_equal(result.returns, [-12.0, -12.0])
    np.testing.assert_array_equal(result.lengths, [13, 13])
    fall = play(jax.random.key(0), env, params, lambda key, obs: RIGHT, 1, max_steps)
    np.testing.assert_array_equal(fall.returns, [-100.0])
    wait = play(jax.random.key(0), env, params, lambda key, obs: LEFT, 1, max_steps)
    np.testing.assert_array_equal(wait.returns, [-50.0])


def test_rollout_by_hand():
    params = CounterParams(reward=2.0)
    steps = rollout(jax.random.key(0), COUNTER, params, one, 7)
    np.testing.assert_array_equal(steps.obs[:, 0], [0, 1, 2, 0, 1, 2, 0])
    np.testing.assert_array_equal(steps.next_obs[:, 0], [1, 2, 3, 1, 2, 3, 1])
    np.testing.assert_array_equal(steps.reward, [2.0] * 7)
    np.testing.assert_array_equal(steps.terminated, [0, 0, 1, 0, 0, 1, 0])
    np.testing.assert_array_equal(steps.truncated, [0] * 7)
    cut = rollout(jax.random.key(0), COUNTER, params.replace(max_steps_in_episode=2), one, 5)
    np.testing.assert_array_equal(cut.terminated, [0] * 5)
    np.testing.assert_array_equal(cut.truncated, [0, 1, 0, 1, 0])
    np.testing.assert_array_equal(cut.next_obs[:, 0], [1, 2, 1, 2, 1])


# What brax plays takes long to compile and has its own test of this in test_brax_adapter.py.
BRAX = tuple(n for n in registry.names() if n.startswith(("HalfCheetah", "brax/")))
ELSEWHERE = ("CartPole-v0", "EmptyRoom22", *BRAX)


@pytest.mark.parametrize("name", [n for n in registry.names() if n not in ELSEWHERE])
def test_rollout_joins_the_episodes_of_every_task(name):
    _, env, params, _, _ = registry.make(name)
    params = params.replace(max_steps_in_episode=20)
    act = lambda key, obs: env.action_space(params).sample(key)  # noqa: E731
    steps = jax.jit(lambda key: rollout(key, env, params, act, 64))(jax.random.key(0))
    ended = np.asarray(steps.terminated | steps.truncated)
    assert ended.shape == steps.reward.shape == (64,)
    assert ended.sum() >= 3
    assert (steps.reward.dtype, steps.terminated.dtype, steps.truncated.dtype) == ("float32", "bool", "bool")
    space = env.observation_space(params)
    for obs in (np.asarray(steps.obs), np.asarray(steps.next_obs)):
        assert obs.shape == (64, *space.shape)
        assert obs.dtype == space.dtype
        assert (obs >= np.asarray(space.low)).all()
        assert (obs <= np.asarray(space.high)).all()
    for t in range(63):
        same = np.allclose(steps.next_obs[t], steps.obs[t + 1], atol=1e-6)
        assert same == (not ended[t]), f"at step {t}"
