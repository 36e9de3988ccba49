"""Where a search starts, and what one generation keeps."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from synthenv.outer.bilevel import GenerationLog, Outcome, choose_start, generation, init_state, race
from synthenv.outer.config import OuterConfig, StrategyConfig
from synthenv.outer.strategy import make_strategy

KEY = jax.random.key(0)
STRATEGY = make_strategy(StrategyConfig(num_pairs=2), 3, 195.0)


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
    np.testing.assert_array_equal(chosen, candidates[7:8])
    assert [len(c.agents) for c in calls] == [2 * 20, 8 * 8]
    spread = calls[0].proxies - np.repeat(candidates, 2, axis=0)
    assert 0.03 < spread.std() < 0.07 and len(np.unique(spread)) == spread.size
    chosen, _ = choose_start(KEY, candidates, runner_of(score, []), std=0.0)
    np.testing.assert_array_equal(chosen, candidates[3:4])


def test_more_candidates_have_more_finalists():
    """Two agents each are a noisy first round: of many candidates more have to be lucky to fill the second."""
    for num, finalists in ((20, 8), (128, 8), (512, 32)):
        candidates, calls = np.arange(num, dtype=np.float32)[:, None], []
        chosen, _ = choose_start(KEY, candidates, runner_of(lambda x: x[:, 0], calls), std=0.0)
        assert [len(c.agents) for c in calls] == [2 * num, 8 * finalists]
        np.testing.assert_array_equal(chosen, candidates[-1:])


@pytest.mark.parametrize("bad", [np.nan, -np.inf])
def test_a_candidate_that_diverges_is_not_chosen(bad):
    candidates = np.arange(10, dtype=np.float32)[:, None]
    chosen, outcomes = choose_start(
        KEY, candidates, runner_of(lambda x: np.where(x[:, 0] > 6.5, bad, x[:, 0]), []), std=0.01
    )
    np.testing.assert_array_equal(chosen, candidates[6:7])
    assert [len(o.scores) for o in outcomes] == [20, 64]


def test_several_starts_come_best_first():
    """Of fewer candidates than are asked for, all."""
    candidates = np.array([3.0, 1.0, 4.0, 2.0], np.float32)[:, None]
    for num, best in ((3, [4.0, 3.0, 2.0]), (9, [4.0, 3.0, 2.0, 1.0])):
        chosen, _ = choose_start(KEY, candidates, runner_of(lambda x: x[:, 0], []), 0.0, num)
        assert chosen[:, 0].tolist() == best


@pytest.mark.parametrize(
    ("slopes", "winner"), [((1.0, 5.0, 3.0), 1), ((2.0, np.nan, 1.0), 0), ((np.nan, np.nan, 7.0), 2)]
)
def test_the_steepest_climb_goes_on(slopes, winner):
    """What counts is where the members stand at the end, not what a start scored; a climb that diverges is last."""
    starts = [init_state(KEY, STRATEGY, jnp.full(3, float(lane))) for lane in range(3)]
    keys = []

    def advance(key, state):
        lane, done = int(state.best_proxy[0]), int(state.generation)
        keys.append((*jax.random.key_data(key).tolist(), done))
        scores = np.full(4, 100.0 * (done == 0) * (3 - lane) + slopes[lane] * done)
        scores[done % 4] = np.nan  # one of the members diverges in every generation
        outcome = Outcome(scores, scores, np.ones(4, int), np.ones(4, int), 1.0)
        climbed = state._replace(generation=state.generation + 1, best_score=jnp.float32(999))
        return climbed, GenerationLog(np.zeros(3), np.zeros(0), scores, outcome)

    leader, outcomes = race(KEY, starts, 6, advance)
    fresh = starts[winner]
    assert int(leader.generation) == 0 and float(leader.best_score) == -np.inf
    np.testing.assert_array_equal(leader.best_proxy, fresh.best_proxy)
    assert len(outcomes) == 18 and len(set(keys)) == 18


@pytest.mark.parametrize(
    ("best_score", "decided", "replaced"),
    [
        (-np.inf, False, True),
        (6.9, False, True),
        (7.0, False, False),
        (7.1, False, False),
        (6.9, True, False),
    ],
)
@pytest.mark.rank_promotion_ok
def test_a_generation_keeps_the_incumbent_that_it_tested(best_score, decided, replaced):
    """The one before the step, if it is better than the best so far, and never once agents have decided."""
    strategy = STRATEGY
    mean, config = jnp.full(3, 5.0), OuterConfig(num_incumbents=2)
    state = init_state(KEY, strategy, mean)._replace(
        best_proxy=jnp.zeros(3), best_score=jnp.float32(best_score), decided=jnp.bool_(decided)
    )
    calls = []
    state, log = generation(
        KEY, state, strategy, runner_of(lambda x: np.where(x == 5.0, 7.0, x)[:, 0], calls), config
    )
    assert calls[0].proxies.shape == (4 + 2, 3) and calls[0].agents.tolist() == [0, 1, 2, 3, 4, 5]
    assert log.incumbent_scores.tolist() == [7.0, 7.0] and len(log.member_scores) == 4
    assert int(state.generation) == 1 and bool(state.decided) is decided
    np.testing.assert_array_equal(log.incumbent, mean)
    np.testing.assert_array_equal(state.best_proxy, mean if replaced else jnp.zeros(3))
    assert float(state.best_score) == pytest.approx(7.0 if replaced else best_score)
    assert not np.array_equal(strategy.mean(state.strategy), mean)
