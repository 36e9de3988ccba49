"""Repeated actions: rewards counted by hand, ends inside a repeat, and the inner environment for one repeat."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import struct
from gymnax.environments import environment

from synthenv.envs import registry
from synthenv.envs.action_repeat import ActionRepeat
from synthenv.envs.rollout import evaluate, rollout
from synthenv.proxies.config import SyntheticConfig
from synthenv.proxies.synthetic_env import SyntheticMDP


@struct.dataclass
class DoublingParams(environment.EnvParams):
    length: int = 4  # terminates after so many steps
    max_steps_in_episode: int = 100


class Doubling(environment.Environment):
    """Step t = 0, 1, ... pays action * 2**t; the observation is the number of steps made."""

    num_actions = 3

    def reset_env(self, key, params):
        state = environment.EnvState(time=jnp.int32(0))
        return self.get_obs(state), state

    def step_env(self, key, state, action, params):
        reward = action * 2.0**state.time
        state = environment.EnvState(time=state.time + 1)
        terminated = state.time >= params.length
        return self.get_obs(state), state, reward, terminated, {"discount": 1.0 - terminated}

    def get_obs(self, state, params=None, key=None):
        return jnp.array([state.time], jnp.float32)


DOUBLING = Doubling()


def play(env, params, actions):
    """Step without resets; returns obs, reward, terminated, truncated, discount, each a list."""

    def step(state, action):
        obs, state, reward, terminated, info = env.step_env(jax.random.key(0), state, action, params)
        return state, (obs[0], reward, terminated, env.is_truncated(state, params), info["discount"])

    state = env.reset_env(jax.random.key(0), params)[1]
    played = jax.lax.scan(step, state, jnp.array(actions))[1]
    return [np.asarray(column).tolist() for column in played]


def test_rewards_are_summed_and_a_repeat_ends_with_the_episode():
    """Three repeats and four steps: the first decision plays t = 0, 1, 2 and the second t = 3 only."""
    obs, reward, terminated, truncated, discount = play(
        ActionRepeat(DOUBLING, 3), DoublingParams(length=4), [1, 2]
    )
    assert obs == [3, 4]
    assert reward == [1 + 2 + 4, 2 * 8]
    assert terminated == [False, True]
    assert truncated == [False, False]
    assert discount == [1, 0]


def test_the_time_limit_counts_inner_steps_and_cuts_a_repeat():
    limit = DoublingParams(length=100, max_steps_in_episode=5)
    obs, reward, terminated, truncated, discount = play(ActionRepeat(DOUBLING, 3), limit, [1, 2])
    assert obs == [3, 5]
    assert reward == [1 + 2 + 4, 2 * (8 + 16)]
    assert terminated == [False, False]
    assert truncated == [False, True]
    assert discount == [1, 1]


def test_an_end_at_the_end_of_a_repeat():
    params = DoublingParams(length=4)
    obs, reward, terminated, _, _ = play(ActionRepeat(DOUBLING, 2), params, [1, 1])
    assert (obs, reward, terminated) == ([2, 4], [3, 12], [False, True])


@pytest.mark.parametrize("name", ["MountainCarContinuous-v0", "CartPole-v0"])
def test_one_repeat_is_the_inner_environment(name):
    _, env, params, _, _ = registry.make(name)

    def act(key, obs):
        return env.action_space(params).sample(key)

    inner, repeated = (rollout(jax.random.key(1), e, params, act, 60) for e in (env, ActionRepeat(env, 1)))
    jax.tree.map(np.testing.assert_array_equal, inner, repeated)


def test_one_repeat_of_a_step_that_draws_uses_its_key():
    class Noisy(Doubling):
        def step_env(self, key, state, action, params):
            obs, state, _, terminated, info = super().step_env(key, state, action, params)
            return obs, state, jax.random.normal(key), terminated, info

    env, params = Noisy(), DoublingParams()
    state = env.reset_env(jax.random.key(0), params)[1]
    rewards = [e.step_env(jax.random.key(5), state, 1, params)[2] for e in (env, ActionRepeat(env, 1))]
    assert rewards[0] == rewards[1]
    twice = ActionRepeat(env, 2).step_env(jax.random.key(5), state, 1, params)[2]
    draws = jax.vmap(jax.random.normal)(jax.random.split(jax.random.key(5)))
    np.testing.assert_allclose(twice, draws.sum(), rtol=1e-6)
    assert draws[0] != draws[1]


def test_vmap_equals_a_loop_also_where_members_end_apart():
    env = ActionRepeat(DOUBLING, 3)
    lengths, actions = jnp.array([1, 2, 3, 7]), jnp.array([1, 2, 1, 2])

    def step(length, action):
        params = DoublingParams(length=length)
        state = env.reset_env(jax.random.key(0), params)[1]
        obs, state, reward, terminated, info = env.step_env(jax.random.key(1), state, action, params)
        return obs, state.time, reward, terminated, info["discount"]

    together = jax.vmap(step)(lengths, actions)
    np.testing.assert_array_equal(together[1], [1, 2, 3, 3])
    np.testing.assert_array_equal(together[2], [1, 6, 7, 14])
    np.testing.assert_array_equal(together[3], [True, True, True, False])
    for i in range(4):
        for one, many in zip(step(lengths[i], actions[i]), together, strict=True):
            np.testing.assert_array_equal(one, many[i])


def test_around_a_proxy_the_outputs_of_two_steps_add_up():
    spec = registry.make("CartPole-v0")
    proxy = SyntheticMDP(spec.env, spec.env_params, SyntheticConfig(hidden_size=8))
    params = proxy.env_params(proxy.init_params(jax.random.key(0)))
    _, state = proxy.reset_env(jax.random.key(2), params)
    _, once, first, terminated, _ = proxy.step_env(jax.random.key(0), state, jnp.int32(1), params)
    obs, _, second, _, info = proxy.step_env(jax.random.key(0), once, jnp.int32(1), params)
    assert not terminated
    repeated = ActionRepeat(proxy, 2).step_env(jax.random.key(0), state, jnp.int32(1), params)
    np.testing.assert_allclose(repeated[0], obs, rtol=1e-6)
    np.testing.assert_allclose(repeated[2], first + second, rtol=1e-6)
    np.testing.assert_allclose(repeated[4]["discount"], info["discount"], rtol=1e-6)


def test_evaluate_counts_decisions_and_sums_raw_rewards():
    """Five raw steps in repeats of two: decisions of 1 + 2, 4 + 8 and 16."""
    env, params = ActionRepeat(DOUBLING, 2), DoublingParams(length=5)
    result = evaluate(jax.random.key(0), env, params, lambda key, obs: jnp.int32(1), 2, 10)
    np.testing.assert_array_equal(result.returns, [31, 31])
    np.testing.assert_array_equal(result.lengths, [3, 3])


def test_adapting_again_does_not_retrace():
    traces = []

    def first_obs(env, key):
        traces.append(env)
        return env.step(key, env.reset(key, DoublingParams())[1], 1, DoublingParams())[0]

    jitted = jax.jit(first_obs, static_argnums=0)
    for env in (ActionRepeat(DOUBLING, 2), ActionRepeat(DOUBLING, 2), ActionRepeat(DOUBLING, 3)):
        jitted(env, jax.random.key(0))
    assert len(traces) == 2
    assert ActionRepeat(DOUBLING, 2) != ActionRepeat(Doubling(), 2)


def test_less_than_one_repeat_is_refused():
    with pytest.raises(ValueError, match="num_repeats=0"):
        ActionRepeat(DOUBLING, 0)
