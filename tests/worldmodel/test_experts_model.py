"""The experts as a world model: toy tasks of the paper, twins, whole numbers, and rewards of where a step leads."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from synthenv.core.errors import UserError
from synthenv.core.types import Transition
from synthenv.envs import registry
from synthenv.envs.oswm_toys import MOVES
from synthenv.worldmodel.context.action_strategies import Collection
from synthenv.worldmodel.context.collect import collect
from synthenv.worldmodel.experts import world_model as experts_model
from synthenv.worldmodel.experts.world_model import EXPERTS
from synthenv.worldmodel.regression import columns

LINE, GRID = registry.make("SimpleEnv"), registry.make("GridWorld")
NUM_ROWS = 200
ask_one = jax.jit(experts_model.predict)
ask_all = jax.jit(jax.vmap(experts_model.predict, (None, 0, 0)))


@pytest.fixture(scope="module")
def line():
    return collect(jax.random.key(0), LINE, Collection("random", num_steps=NUM_ROWS)).transitions


@pytest.fixture(scope="module")
def line_cache(line):
    return EXPERTS.encode(None, line, None)


@pytest.fixture(scope="module")
def grid_cache():
    """Of GridWorld from 400 random steps."""
    context = collect(jax.random.key(0), GRID, Collection("random", num_steps=400))
    return EXPERTS.encode(None, context.transitions, context.num_actions)


def made_of(obs, action, next_obs, reward):
    never = np.zeros(len(reward), bool)
    return Transition(
        *(np.asarray(leaf, np.float32) for leaf in (obs, action, reward, next_obs)), never, never
    )


def test_simple_env_is_predicted_from_200_random_rows(line_cache):
    rng = np.random.default_rng(1)
    obs = rng.uniform(-15, 15, (100, 1)).astype(np.float32)
    action = rng.uniform(-10, 10, (100, 1)).astype(np.float32)
    said = ask_all(line_cache, obs, action)
    np.testing.assert_allclose(said.next_obs, obs + action, atol=0.1)
    missed = np.abs(np.asarray(said.reward) + np.abs(obs + action)[:, 0])
    assert np.mean(missed < 0.2) >= 0.97 and missed.max() < 0.5, "the kink at 0 is the hard part"
    assert (np.asarray(said.reward_std) > 0).all() and np.isfinite(said.next_obs_std).all()


def test_questions_at_once_are_questions_one_by_one(line_cache, line):
    together = ask_all(line_cache, line.obs[:8], line.action[:8])
    for i in range(8):
        alone = ask_one(line_cache, line.obs[i], line.action[i])
        for both, one in zip(together, alone, strict=True):
            np.testing.assert_allclose(both[i], one, rtol=1e-4, atol=1e-4)


def test_left_out_residuals_are_those_of_the_kept_reward_experts(line_cache):
    """What they come to is the errors."""
    typical = np.pi / 2 * np.mean(np.abs(line_cache.left_out), axis=2) ** 2
    np.testing.assert_allclose(typical, line_cache.error, rtol=1e-3, atol=1e-12)
    of_reward = line_cache.reward.fits.left_out[..., 0]
    kept = np.where(line_cache.after[:, None], of_reward, line_cache.step.fits.left_out[..., -1])
    np.testing.assert_array_equal(line_cache.left_out[:, -1], kept)


def test_local_errors_are_larger_where_the_experts_missed_more(line_cache):
    """At the kink of the reward they do, and far from all rows nothing but the error of all rows is known."""
    at_kink, aside, nowhere = (
        experts_model.ask(line_cache, jnp.array([obs]), jnp.array([0.0])) for obs in (0.0, 8.0, 1e4)
    )
    best = int(np.argmin(line_cache.error[:, -1]))
    assert at_kink.local[best, -1] > 2 * aside.local[best, -1]
    np.testing.assert_allclose(nowhere.local, line_cache.error + line_cache.rounding, rtol=1e-4)
    np.testing.assert_allclose(nowhere.weights, line_cache.weights, rtol=1e-3, atol=1e-6)
    assert (np.asarray(aside.local) > 0).all()


def test_the_expert_that_did_well_nearby_is_listened_to(line_cache):
    """Two experts, each wrong on one side of zero."""
    missed = np.zeros(line_cache.left_out.shape, np.float32)
    right = np.asarray(line_cache.step.inputs[0]) > 0
    missed[0], missed[1], missed[2:] = right, ~right, 10.0
    typical = np.pi / 2 * np.mean(np.abs(missed), axis=2) ** 2
    cache = line_cache._replace(left_out=missed, error=typical)
    left, right_side = (experts_model.ask(cache, jnp.array([obs]), jnp.array([0.0])) for obs in (-9.0, 9.0))
    assert left.weights[0].min() > 0.9 and right_side.weights[1].min() > 0.9


def test_a_reward_of_where_the_step_leads_is_learnt_from_there():
    """The step itself is noisy, so the reward cannot be told from where it begins."""
    rng = np.random.default_rng(0)
    obs, action = rng.normal(size=(2, NUM_ROWS, 1))
    next_obs = obs + action + 0.5 * rng.normal(size=obs.shape)
    reward = np.tanh(next_obs[:, 0])
    cache = EXPERTS.encode(None, made_of(obs, action, next_obs, reward), None)
    best = int(np.argmax(cache.weights[:, -1]))
    assert cache.after[best] and cache.error[best, -1] < 0.01
    assert cache.step.fits.error[:, -1].min() > 0.05
    # The expected step leads to obs + action, and the reward asked for is the one there.
    said = ask_one(cache, jnp.array([0.5]), jnp.array([0.3]))
    np.testing.assert_allclose(said.reward, np.tanh(said.next_obs[0]), atol=0.05)
    # And the other way round: a reward of where the step begins is learnt from there.
    cache = EXPERTS.encode(None, made_of(obs, action, next_obs, np.tanh(obs[:, 0])), None)
    best = int(np.argmax(cache.weights[:, -1]))
    assert not cache.after[best] and cache.error[best, -1] < 0.01


def test_whole_numbers_stay_whole(grid_cache, line_cache):
    assert grid_cache.columns.whole.all() and not line_cache.columns.whole.any()
    obs = np.random.default_rng(0).integers(1, 7, (64, 2)).astype(np.float32)
    said = ask_all(grid_cache, obs, np.arange(64) % 4)
    np.testing.assert_array_equal(said.next_obs, np.round(said.next_obs))
    right = np.all(np.asarray(said.next_obs) == obs + MOVES[np.arange(64) % 4], axis=1)
    assert right.mean() > 0.9, "every cell was not seen, but a move is a move"


def test_discrete_actions_become_one_hot(grid_cache):
    np.testing.assert_array_equal(columns.action_columns(jnp.array([2, 0]), 3), [[0, 0, 1], [1, 0, 0]])
    np.testing.assert_array_equal(columns.action_columns(jnp.array([[2.5]]), None), [[2.5]])
    assert grid_cache.columns.input_mean.shape == (2 + 4,)
    obs = jnp.array([2.0, 3.0])
    by_number, by_column = ask_one(grid_cache, obs, jnp.int32(3)), ask_one(grid_cache, obs, jnp.eye(4)[3])
    jax.tree.map(np.testing.assert_array_equal, by_number, by_column)
    assert not np.array_equal(by_number.next_obs, ask_one(grid_cache, obs, jnp.int32(0)).next_obs)


def test_distinct_averages_twins_and_loses_nobody():
    inputs = np.array([[1.0, 0.0], [2.0, 0.0], [1.0, 0.0], [3.0, 1.0]])
    after = np.array([[1.0], [5.0], [3.0], [7.0]])
    asked, mean_after, mean_targets = columns.distinct(inputs, after, -after)
    rows = {tuple(row): value[0] for row, value in zip(asked, mean_after, strict=True)}
    assert rows == {(1.0, 0.0): 2.0, (2.0, 0.0): 5.0, (3.0, 1.0): 7.0}
    np.testing.assert_array_equal(mean_targets, -mean_after)


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_numbers_that_cannot_be_computed_with_are_refused(line, bad):
    broken = line._replace(reward=line.reward.copy())
    broken.reward[3] = bad
    with pytest.raises(UserError, match="scale its columns"):
        EXPERTS.encode(None, broken, None)


def test_constant_columns_are_no_information():
    values = np.full((5, 2), 3.0, np.float32)
    np.testing.assert_array_equal(
        columns.standardise(values, np.array([2.0, 1.0]), np.array([0.0, 0.5])), [[0.0, 4.0]] * 5
    )
    mask = np.arange(5) < 4
    inputs = jnp.asarray(np.array([[1, 0.1], [2, 0.1], [3, 0.1], [4, 0.1], [99, 99]], np.float32))
    measured = columns.measure(inputs, inputs, inputs, mask)
    np.testing.assert_allclose(measured.input_mean, [2.5, 0.1], rtol=1e-6)
    np.testing.assert_allclose(measured.input_std, [np.sqrt(1.25), 0.0], rtol=1e-6)
    np.testing.assert_array_equal(measured.whole, [True])
