"""The protocol of zero-shot selection: what may be known, what is chosen, what comes of it."""

import dataclasses

import jax
import numpy as np
import pytest

from synthenv.core.errors import UserError
from synthenv.selection.surrogates.ranking.networks import RankingConfig, ranking_surrogate
from synthenv.selection.tables.folds import core_of, folds_of
from synthenv.selection.zero_shot import baselines
from synthenv.selection.zero_shot.protocol import Protocol, cross_validate, first_choice, pools_of
from tests.selection.small_tables import crossing, table

KEY = jax.random.key(0)
ZAP = ranking_surrogate(
    "test",
    "",
    RankingConfig(width=16, depth=1, updates=100, batch=32, seeds=2, dropout=0.0, learning_rate=0.02),
)
NAN = np.nan


def test_folds_keep_together_what_was_made_from_one_data_set():
    names = [f"{i}-{core}" for core in ("cifar10", "mnist", "svhn", "food") for i in range(3)]
    fold = folds_of(names, 2, seed=0)
    assert all(len({fold[j] for j in range(12) if core_of(names[j]) == core_of(name)}) == 1 for name in names)
    assert len(set(folds_of(names, None, seed=0).tolist())) == 4
    assert core_of("cifar10") == "cifar10"
    with pytest.raises(UserError, match="5 folds of 4 data sets"):
        folds_of(names, 5, seed=0)
    with pytest.raises(UserError, match="at least two data sets"):
        folds_of(["one"], None, seed=0)


def test_it_chooses_well_and_nothing_of_the_held_out_data_set_leaks():
    meta = crossing()
    protocol = Protocol(folds=3)
    chosen = cross_validate(KEY, meta, {"zap": first_choice(ZAP, meta)}, protocol)["zap"]
    assert np.mean(chosen.regret) < 0.25
    fold = folds_of(meta.datasets, 3, 0)
    shuffled = meta.curves.copy()
    of_fold = np.flatnonzero(fold[meta.dataset_of] == 1)
    shuffled[of_fold] = np.random.default_rng(0).permutation(shuffled[of_fold])
    other = dataclasses.replace(meta, curves=shuffled)
    again = cross_validate(KEY, other, {"zap": first_choice(ZAP, other)}, protocol)["zap"]
    assert (again.config[fold == 1] == chosen.config[fold == 1]).all()
    assert (again.regret[fold == 1] != chosen.regret[fold == 1]).any()


def test_regret_is_between_the_extremes_of_all_curves_and_a_crash_is_worst():
    scores = np.array([[0.2, 0.6, NAN, 0.4], [0.1, 0.2, 0.3, 0.4]])
    crashed = np.array([[False, False, True, False], [False] * 4])
    pool, _ = pools_of(table(scores, np.ones((2, 1)), [{"x": i} for i in range(4)], crashed))
    np.testing.assert_allclose(pool.regret, [1.0, 0.0, 1.0, 0.5], atol=1e-6)
    np.testing.assert_allclose(pool.score, [0.2, 0.6, 0.0, 0.4], atol=1e-6)


def test_baselines_by_hand():
    scores = np.array([[0.1, 0.5, 0.3], [0.2, 0.6, 0.4], [0.9, 0.1, 0.5]])
    meta = table(scores, np.ones((3, 1)), [{"x": i} for i in range(3)])
    methods = {"random": baselines.random, "single_best": baselines.single_best, "oracle": baselines.oracle}
    outcomes = cross_validate(KEY, meta, methods, Protocol(folds=None))
    np.testing.assert_allclose(outcomes["random"].score, [0.3, 0.4, 0.5], atol=1e-6)
    np.testing.assert_allclose(outcomes["oracle"].regret, 0.0, atol=1e-6)
    # without data set 0 the means are .55 .35 .45, without 1 .5 .3 .4, without 2 .15 .55 .35
    assert outcomes["single_best"].config.tolist() == [0, 0, 1]
    np.testing.assert_allclose(outcomes["single_best"].score, [0.1, 0.2, 0.1], atol=1e-6)
    assert (outcomes["random"].config == -1).all()


def own_pools():
    """Every data set has runs of its own; "large" models are better, the other hyperparameter hardly matters."""
    random = np.random.default_rng(0)
    configs = [{"model": "small" if i % 2 else "large", "lr": 0.1 * random.integers(1, 5)} for i in range(80)]
    scores = np.full((4, 80), NAN)
    for i, config in enumerate(configs):
        scores[i // 20, i] = (0.8 if config["model"] == "large" else 0.3) + 0.01 * random.random()
    return table(scores, np.arange(4.0)[:, None], configs)


def test_where_nothing_is_shared_a_family_is_best():
    meta = own_pools()
    assert not baselines.are_shared(meta)
    family = baselines.best_family(meta)
    assert meta.columns[family.column].name == "model"
    methods = {
        "single_best": baselines.single_best,
        "static_order": baselines.static_order,
        "static_size": baselines.static_size({"small": 1.0, "large": 9.0}, meta),
        "wrong_size": baselines.static_size({"small": 9.0, "large": 1.0}, meta),
    }
    outcomes = cross_validate(KEY, meta, methods, Protocol(folds=2))
    assert outcomes["single_best"].score == pytest.approx(outcomes["static_size"].score)
    assert outcomes["single_best"].regret.max() < 0.1 < 0.9 < outcomes["wrong_size"].regret.min()
    assert outcomes["static_order"].regret.max() < 0.1
    with pytest.raises(UserError, match="none for large"):
        baselines.static_size({"small": 1.0}, meta)


def test_strict_drops_what_was_tuned_on_the_held_out_data_set():
    scores = np.full((3, 3), 0.2) + 0.7 * np.eye(3)
    scores[:, 0] += 0.05
    meta = table(scores, np.ones((3, 1)), [{"x": i} for i in range(3)], tuned_on=np.arange(3, dtype=np.int32))
    loose, strict = (
        cross_validate(KEY, meta, {"oracle": baselines.oracle}, Protocol(None, strict=s))["oracle"]
        for s in (False, True)
    )
    assert loose.config.tolist() == [0, 1, 2]
    assert (strict.config != np.arange(3)).all() and strict.score.max() < 0.3


def test_data_sets_of_which_nothing_is_known_are_only_learnt_from():
    meta_features = np.array([[1.0, 2.0], [NAN, NAN], [NAN, 3.0]])
    meta = table(np.random.default_rng(0).random((3, 3)), meta_features, [{"x": i} for i in range(3)])
    outcome = cross_validate(KEY, meta, {"oracle": baselines.oracle}, Protocol(None))["oracle"]
    assert np.isnan(outcome.regret).tolist() == [False, True, False]
