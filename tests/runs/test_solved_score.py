"""What a search calls solved: which threshold it takes, and what it says where reaching it does not end the search."""

from dataclasses import replace
from types import SimpleNamespace

import jax.numpy as jnp
import pytest

from synthenv.runs.meta_train import run as meta_train
from synthenv.runs.meta_train import search
from synthenv.runs.meta_train.reward_presets import PAPER
from synthenv.runs.meta_train.search import Search
from synthenv.runs.meta_train.synthetic_presets import RELEASED, TABLE3
from tests.tiny_run import TINY


def result_of(config, best_score, decided, solved_score=195.0):
    """What a run directory would keep of a search that is over."""
    stand_in = SimpleNamespace(config=config, solved_score=solved_score)
    state = SimpleNamespace(best_score=jnp.float32(best_score), generation=jnp.int32(3))
    return meta_train._result(stand_in, state, decided, SimpleNamespace(read_metrics=list))


@pytest.mark.parametrize(
    ("best_score", "solved"), [(196.0, True), (195.0, True), (194.9, False), (-jnp.inf, False)]
)
@pytest.mark.parametrize("config", [TABLE3, RELEASED, TINY])
def test_a_search_that_goes_on_is_solved_by_its_best_incumbent(config, best_score, solved):
    """Those of the papers run for all of their generations, whatever they reach."""
    assert not config.outer.stop_when_solved
    assert result_of(config, best_score, False)["solved"] is solved


def test_where_solving_ends_the_search_it_is_as_decided():
    """An incumbent above the threshold that the deciding agents refused has not solved it."""
    config = replace(TINY, outer=TINY.outer._replace(stop_when_solved=True))
    assert result_of(config, 198.0, False)["solved"] is False
    assert result_of(config, 198.0, True)["solved"] is True


def test_nothing_is_called_solved_that_was_not_measured_against_the_threshold():
    """Rewards of other objectives are no returns, and without incumbents there is no score."""
    nobody = replace(TINY, outer=TINY.outer._replace(num_incumbents=0))
    assert result_of(PAPER["discrete"], 1e9, False)["solved"] is None
    assert result_of(nobody, -jnp.inf, False)["solved"] is None


@pytest.mark.parametrize(("asked", "taken"), [(None, 195.0), (0.0, 0.0), (-5.0, -5.0), (100.0, 100.0)])
def test_the_score_that_is_asked_for_is_the_threshold(monkeypatch, asked, taken):
    """0 as well as any other; the step of the strategy shrinks on the way to the same one."""
    told = []
    monkeypatch.setattr(search, "make_strategy", lambda config, dims, solved_score: told.append(solved_score))
    assert Search(replace(TINY, outer=TINY.outer._replace(solved_score=asked)), 0).solved_score == taken
    assert told == [taken]
