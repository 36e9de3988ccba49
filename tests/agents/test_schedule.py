"""The papers' training schedule, step by step, around DDQN."""

import functools
from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from synthenv.agents import ddqn
from synthenv.agents.training.hyperparams import fixed_hyperparams
from synthenv.agents.training.replay import unpack
from synthenv.envs import registry
from synthenv.envs.registry import EnvSpec
from tests import probe_envs
from tests.small_ddqn import BUCKET, QUICK, SMALL, TWO

CONSTANT, DELAYED = probe_envs.ConstantReward(), probe_envs.DelayedReward()


def make(config, task=None):
    return ddqn.make(config, BUCKET, TWO, task)


@functools.partial(jax.jit, static_argnames=("env", "config"))
def train(key, env, env_params, hyperparams, config):
    return make(config).train(key, env, env_params, hyperparams)


@functools.partial(jax.jit, static_argnames=("env", "config", "num_steps"))
def trace_training(key, env, env_params, hyperparams, config, num_steps):
    """Take ``num_steps`` training steps whatever ``finished`` says; returns the last state and a log [T]."""
    agent = make(config)

    def step(state, _):
        state = agent.step(state, env, env_params, hyperparams)
        return state, (state.episode.epsilon, state.episode.count, state.learner.opt_state.count)

    return jax.lax.scan(step, agent.init(key, env, env_params, hyperparams), None, num_steps)


def test_one_gradient_step_per_environment_step():
    """None in the ``init_episodes`` first episodes, then one per step, from the first step on."""
    hyperparams = QUICK.replace(init_episodes=4)
    args = jax.random.key(0), DELAYED, DELAYED.default_params, hyperparams, SMALL
    state, (_, _, count) = trace_training(*args, 30)
    np.testing.assert_array_equal(count, np.maximum(np.arange(1, 31) - 4 * 2, 0))  # episodes of two steps
    assert state.step == 30 and state.replay.size == 30
    warm = trace_training(*args, 8)[0]
    fresh = trace_training(*args, 0)[0]
    jax.tree.map(np.testing.assert_array_equal, warm.learner.params, fresh.learner.params)
    assert not np.array_equal(state.learner.params[0].kernel, fresh.learner.params[0].kernel)


def test_epsilon_per_episode():
    """Episode k explores with max(epsilon_init * decay^k, epsilon_min)."""
    hyperparams = QUICK.replace(epsilon_init=0.8, epsilon_decay=0.5, epsilon_min=0.07)
    args = jax.random.key(0), DELAYED, DELAYED.default_params, hyperparams, SMALL
    _, (epsilon, episode, _) = trace_training(*args, 12)
    np.testing.assert_array_equal(episode, np.arange(1, 13) // 2)
    np.testing.assert_allclose(epsilon, np.maximum(0.8 * 0.5**episode, 0.07), rtol=1e-6)


@pytest.mark.parametrize(("time_limit", "at_limit"), [("terminal", 0.0), ("bootstrap", 1.0)])
def test_time_limit_in_replay(time_limit, at_limit):
    """A step cut off by the limit is stored as terminal or not, as configured; a real end always is."""
    config = replace(SMALL, time_limit=time_limit)
    for max_steps, not_done in ((1, [at_limit] * 6), (2, [1, 0] * 3), (100, [1, 0] * 3)):
        env_params = DELAYED.default_params.replace(max_steps_in_episode=max_steps)
        state, _ = trace_training(jax.random.key(0), DELAYED, env_params, QUICK, config, 6)
        assert state.episode.count == 6 // min(max_steps, 2)
        rows = unpack(state.replay.rows[:6], 1)
        np.testing.assert_array_equal(rows.not_done, not_done)
        np.testing.assert_array_equal(rows.next_obs, rows.obs + 1)  # not the observation after the reset


def test_raw_discount_in_replay():
    """A bootstrap factor that the environment answers with is stored untouched."""

    class Overconfident(probe_envs.DelayedReward):
        def step_env(self, *args):
            *step, _ = super().step_env(*args)
            return *step, {"discount": jnp.float32(1.25)}

    env = Overconfident()
    state, _ = trace_training(jax.random.key(0), env, env.default_params, QUICK, SMALL, 6)
    np.testing.assert_array_equal(unpack(state.replay.rows[:6], 1).not_done, [1.25] * 6)


@pytest.mark.parametrize(
    ("change", "steps", "episodes"),
    [({"max_steps": 33}, 33, 16), ({"max_episodes": 7}, 14, 7), ({"max_steps": 9, "max_episodes": 4}, 8, 4)],
)
def test_bounds(change, steps, episodes):
    """Training ends at whichever bound comes first, also in the middle of an episode."""
    result = train(jax.random.key(0), DELAYED, DELAYED.default_params, QUICK.replace(**change), SMALL)
    assert (result.num_steps, result.num_episodes) == (steps, episodes)
    assert not result.stopped_early


@pytest.mark.parametrize(("stop", "episodes"), [("plateau", 3 + 5 + 1), ("solved", 3 + 1), ("none", 50)])
def test_stop_rules_end_training(stop, episodes):
    """Constant returns stop both rules at their first chance: episode index init + d, and index init."""
    config = replace(SMALL, stop=stop, stop_window=5)
    hyperparams = QUICK.replace(init_episodes=3, max_episodes=50, solved_return=1.0)
    result = train(jax.random.key(0), CONSTANT, CONSTANT.default_params, hyperparams, config)
    assert result.num_episodes == episodes
    assert bool(result.stopped_early) == (stop != "none")


@pytest.mark.parametrize(
    "change", [{"max_steps": 33}, {"max_episodes": 15}], ids=["mid-episode", "at an end"]
)
def test_a_finished_member_stands_still(change):
    """Stepping on after the end changes nothing of the result."""
    args = jax.random.key(0), DELAYED, DELAYED.default_params, QUICK.replace(**change), SMALL
    result, (state, _) = train(*args), trace_training(*args, 60)
    agent = make(SMALL)
    jax.tree.map(np.testing.assert_array_equal, result, agent.result(state))
    assert bool(agent.finished(state)) and 0 < result.num_steps < 60


# ---------------------------------------------------------------- tests on the way

TESTED = replace(SMALL, test_episodes=2, max_episodes=9, stop_window=3)


@functools.cache
def training_with_tests(stop):
    """A jitted training of a key and hyperparameters, in the delayed probe with tests on real CartPole.

    It gives the result, and the rows [] that the replay holds at the end.
    """
    agent = make(replace(TESTED, stop=stop), pole_of_one_number())

    def train(key, hyperparams):
        state = agent.final_state(key, DELAYED, DELAYED.default_params, hyperparams)
        return agent.result(state), state.replay.size

    return jax.jit(train)


def run_tested(stop="none", solved_return=195.0, **changes):
    """Its result, with hyperparameters of their own; the replay holds training steps and nothing else."""
    hyperparams = fixed_hyperparams(replace(TESTED, **changes), solved_return)
    result, num_rows = training_with_tests(stop)(jax.random.key(0), hyperparams)
    assert num_rows == result.num_steps, "a step of a test was stored"
    return result


@functools.cache
def pole_of_one_number():
    """A task other than the training ground, with episodes of changing length: CartPole's first number alone."""
    spec = registry.make("CartPole-v0")

    class Slit(type(spec.env)):
        def reset_env(self, key, params):
            obs, state = super().reset_env(key, params)
            return obs[:1], state

        def step_env(self, key, state, action, params):
            obs, *rest = super().step_env(key, state, action, params)
            return obs[:1], *rest

    return EnvSpec("slit", Slit(), spec.env_params, 195.0, 200)


def test_a_test_after_every_training_episode():
    """Nine episodes of two steps: nine mean returns, each after two more training steps, and all are real returns."""
    result = run_tested()
    assert (result.num_episodes, result.num_steps) == (9, 18)
    np.testing.assert_array_equal(result.curve.steps, np.arange(2, 20, 2))
    returns = np.asarray(result.curve.returns)
    assert (returns >= 8).all() and (returns * 2 == np.round(returns * 2)).all() and np.ptp(returns) > 0


def test_tests_do_not_disturb_training():
    """The same number of steps and episodes as without tests; nothing is learnt from a test or lost by it."""
    hyperparams = fixed_hyperparams(replace(TESTED, init_episodes=100), 195.0)
    args = jax.random.key(0), DELAYED, DELAYED.default_params, hyperparams
    alone, with_tests = train(*args, replace(TESTED, test_episodes=0)), run_tested(init_episodes=100)
    jax.tree.map(np.testing.assert_array_equal, alone.params, with_tests.params)  # no gradient step: as drawn
    assert (alone.num_steps, alone.num_episodes) == (with_tests.num_steps, with_tests.num_episodes)


def test_the_stop_rule_looks_at_tests():
    """Training returns are 1 here, test returns about 9: a threshold of 5 is only met by tests."""
    result = run_tested(stop="solved", solved_return=5.0, init_episodes=2)
    assert bool(result.stopped_early) and result.num_episodes == 3  # episode index init_episodes
    assert not run_tested(stop="solved", solved_return=300.0, init_episodes=2).stopped_early


def test_tested_members_do_not_wait_for_each_other():
    """Side by side as alone: every member plays its tests in steps of its own."""
    hyperparams = fixed_hyperparams(TESTED, 195.0)
    keys = jax.random.split(jax.random.key(3), 3)
    run = training_with_tests("none")
    together, rows_together = jax.jit(jax.vmap(run, (0, None)))(keys, hyperparams)
    for i in range(3):
        one, num_rows = run(keys[i], hyperparams)
        np.testing.assert_array_equal(together.curve.returns[i], one.curve.returns)
        assert together.num_steps[i] == one.num_steps == num_rows == rows_together[i]


def test_the_last_test_is_played():
    """A budget of steps that ends with an episode: the test after it still counts; in mid-episode there is none."""
    curve = run_tested(max_steps=6).curve
    assert (np.asarray(curve.returns[:3]) > 0).all() and not np.any(curve.returns[3:])
    result = run_tested(max_steps=7)
    assert result.num_steps == 7 and np.count_nonzero(result.curve.returns) == 3
