"""When a search may end: who is asked, and what they must have reached."""

from dataclasses import replace
from types import SimpleNamespace

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from synthenv.agents.config import Variation
from synthenv.outer.bilevel import GenerationLog, Outcome
from synthenv.runs.meta_train.search import Search
from tests.tiny_run import TINY

NOBODY = np.zeros(0)


class Confirmer:
    """Stands in for the agents that decide; remembers what it was asked to try."""

    def __init__(self, scores):
        self.scores, self.asked, self.keys = np.asarray(scores, np.float32), [], []

    def run(self, key, proxies, agents, num_agents):
        scores, self.scores = self.scores[:num_agents], self.scores[num_agents:]
        self.asked.append((proxies, agents, num_agents))
        self.keys.append(jax.random.key_data(key).tolist())
        return SimpleNamespace(score=scores, num_steps=np.full(num_agents, 7))


def verdict(incumbent_scores, confirmer, best=None, decided=False, own=None, notify=print, **outer):
    """What a search says of a generation whose incumbent is all threes; ``best`` was the best proxy so far.

    More of the search's own agents find it solved, unless ``own`` says otherwise.
    """
    config = replace(TINY, outer=TINY.outer._replace(**{"stop_when_solved": True, **outer}))
    search = Search(config, 0)
    search.confirmer = confirmer
    search.runner = own or Confirmer([200.0] * 64)
    incumbent = np.full(search.first_proxy.size, 3.0, np.float32)
    outcome = Outcome(NOBODY, NOBODY, NOBODY, NOBODY, 1.0)
    state = search.start()
    if best is not None:
        state = state._replace(best_proxy=jnp.full_like(state.best_proxy, best), best_score=jnp.float32(198))
        state = state._replace(decided=jnp.bool_(decided))
    log = GenerationLog(incumbent, np.asarray(incumbent_scores), NOBODY, outcome)
    return search.check_solved(state, log, notify)


def test_incumbents_alone_decide_without_confirming_agents():
    """As in the papers: the mean over incumbents against the task's threshold, 195."""
    confirmer = Confirmer([])
    assert verdict([200, 190], confirmer, confirm_agents=0).solved
    assert not verdict([200, 189], confirmer, confirm_agents=0).solved
    assert not verdict([200, np.nan], confirmer, confirm_agents=0).solved
    assert not verdict([200, 200], confirmer, confirm_agents=0, stop_when_solved=False).solved
    assert not verdict([], confirmer, confirm_agents=0, num_incumbents=1).solved
    assert confirmer.asked == []


def test_confirming_agents_are_spared_while_incumbents_fall_short():
    confirmer = Confirmer([200.0] * 4)
    result = verdict([194, 195], confirmer, confirm_agents=4)
    assert (result.solved, result.mean, result.train_steps) == (False, None, 0)
    assert confirmer.asked == []


@pytest.mark.parametrize(
    ("scores", "solved"),
    [
        ([196, 196, 196, 196], True),
        ([194, 194, 194, 194], False),
        ([200, 200, 200, 184], False),  # mean 196, standard error 3.5: too unsure
        ([200, 200, 200, 190], True),  # mean 197.5, standard error 2.2
        ([200, 200, 200, np.nan], False),
    ],
)
def test_confirming_agents_decide(scores, solved):
    confirmer = Confirmer(scores)
    result = verdict([200, 200], confirmer, confirm_agents=4)
    proxies, agents, num_agents = confirmer.asked[0]
    assert (proxies.shape[0], agents.tolist(), num_agents) == (4, [0, 1, 2, 3], 4)
    np.testing.assert_array_equal(proxies, 3.0)
    assert result.solved is solved and result.train_steps == 2 * 28
    kept = -np.inf if np.isnan(scores).any() else np.mean(scores)
    assert float(result.state.best_score) == pytest.approx(kept) and bool(result.state.decided)
    np.testing.assert_array_equal(result.state.best_proxy, 3.0)


@pytest.mark.parametrize(
    ("scores", "asked", "solved"),
    [
        ([200] * 40, 40, True),
        ([180] * 12 + [200] * 28, 12, False),  # hopeless after the first round
        ([200] * 10 + [150] * 2 + [200] * 28, 40, True),  # 191.7 with standard error 5.4 is still open
        ([200] * 12 + [150] * 12 + [200] * 16, 24, False),
    ],
)
def test_confirming_agents_are_asked_in_rounds(scores, asked, solved):
    """Until it is plain that the incumbent falls short."""
    confirmer = Confirmer(scores)
    result = verdict([200, 200], confirmer, confirm_agents=40)
    assert sum(num for _, _, num in confirmer.asked) == asked
    assert len({tuple(key) for key in confirmer.keys}) == len(confirmer.keys)
    assert result.mean == pytest.approx(np.mean(scores[:asked])) and result.train_steps == 7 * (32 + asked)
    assert result.solved is solved


def test_more_of_the_searchs_own_agents_are_asked_before_dearer_ones():
    """Six incumbents were lucky: 32 more of their kind fall short, and nobody of table 2 has to be trained."""
    confirmer, own = Confirmer([200.0] * 48), Confirmer([190.0] * 32)
    result = verdict([200, 200], confirmer, own=own, confirm_agents=48)
    assert (result.solved, result.mean, result.train_steps) == (False, None, 7 * 32)
    assert confirmer.asked == [] and [num for _, _, num in own.asked] == [32]
    np.testing.assert_array_equal(own.asked[0][0], 3.0)


@pytest.mark.parametrize(
    ("best", "decided", "own", "kept"),
    [
        (3.0, False, 190.0, (3.0, 190.0)),
        (3.0, False, np.nan, (3.0, -np.inf)),
        (2.0, False, 190.0, (2.0, 198.0)),  # another one is the best so far: nobody asked about that
        (3.0, True, 190.0, (3.0, 198.0)),  # the same one, as agents of table 2 decided it before
    ],
)
def test_a_lucky_score_gives_way_to_what_more_agents_said(best, decided, own, kept):
    """It stood as the best until something was decided, and shut out incumbents that were better."""
    confirmer, own_agents = Confirmer([200.0] * 4), Confirmer([own] * 4)
    result = verdict([200, 200], confirmer, best=best, decided=decided, own=own_agents, confirm_agents=4)
    state = result.state
    assert confirmer.asked == [] and (result.solved, result.mean) == (False, None)
    assert (float(state.best_proxy[0]), float(state.best_score)) == kept and bool(state.decided) is decided


@pytest.mark.parametrize(
    ("scores", "decided", "kept"),
    [
        (
            [180] * 4,
            False,
            (3.0, 180.0),
        ),  # the best so far, 198, was a score of a generation: nobody decided it
        ([180] * 4, True, (2.0, 198.0)),
        ([199, 199, 199, 199], True, (3.0, 199.0)),
        ([180, np.nan] * 2, True, (2.0, 198.0)),
        ([180, np.nan] * 2, False, (3.0, -np.inf)),
    ],
)
def test_what_was_decided_best_is_kept(scores, decided, kept):
    """A lucky incumbent took the place of a better one once it was decided, and the better one was gone."""
    state = verdict([198, 198], Confirmer(scores), best=2.0, decided=decided, confirm_agents=4).state
    assert (float(state.best_proxy[0]), float(state.best_score)) == kept and bool(state.decided)


def test_agents_that_decide_share_no_seed_with_a_generation():
    """Keys of the next generation's trials and those of the first round used to be the same."""
    search, state = Search(TINY, 0), Search(TINY, 0).start()._replace(generation=jnp.int32(3))
    seen = []
    search.runner = search.confirmer = Confirmer([200.0] * 4)
    search.config = replace(
        TINY, outer=TINY.outer._replace(stop_when_solved=True, confirm_agents=2, num_starts=3)
    )
    outcome = Outcome(NOBODY, NOBODY, NOBODY, NOBODY, 1.0)
    log = GenerationLog(np.zeros(search.first_proxy.size), np.array([200.0]), NOBODY, outcome)
    search.check_solved(state, log)
    seen += [tuple(key) for key in search.runner.keys]
    for generation in range(6):
        key = jax.random.fold_in(search.root_key, generation)
        seen += [tuple(jax.random.key_data(part).tolist()) for part in (key, *jax.random.split(key, 3))]
    starts = jax.random.split(search.key_starts, 3)
    others = (search.key_choice, search.key_init, search.key_race, *starts)
    seen += [tuple(jax.random.key_data(key).tolist()) for key in others]
    assert len(set(seen)) == len(seen) == 2 + 24 + 6


def test_confirming_agents_come_from_the_whole_of_table_2():
    """Whatever the search varies; the search's own agents stay as they are."""
    search = Search(TINY, 0)
    assert search.runner.agent.variation == TINY.agent.variation != Variation()
    assert search.confirmer.agent == replace(TINY.agent, variation=Variation())


def test_confirming_agents_share_six_shapes_all_through_a_search():
    """Each is a program to compile: agents decided again cost no compilation, whichever generation they are of."""
    config = replace(TINY, agent=replace(TINY.agent, vary=True))
    first, again, other = (Search(config, seed).confirmer.shapes for seed in (0, 0, 1))
    assert len(first["hidden_size"]) == 6 and sorted(first["depth"].tolist()) == [1, 1, 2, 2, 3, 3]
    assert {name: values.tolist() for name, values in first.items()} == {
        name: values.tolist() for name, values in again.items()
    }
    assert first["hidden_size"].tolist() != other["hidden_size"].tolist()


@pytest.mark.parametrize(("own", "deciding", "low"), [(190, 200, 190), (200, 196, 196), (200, 199, None)])
def test_a_best_score_does_not_fall_without_a_word(own, deciding, low):
    """Be it that more of the search's own agents say less than the few of a generation, or those that decide."""
    said = []
    verdict(
        [200, 200], Confirmer([deciding] * 4), 3, False, Confirmer([own] * 32), said.append, confirm_agents=4
    )
    told = f"best falls from 198.0, a mean over few agents, to {low}.0, retested with more of them"
    assert [line for line in said if line.startswith("best")] == ([told] if low else [])


@pytest.mark.rank_promotion_ok
def test_a_search_sets_out_from_where_a_short_climb_has_led(monkeypatch):
    """The four best starts climb; the search goes on from the leader, counted as not begun."""
    config = replace(TINY, outer=TINY.outer._replace(num_starts=6, num_climbs=3, climb_generations=2))
    search, seen = Search(config, 0), []

    def trials(key, trials):
        seen.append(len(trials.agents))
        scores = trials.proxies.sum(axis=1)
        return Outcome(scores, scores, np.ones(len(scores), int), np.ones(len(scores), int), 1.0)

    search.runner, shown = trials, []
    state, steps = search.choose_start(lambda done, total: shown.append((done, total, len(seen))))
    assert shown == [(done, 8, done) for done in range(9)], "the last round is the last that is shown"
    assert int(state.generation) == 0 and float(state.best_score) == -np.inf and not state.decided
    assert len(seen) == 2 + 3 * 2 and steps == sum(seen)
    assert not np.array_equal(search.strategy.mean(state.strategy), search.start().best_proxy)
    again, _ = search.choose_start()
    np.testing.assert_array_equal(search.strategy.mean(again.strategy), search.strategy.mean(state.strategy))
