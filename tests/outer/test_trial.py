"""One trial: its score, its repeatability, and how often it is compiled."""

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.flatten_util import ravel_pytree

from synthenv.agents import registry as agents
from synthenv.agents.off_policy_config import DDQNConfig
from synthenv.agents.training.bucket import Bucket
from synthenv.agents.training.hyperparams import fixed_hyperparams
from synthenv.envs import registry
from synthenv.envs.rollout import evaluate
from synthenv.outer.trial import TrainingGround, TrialTask, make_trials
from synthenv.proxies.config import SyntheticConfig
from synthenv.proxies.synthetic_env import SyntheticMDP

SPEC = registry.make("CartPole-v0")
PROXY = SyntheticMDP(SPEC.env, SPEC.env_params, SyntheticConfig(hidden_size=8, max_steps=20))
WEIGHTS, unravel = ravel_pytree(PROXY.init_params(jax.random.key(0)))
CONFIG = DDQNConfig(
    batch_size=16,
    hidden_size=16,
    depth=1,
    activation="tanh",
    init_episodes=1,
    max_steps=60,
    buffer_size=128,
    stop="none",
)
AGENT = agents.make(CONFIG, Bucket(1, 16, 16, 16), SPEC.env.action_space(SPEC.env_params))
NUM_EPISODES = 5


def hyperparams_of(num, **changes):
    values = fixed_hyperparams(CONFIG, SPEC.solved_return).replace(**changes)
    return jax.tree.map(lambda x: jnp.full(num, x), values)


def tasks_of(seeds, **changes):
    """One task per seed, all in the same proxy."""
    keys = jax.vmap(jax.random.key)(jnp.array(seeds))
    proxies = jnp.tile(WEIGHTS, (len(seeds), 1))
    return TrialTask(jax.random.key_data(keys), proxies, hyperparams_of(len(seeds), **changes))


@pytest.fixture(scope="module")
def trials():
    """The compiled trials."""
    ground = TrainingGround(PROXY, lambda weights, discount: PROXY.env_params(unravel(weights)))
    return jax.jit(chex.assert_max_traces(make_trials(AGENT, ground, SPEC, NUM_EPISODES), n=1))


def test_score_is_the_mean_of_evaluate(trials):
    """Train by hand with the first half of the key, evaluate with the second: the same real returns."""
    result = trials(tasks_of([3, 4, 3]))
    key_train, key_test = jax.random.split(jax.random.key(4))

    @jax.jit
    def by_hand(hyperparams):
        trained = AGENT.train(key_train, PROXY, PROXY.env_params(unravel(WEIGHTS)), hyperparams)
        act = lambda key, obs: AGENT.act(key, trained.params, obs)  # noqa: E731
        tested = evaluate(key_test, SPEC.env, SPEC.env_params, act, NUM_EPISODES, SPEC.max_steps)
        return trained, tested

    trained, tested = by_hand(jax.tree.map(lambda x: x[0], hyperparams_of(1)))
    np.testing.assert_array_equal(result.returns[1], tested.returns)
    np.testing.assert_allclose(result.score[1], np.mean(tested.returns), rtol=1e-6)
    assert result.num_steps[1] == trained.num_steps == 60
    assert result.num_episodes[1] == trained.num_episodes
    assert not result.stopped_early.any()


def test_score_comes_from_the_real_task(trials):
    """Real CartPole pays one per step: returns are whole and within the task's bounds."""
    returns = np.asarray(trials(tasks_of([1, 2, 3])).returns)
    assert returns.shape == (3, NUM_EPISODES)
    np.testing.assert_array_equal(returns, np.round(returns))
    assert returns.min() >= 8 and returns.max() <= SPEC.max_steps


def test_identical_tasks_give_identical_results(trials):
    """Within a batch and between calls; another seed gives another training."""
    first, second = trials(tasks_of([7, 8, 7])), trials(tasks_of([9, 7, 8]))
    jax.tree.map(lambda x: np.testing.assert_array_equal(x[0], x[2]), first)
    jax.tree.map(lambda x, y: np.testing.assert_array_equal(x[0], y[1]), first, second)
    assert not np.array_equal(first.returns[0], first.returns[1])


def test_one_trace_for_many_hyperparameters(trials):
    """Rates, widths, batches, bounds and proxies are traced values: nothing is compiled twice."""
    trials(tasks_of([1, 2, 3]))
    changes = {"learning_rate": 3e-3, "batch_size": 7, "hidden_size": 9, "max_steps": 33, "discount": 0.5}
    other = trials(tasks_of([1, 2, 3], **changes))
    np.testing.assert_array_equal(other.num_steps, 33)
    tasks = tasks_of([1, 2, 3])
    trials(tasks._replace(proxy=tasks.proxy * jnp.array([[1.0], [2.0], [3.0]])))
