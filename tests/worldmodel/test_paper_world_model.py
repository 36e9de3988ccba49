"""The paper's model as a world model: columns and normalisation against NumPy, one cache against full passes."""

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from synthenv.core.errors import UserError
from synthenv.core.types import Transition
from synthenv.nets.transformer import TransformerConfig
from synthenv.worldmodel.paper import network as paper_model
from synthenv.worldmodel.paper import world_model as paper_world_model
from synthenv.worldmodel.paper.network import PAPER

SMALL = replace(
    PAPER,
    transformer=TransformerConfig(16, 4, 24, 2, norm="post", zero_init_residual=False),
    encoder=replace(PAPER.encoder, width=12, depth=1),
    decoder=replace(PAPER.decoder, width=6, depth=1),
)
C, SIZE = 30, 2


@pytest.fixture(scope="module")
def model():
    """Weights moved by noise, so that the answers depend on every input."""
    noise = np.random.default_rng(0)
    params = jax.jit(paper_model.init, static_argnums=1)(jax.random.key(0), SMALL)
    moved = jax.tree.map(lambda leaf: leaf + 0.3 * noise.normal(size=leaf.shape).astype(np.float32), params)
    return paper_world_model.make(moved, SMALL)


def context(num_actions=None, reward=None, whole=False):
    """Transitions [C] of a task with two observations."""
    noise = np.random.default_rng(1)
    obs, following = noise.normal(3.0, 2.0, (2, C, SIZE)).astype(np.float32)
    if whole:
        obs, following = np.round(obs), np.round(following)
    actions = noise.integers(0, num_actions, C) if num_actions else noise.normal(size=(C, 1))
    rewards = noise.normal(size=C) if reward is None else np.full(C, reward)
    never = np.zeros(C, bool)
    dtype = np.int32 if num_actions else np.float32
    return Transition(obs, actions.astype(dtype), rewards.astype(np.float32), following, never, never)


@pytest.mark.parametrize("num_actions", [None, 3])
def test_answer_is_that_of_a_full_pass_normalised_by_the_context(model, num_actions):
    """Oracle: rows and moments by NumPy, the query as the last row of one pass."""
    steps = context(num_actions)
    obs, action = (
        np.array([2.0, -1.0], np.float32),
        np.int32(2) if num_actions else np.array([0.4], np.float32),
    )
    x, y = np.zeros((2, C + 1, 14))
    x[:C, :SIZE], x[:C, 11] = steps.obs, np.ravel(steps.action)
    x[C, :SIZE], x[C, 11] = obs, np.ravel(action)[0]
    y[:C, :SIZE], y[:C, 13] = steps.next_obs, steps.reward

    def normalised(rows):
        mean, std = rows[:C].mean(0), rows[:C].std(0, ddof=1)
        return np.where(std > 0, (rows - mean) / np.where(std > 0, std, 1), 0).astype(np.float32), mean, std

    (x, _, _), (y, mean, std) = normalised(x), normalised(y)
    is_context = jnp.arange(C + 1) < C
    whole = jax.jit(paper_model.predict_rows, static_argnums=1)(model.params, SMALL, x, y, is_context)
    expected = np.asarray(whole)[C] * std + mean
    cache = model.encode(model.params, steps, num_actions)
    said = model.predict(cache, jnp.asarray(obs), jnp.asarray(action))
    np.testing.assert_allclose(said.next_obs, expected[:SIZE], rtol=1e-4)
    np.testing.assert_allclose(said.reward, expected[13], rtol=1e-4)
    assert not said.next_obs_std.any() and said.reward_std == said.termination == 0


def test_a_constant_reward_stays_what_it_is(model):
    """Also where the mean of many equal numbers is not quite that number."""
    cache = model.encode(model.params, context(reward=-0.1), None)
    said = jax.vmap(model.predict, (None, 0, 0))(cache, 9.0 * jnp.ones((2, SIZE)), jnp.ones((2, 1)))
    np.testing.assert_allclose(said.reward, -0.1, rtol=1e-6)


def test_whole_numbers_stay_whole(model):
    for whole in (True, False):
        cache = model.encode(model.params, context(whole=whole), None)
        said = model.predict(cache, jnp.ones(SIZE), jnp.ones(1)).next_obs
        assert bool((said == jnp.round(said)).all()) == whole


def test_a_task_with_more_columns_is_refused(model):
    steps = context()
    wide = steps._replace(obs=np.ones((C, 12), np.float32), next_obs=np.ones((C, 12), np.float32))
    with pytest.raises(UserError, match="takes 11 observed numbers"):
        model.encode(model.params, wide, None)
    with pytest.raises(UserError, match="3 of an action"):
        model.encode(model.params, steps._replace(action=np.ones((C, 4), np.float32)), None)
