"""Q-learning and SARSA: the update by hand, the bonus, and the cliff."""

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from gymnax.environments import spaces

from synthenv.agents import tabular
from synthenv.agents.off_policy_config import TabularConfig
from synthenv.agents.tabular import Tables
from synthenv.agents.training.bucket import Bucket
from synthenv.agents.training.hyperparams import fixed_hyperparams, sample
from synthenv.agents.training.replay import init_replay, pack_row, write_row
from synthenv.envs import registry
from synthenv.envs.rollout import evaluate

QL = TabularConfig(learning_rate=0.5, discount=0.9)
VALUES = jnp.array([[1.0, 2.0], [5.0, 3.0], [0.0, 0.0]])
VISITS = jnp.array([[0.0, 3.0], [0.0, 0.0], [0.0, 0.0]])


def update(config, not_done=1.0, epsilon=0.0, words=(0, 0)):
    """The tables after action 1 in cell 0, reward 10, to cell 1."""
    row = pack_row(16, jnp.eye(3)[0], jnp.eye(3)[1], jnp.int32(1), jnp.float32(10), jnp.float32(not_done))
    replay = write_row(init_replay(1, 3), jnp.int32(7), row)
    words = jnp.array(words, jnp.uint32)
    hyperparams = fixed_hyperparams(config, 0.0)
    return tabular.learn(words, Tables(VALUES, VISITS), replay, 3, jnp.float32(epsilon), hyperparams, config)


def test_q_learning_by_hand():
    """2 + 0.5 (10 + 0.9 * 5 - 2) = 8.25; without a next state 2 + 0.5 (10 - 2) = 6."""
    np.testing.assert_allclose(update(QL).values, VALUES.at[0, 1].set(8.25))
    np.testing.assert_allclose(update(QL, not_done=0.0).values, VALUES.at[0, 1].set(6.0))
    np.testing.assert_array_equal(update(QL).visits, VISITS.at[0, 1].set(4.0))


def test_sarsa_by_hand():
    """Greedy it is Q-learning; exploring to action 1 the next value is 3: 2 + 0.5 (10 + 0.9 * 3 - 2) = 7.35."""
    sarsa = replace(QL, name="sarsa")
    np.testing.assert_allclose(update(sarsa).values, VALUES.at[0, 1].set(8.25))
    np.testing.assert_allclose(
        update(sarsa, epsilon=1.0, words=(0, 1)).values, VALUES.at[0, 1].set(7.35), rtol=1e-6
    )
    np.testing.assert_allclose(update(QL, epsilon=1.0, words=(0, 1)).values, VALUES.at[0, 1].set(8.25))


@pytest.mark.parametrize(("form", "bonus"), [("n", 0.8 / 4), ("sqrt_n", 0.8 / 2)])
def test_count_bonus(form, bonus):
    """The fourth visit earns beta / 4 in the paper, beta / 2 in the released code."""
    rich = replace(QL, count_bonus=0.8, count_form=form)
    np.testing.assert_allclose(update(rich).values[0, 1], 8.25 + 0.5 * bonus, rtol=1e-6)


def test_ties_go_to_the_first_action():
    assert tabular.act(VALUES, jnp.eye(3)[2]) == 0 and tabular.act(VALUES, jnp.eye(3)[0]) == 1


def test_memory_is_one_transition():
    with pytest.raises(ValueError, match="last transition only"):
        tabular.make(replace(QL, buffer_size=2), Bucket(), spaces.Discrete(2))


def test_variation_is_uniform():
    """Table 9: learning rate and discount in [0.1, 1], half of the draws below the arithmetic middle."""
    hyperparams, buckets = sample(jax.random.key(0), replace(QL, vary=True), -20.0, 4000)
    for values in (hyperparams.learning_rate, hyperparams.discount):
        assert 0.1 <= values.min() < 0.11 and 0.99 < values.max() <= 1
        assert np.mean(values < 0.55) == pytest.approx(0.5, abs=0.03)
    assert set(buckets) == {Bucket(1, 1, 1, 1)}
    assert hyperparams.epsilon_min[0] == np.float32(0.1)


@pytest.mark.parametrize("name", ["q_learning", "sarsa"])
def test_walks_along_the_cliff(name):
    """Ten agents of table 11: tests on the way tell when; the best path returns -12."""
    spec = registry.make("CliffWalking")
    config = TabularConfig(name=name, stop="none", max_episodes=300, test_episodes=1)
    agent = tabular.make(config, Bucket(), spec.env.action_space(spec.env_params), spec)
    hyperparams = fixed_hyperparams(config, spec.solved_return)
    keys = jax.random.split(jax.random.key(0), 10)
    run = lambda key: agent.train(key, spec.env, spec.env_params, hyperparams)  # noqa: E731
    results = jax.jit(lambda keys: jax.lax.map(run, keys))(keys)
    returns = np.asarray(results.curve.returns)  # [agents, episodes]
    assert returns.shape == (10, 300) and (returns[:, 0] <= -50).all()
    assert np.median(returns[:, -50:].max(axis=1)) >= -17  # SARSA keeps off the edge
    assert (np.diff(results.curve.steps, axis=1) > 0).all()
    tested = evaluate(
        jax.random.key(1),
        spec.env,
        spec.env_params,
        lambda key, obs: agent.act(key, results.params[0], obs),
        1,
        50,
    )
    assert tested.returns[0] == returns[0, -1]
