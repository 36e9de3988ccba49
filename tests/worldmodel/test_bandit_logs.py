"""Logs in which every step ends an episode, and words about ends that no limit explains."""

import numpy as np
import pytest

from synthenv.core.errors import UserError
from synthenv.runs.oswm.run.logged_context import context_of_file
from synthenv.worldmodel.regression import end_limits

NUM_ROWS = 60
OBS = np.random.default_rng(0).normal(size=(NUM_ROWS, 2))


@pytest.mark.parametrize("after", [np.zeros_like(OBS), OBS, OBS[::-1]])
def test_every_dreamt_episode_of_a_bandit_has_one_step(tmp_path, after):
    path = tmp_path / "bandit.npz"
    arrays = {"observations": OBS, "next_observations": after, "actions": np.arange(NUM_ROWS) % 2}
    np.savez(path, **arrays, rewards=OBS[:, 0], terminations=np.ones(NUM_ROWS))
    logged = context_of_file(path, 40, None)
    assert logged.longest_episode == 1 and len(logged.log.first_obs) == NUM_ROWS
    steps = logged.log.transitions
    found = end_limits.find(np.asarray(steps.next_obs), np.asarray(steps.terminated))
    end_limits.check(found)
    assert end_limits.are_beyond(found, 1e6 * OBS).all()


def test_ends_that_no_limit_explains_are_not_called_limits():
    obs = np.linspace(-1, 1, 21, dtype=np.float32)[:, None]
    with pytest.raises(UserError, match=r"write time limits as truncations"):
        end_limits.check(end_limits.find(obs, np.abs(obs[:, 0]) < 0.15))


def test_an_array_that_nobody_needs_is_not_looked_at(tmp_path):
    path = tmp_path / "infos.npz"
    rows = {"observations": OBS, "next_observations": OBS + 1, "actions": np.arange(NUM_ROWS) % 2}
    rows |= {"rewards": OBS[:, 0], "terminations": np.zeros(NUM_ROWS)}
    np.savez(path, **rows, infos=np.array([{}] * NUM_ROWS))
    assert context_of_file(path, 100, None).num_rows == NUM_ROWS


@pytest.mark.parametrize(("num_rows", "steps"), [(1500, 1000), (900, 900)])
def test_a_log_without_episodes_makes_none_of_its_own_length(tmp_path, num_rows, steps):
    places = np.cumsum(np.random.default_rng(0).normal(size=(num_rows + 1, 1)), axis=0)
    rows = {"observations": places[:-1], "next_observations": places[1:], "terminations": np.zeros(num_rows)}
    np.savez(tmp_path / "log.npz", **rows, actions=np.diff(places, axis=0), rewards=places[1:, 0])
    logged = context_of_file(tmp_path / "log.npz", num_rows, None)
    assert logged.longest_episode == steps
    assert any(f"are cut after {steps:,}; --episode-steps" in notice for notice in logged.notices)
    asked = context_of_file(tmp_path / "log.npz", num_rows, None, 50)
    assert asked.longest_episode == 50 and not any("are cut" in notice for notice in asked.notices)
