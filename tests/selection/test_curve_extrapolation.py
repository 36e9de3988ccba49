"""The benchmark of extrapolated curves: what is told and asked, and that it tells good surrogates from bad ones."""

import numpy as np

from benchmarks.bench_curve_extrapolation import SURROGATES, Sizes, draw_trial, measure, table
from tests.selection.synthetic_curves import synthetic

SIZES = Sizes(candidates=12, context=30, questions=2, folds=2)


def test_answers_come_after_what_is_told_and_are_those_of_the_table():
    meta = synthetic()
    trial = draw_trial(0, meta, 1, SIZES)
    assert trial is not None
    told = np.zeros(12, int)
    np.maximum.at(told, trial.seen.candidate[trial.is_told], trial.seen.step[trial.is_told])
    assert 0 < trial.is_told.sum() <= 30 and (told == 0).any()
    assert (trial.steps > told[None]).all()
    for i, features in enumerate(np.asarray(trial.candidates.features)):
        run = 12 + np.flatnonzero(meta.configs[:, 0] == features[0])[0]
        np.testing.assert_array_equal(trial.scores[:, i], meta.curves[run, trial.steps[:, i] - 1])
        rows = trial.is_told & (trial.seen.candidate == i)
        np.testing.assert_array_equal(trial.seen.score[rows], meta.curves[run, trial.seen.step[rows] - 1])


def test_the_latent_kronecker_process_beats_last_scores_in_a_table():
    some = {name: SURROGATES[name] for name in ("last_score", "latent_kronecker")}
    found = measure(synthetic(low=0.0, high=50.0), some, 0, SIZES)
    ours, last = found["latent_kronecker"], found["last_score"]
    assert ours["datasets"] == last["datasets"] == 4
    assert ours["squared_error"] < last["squared_error"]
    assert ours["log_likelihood"] > last["log_likelihood"]
    assert len(table(found).splitlines()) == 3
