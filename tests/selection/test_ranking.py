"""ZAP's ensemble: what it learns, how members agree, what it never does."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from synthenv.selection.surrogates import inputs
from synthenv.selection.surrogates.ranking.networks import (
    PRESETS,
    RankingConfig,
    combined,
    fit,
    ranking_surrogate,
    stand,
)
from synthenv.selection.surrogates.surrogate import Candidates, Seen
from synthenv.selection.tables.columns import features
from tests.selection.small_tables import crossing, table

SMALL = RankingConfig(width=16, depth=1, updates=200, batch=32, seeds=2, dropout=0.0, learning_rate=0.02)
EIGHT = jnp.ones(8, bool)


def standing(config, meta, described):
    x = jnp.asarray(features(meta.columns, meta.configs))
    candidates = Candidates(x, jnp.asarray(described, jnp.float32), jnp.ones(len(x), bool))
    return stand(config, fit(config, jax.random.key(0), meta), candidates)


@pytest.mark.parametrize(
    "config",
    [
        SMALL,
        dataclasses.replace(SMALL, loss="regression", weighting="v0"),
        dataclasses.replace(SMALL, folds=3, seeds=1, keep="best", combine="vote"),
    ],
    ids=["bpr", "regression", "folds that vote"],
)
def test_it_learns_that_data_sets_differ(config):
    meta = crossing()
    assert int(standing(config, meta, [1.0, 300.0]).mean.argmax()) >= 5
    assert int(standing(config, meta, [-1.0, 300.0]).mean.argmax()) <= 2


def test_triplets_are_turned_so_that_higher_is_better():
    mean = standing(dataclasses.replace(SMALL, loss="triplet"), crossing(), [1.0, 300.0]).mean
    assert mean[4:].mean() > mean[:4].mean()


def test_a_configuration_that_crashes_is_not_chosen():
    scores = np.tile(np.linspace(0.2, 0.6, 6), (8, 1))
    crashed = np.zeros(scores.shape, bool)
    crashed[:, 5] = True  # where the trend leads to
    scores[crashed] = np.nan
    meta = table(scores, np.ones((8, 1)), [{"kind": name} for name in "abcdef"], crashed)
    mean = standing(SMALL, meta, [1.0]).mean
    assert mean.argmax() == 4 and mean.argmin() == 5


def test_votes():
    said = jnp.array([[0.0, 5.0, 1.0], [0.0, 2.0, 3.0], [9.0, 10.0, 0.0]])
    everywhere = jnp.ones(3, bool)
    votes = combined("vote", said, everywhere)
    np.testing.assert_allclose(votes.mean, [0.0, 2 / 3, 1 / 3], atol=1e-3)
    assert combined("vote", said, jnp.array([True, False, True])).mean.argmax() == 2
    # equal numbers of votes: the one that members rather like
    tie = jnp.array([[3.0, 2.9, 0.0], [0.0, 2.9, 3.0]]) + jnp.array([[0.1, 0.0, 0.0], [0.0, 0.0, 0.0]])
    winner = int(combined("vote", tie, everywhere).mean.argmax())
    liked = combined("mean", tie, everywhere).mean
    assert winner == (0 if liked[0] > liked[2] else 2)


def test_means_do_not_depend_on_a_member_s_unit():
    said = jnp.array([[0.0, 1.0, 2.0, 0.0], [0.0, 100.0, 50.0, 0.0]])
    mask = jnp.array([True, True, True, False])
    one = combined("mean", said, mask)
    other = combined("mean", said * jnp.array([[1000.0], [1.0]]) + 7.0, mask)
    np.testing.assert_allclose(one.mean[:3], other.mean[:3], atol=1e-5)
    np.testing.assert_allclose(one.mean[:3].mean(), 0.0, atol=1e-5)


def test_meta_features_are_scaled_by_what_they_are():
    meta_features = np.array(
        [[10.0, 5.0, -1.0, np.nan], [1000.0, 6.0, 1.0, np.nan], [np.nan, 7.0, 500.0, np.nan]]
    )
    scaling = inputs.measure(np.array([[0.0, 0.2], [1.0, 0.4]]), meta_features)
    assert scaling.meta_is_log.tolist() == [True, False, False, False]
    seen = inputs.of_data_sets(scaling, jnp.asarray(meta_features))
    np.testing.assert_allclose(seen[:, 0], [-1.0, 1.0, 0.0], atol=1e-5)  # a missing one is average
    np.testing.assert_allclose(seen[:, 1], [-np.sqrt(1.5), 0.0, np.sqrt(1.5)], atol=1e-5)
    assert (seen[:, 3] == 0).all()
    # marks of presence and choice stay as they are
    np.testing.assert_allclose(inputs.of_configs(scaling, jnp.array([[1.0, 0.3]])), [[1.0, 0.0]], atol=1e-5)
    # what was never so small counts by the least that was seen
    assert inputs.of_data_sets(scaling, jnp.array([-3.0, 5.0, 0.0, 1.0]))[0] == pytest.approx(-1.0, abs=1e-5)


def test_it_is_a_surrogate_that_heeds_nothing():
    meta, surrogate = crossing(), ranking_surrogate("test", "", SMALL)
    params = surrogate.fit(jax.random.key(0), meta)
    x = jnp.asarray(features(meta.columns, meta.configs))
    state = jax.jit(surrogate.start, static_argnums=2)(
        params, Candidates(x, jnp.array([1.0, 50.0]), EIGHT), 5
    )
    seen = Seen(jnp.int32(0), jnp.int32(1), jnp.float32(1.0), jnp.float32(1.0))
    forecast = surrogate.forecast(params, surrogate.update(params, state, seen), jnp.full(8, 5))
    np.testing.assert_array_equal(forecast.score.mean, state.mean)
    assert (forecast.score.std >= 0).all() and forecast.seconds.shape == (8,)


def test_presets_say_what_their_sources_do():
    released = PRESETS["released"]
    assert (released.depth, released.width, released.epochs, released.folds) == (5, 190, 400, 5)
    assert (released.combine, released.keep, released.batch) == ("vote", "best", 64)
    assert (PRESETS["paper"].depth, PRESETS["paper"].width, PRESETS["paper"].dropout) == (8, 241, 0.392)
