"""Where a search starts; its generations are tested in whole runs (tests/runs)."""

import jax
import numpy as np
import pytest

from synthenv.outer.bilevel import Outcome, choose_start

KEY = jax.random.key(0)


def runner_of(score, calls):
    """Trials whose score is a function of the proxies [N, D] that arrive."""

    def run(key, trials):
        calls.append(trials)
        scores = score(trials.proxies)
        return Outcome(scores, scores, np.ones(len(scores), int), np.ones(len(scores), int), 1.0)

    return run


def test_a_hill_is_chosen_before_a_lonely_peak():
    """Candidate 3 scores 200, but only exactly where it is; around candidate 7 everything scores 50."""
    candidates = np.arange(20, dtype=np.float32)[:, None] * np.ones((1, 4), np.float32)

    def score(proxies):
        peak = np.all(proxies == candidates[3][None], axis=1)
        hill = np.abs(proxies - candidates[7][None]).max(axis=1) < 0.5
        return np.where(peak, 200.0, np.where(hill, 50.0, 9.0))

    calls = []
    chosen, _ = choose_start(KEY, candidates, runner_of(score, calls), std=0.05)
    np.testing.assert_array_equal(chosen, candidates[7])
    assert [len(c.agents) for c in calls] == [2 * 20, 8 * 8]
    spread = calls[0].proxies - np.repeat(candidates, 2, axis=0)
    assert 0.03 < spread.std() < 0.07 and len(np.unique(spread)) == spread.size
    chosen, _ = choose_start(KEY, candidates, runner_of(score, []), std=0.0)
    np.testing.assert_array_equal(chosen, candidates[3])


def test_more_candidates_have_more_finalists():
    """Two agents each are a noisy first round: of many candidates more have to be lucky to fill the second."""
    for num, finalists in ((20, 8), (128, 8), (512, 32)):
        candidates, calls = np.arange(num, dtype=np.float32)[:, None], []
        chosen, _ = choose_start(KEY, candidates, runner_of(lambda x: x[:, 0], calls), std=0.0)
        assert [len(c.agents) for c in calls] == [2 * num, 8 * finalists]
        np.testing.assert_array_equal(chosen, candidates[-1])


@pytest.mark.parametrize("bad", [np.nan, -np.inf])
def test_a_candidate_that_diverges_is_not_chosen(bad):
    candidates = np.arange(10, dtype=np.float32)[:, None]
    chosen, outcomes = choose_start(
        KEY, candidates, runner_of(lambda x: np.where(x[:, 0] > 6.5, bad, x[:, 0]), []), std=0.01
    )
    np.testing.assert_array_equal(chosen, candidates[6])
    assert [len(o.scores) for o in outcomes] == [20, 64]
