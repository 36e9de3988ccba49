"""Algorithm selection by forests."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from synthenv.core.errors import UserError
from synthenv.selection.surrogates.ranking import forests, trees
from synthenv.selection.surrogates.ranking.forests import ForestConfig, closed_gap, forest_surrogate
from synthenv.selection.zero_shot.baselines import oracle, single_best
from synthenv.selection.zero_shot.protocol import Protocol, cross_validate, first_choice
from tests.selection.small_tables import crossing

ensemble = pytest.importorskip("sklearn.ensemble")


def test_trees_answer_as_scikit_learn_does():
    random = np.random.default_rng(0)
    x = random.random((60, 3)).astype(np.float32)
    forest = ensemble.RandomForestRegressor(5, random_state=0).fit(x, x[:, 0] + x[:, 1] ** 2)
    classes = ensemble.RandomForestClassifier(5, random_state=0).fit(x, x[:, 0] > 0.3)
    arrays = trees.as_arrays([forest])
    said = jax.vmap(lambda one: trees.ask(arrays, one))(jnp.asarray(x))
    np.testing.assert_allclose(said[:, 0].mean(-1), forest.predict(x), rtol=1e-5)
    likely = jax.vmap(lambda one: trees.ask(trees.as_arrays([classes]), one))(jnp.asarray(x))
    np.testing.assert_allclose(likely[:, 0].mean(-1), classes.predict_proba(x)[:, 1], atol=1e-6)


@pytest.mark.parametrize("kind", ["joint", "individual", "pairwise"])
def test_each_kind_closes_the_gap(kind):
    meta = crossing(12, 4)
    surrogate = forest_surrogate("test", "", ForestConfig(kind, num_trees=10, share=1.0))
    methods = {"forest": first_choice(surrogate, meta), "single_best": single_best, "oracle": oracle}
    outcomes = cross_validate(jax.random.key(0), meta, methods, Protocol(3))
    scores = [outcomes[name].score for name in methods]
    assert closed_gap(*scores) > 0.9


def test_closed_gap_by_hand():
    assert closed_gap(np.array([0.5, 0.7]), np.array([0.4, 0.6]), np.array([0.6, 0.8])) == pytest.approx(0.5)
    with pytest.raises(UserError, match="no gap"):
        closed_gap(np.ones(2), np.ones(2), np.ones(2))


def test_errors(monkeypatch):
    with pytest.raises(UserError, match="at most 60 configurations"):
        forests.fit(ForestConfig("pairwise"), jax.random.key(0), crossing(3, 61))
    monkeypatch.setitem(__import__("sys").modules, "sklearn", None)
    with pytest.raises(UserError, match=r"synthenv\[select\]"):
        forests.fit(ForestConfig(), jax.random.key(0), crossing(3, 3))
