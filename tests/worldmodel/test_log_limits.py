"""A dream of a long log ends, begins and is bounded as all of its rows say, not as the few that are shown."""

from pathlib import Path

import jax
import numpy as np
import pytest

from synthenv.runs.oswm.run.arguments import OswmRun
from synthenv.runs.oswm.run.setup import Dreams
from synthenv.worldmodel.dream import surface
from synthenv.worldmodel.experts import world_model as experts_model
from synthenv.worldmodel.regression import end_limits
from tests.small_logs import spring

pytestmark = pytest.mark.rank_promotion_ok
NUM_SHOWN = 60


@pytest.fixture
def log(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    log = spring(6000, seed=4)
    np.savez("log.npz", **log)
    return log


def encoded(context):
    """A cache of the experts that holds nothing but where the rows shown have their ends."""
    steps = context.transitions
    found = end_limits.find(np.asarray(steps.next_obs), np.asarray(steps.terminated))
    return experts_model.Cache(*[None] * 8, limits=found)  # type: ignore[arg-type]


def test_limits_beginnings_and_bounds_are_those_of_all_rows(log):
    """Of 6,000 rows that end beyond 1.2, of which 60 are shown: half of them ends, and few of the others near it."""
    dreams = Dreams(OswmRun(context_file=Path("log.npz"), context=NUM_SHOWN, max_steps=64))
    assert dreams.logged is not None and dreams.logged.num_rows == NUM_SHOWN
    cache = encoded(dreams.logged)
    params = dreams.dream(cache, dreams.logged)

    place = np.abs(log["next_observations"][:, 0])
    going, ended = place[~log["terminations"]], place[log["terminations"]]
    assert going.max() < 1.2 < ended.min()
    found, shown = params.cache.limits, cache.limits
    assert abs(float(found.high[0]) - 1.2) < 0.01 and abs(float(found.low[0]) + 1.2) < 0.01
    assert max(abs(float(shown.high[0]) - 1.2), abs(float(shown.low[0]) + 1.2)) > 0.02, (
        "nothing is shown by this"
    )
    assert np.isinf(found.high[1]) and np.isinf(found.low[1]) and found.explained == 1

    starts = np.append(True, (log["terminations"] | log["truncations"])[:-1])
    np.testing.assert_allclose(params.first_obs, log["observations"][starts], rtol=1e-6)
    seen = np.concatenate([log["observations"], log["next_observations"]])
    middle, half = (seen.max(0) + seen.min(0)) / 2, (seen.max(0) - seen.min(0)) / 2
    np.testing.assert_allclose([params.low, params.high], [middle - 20 * half, middle + 20 * half], rtol=1e-4)
    assert bool(params.has_ends) and params.max_steps_in_episode == 25


def test_a_dream_ends_beyond_the_limits_of_all_rows(log):
    """Not between them and those of the rows shown."""
    dreams = Dreams(OswmRun(context_file=Path("log.npz"), context=NUM_SHOWN, max_steps=64))
    assert dreams.logged is not None
    cache = encoded(dreams.logged)
    all_rows = dreams.dream(cache, dreams.logged).cache.limits
    ends = jax.jit(jax.vmap(end_limits.is_beyond, in_axes=(None, 0)))
    obs = np.asarray(log["next_observations"], np.float32)
    np.testing.assert_array_equal(ends(all_rows, obs), log["terminations"])
    assert np.any(ends(cache.limits, obs) != log["terminations"]), "nothing is shown by this"


def test_the_surface_is_that_of_all_rows(tmp_path, monkeypatch):
    """Of 3,000 observations on a circle one lies beside it, which is not among those shown."""
    monkeypatch.chdir(tmp_path)
    source = np.random.default_rng(0)
    angle = np.cumsum(source.normal(0.2, 0.1, 3001))
    obs = np.stack([np.cos(angle), np.sin(angle)], axis=1)
    obs[1501] *= 1.5
    no_ends = np.zeros(3000, bool)
    steps = {"observations": obs[:-1], "next_observations": obs[1:], "actions": source.integers(3, size=3000)}
    np.savez("log.npz", **steps, rewards=source.normal(size=3000), terminations=no_ends, truncations=no_ends)
    dreams = Dreams(OswmRun(context_file=Path("log.npz"), context=NUM_SHOWN, max_steps=64))
    assert dreams.logged is not None
    shown = dreams.logged.transitions
    assert len(surface.find(np.concatenate([shown.obs, shown.next_obs])).quadrics) == 1
    params = dreams.dream(encoded(dreams.logged), dreams.logged)
    assert len(params.surface.quadrics) == 0
