"""The closed-form experts as a world model: rows that are there for their number only change nothing."""

from typing import Any

import jax
import numpy as np
import pytest

from synthenv.envs import registry
from synthenv.worldmodel.context.action_strategies import Collection
from synthenv.worldmodel.context.collect import collect
from synthenv.worldmodel.experts import world_model as experts_model

pytestmark = pytest.mark.rank_promotion_ok


def test_a_board_games_rows_are_averaged_and_filled_up(monkeypatch):
    """Its context asks little more than a hundred things; their numbers of rows are few."""
    shapes = []

    def fit(inputs, after, targets, mask):
        shapes.append((inputs.shape, after.shape, targets.shape, mask.shape))
        assert mask.sum() == len(np.unique(inputs[mask], axis=0)) and not inputs[~mask].any()
        return {"C": np.zeros(len(mask))}

    monkeypatch.setattr(experts_model, "_fit", fit)
    for seed in range(3):
        spec = registry.make("GridWorld")
        context = collect(jax.random.key(seed), spec, Collection("held", 1000))
        experts_model.fit_arrays(experts_model.arrays_of(context.transitions, context.num_actions))
        (rows, columns), *others = shapes[-1]
        assert rows % 32 == 0 and rows < 200 and columns == 6
        assert others == [(rows, 6), (rows, 3), (rows,)]


def test_as_many_rows_as_the_context_at_most(monkeypatch):
    """1,000 rows of which two are equal stay 1,000, not 1,024."""
    monkeypatch.setattr(experts_model, "_fit", lambda inputs, after, targets, mask: {"mask": mask})
    context = collect(jax.random.key(0), registry.make("Pendulum-v1"), Collection("held", 50))
    twice = jax.tree.map(lambda leaf: np.concatenate([leaf[:49], leaf[:1]]), context.transitions)
    cache: Any = experts_model.fit_arrays(experts_model.arrays_of(twice, None))
    assert cache["mask"].shape == (50,) and cache["mask"].sum() == 49


@pytest.mark.long
def test_filling_up_changes_no_prediction(monkeypatch):
    context = collect(jax.random.key(0), registry.make("GridWorld"), Collection("held", 400))
    said = []
    for block in (1, 256):
        monkeypatch.setattr(experts_model, "_BLOCK", block)
        cache = experts_model.encode(None, context.transitions, context.num_actions)
        steps = context.transitions
        predict = jax.jit(jax.vmap(experts_model.predict, in_axes=(None, 0, 0)))
        said.append(predict(cache, steps.obs, steps.action))
    np.testing.assert_allclose(said[0].next_obs, said[1].next_obs)
    np.testing.assert_allclose(said[0].reward, said[1].reward, atol=0.05)
