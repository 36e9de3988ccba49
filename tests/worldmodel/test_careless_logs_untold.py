"""Logs that tell no time limits: what is found is the careful log. Careful logs of any space are left in peace."""

import numpy as np
import pytest

from synthenv.worldmodel.context.file import read_npz
from tests.careless_logs import CARELESS, padded, without
from tests.small_logs import named, next_step_reset, picked, pushed, same_step_reset, spring

pytestmark = pytest.mark.rank_promotion_ok


@pytest.fixture(autouse=True)
def _here(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)


def read(log):
    np.savez("log.npz", **log)
    return read_npz("log.npz")


def untold(log):
    return without(log, "truncations")


@pytest.mark.parametrize("reset", [next_step_reset, same_step_reset])
@pytest.mark.parametrize("flags", [untold, CARELESS["no ends"][0]])
def test_resets_that_nobody_flagged_are_left_out(reset, flags):
    log = pushed(160)
    context, careful = read(flags(reset(log))), read(log)
    steps = careful.transitions
    kept = ~steps.truncated if reset is same_step_reset else slice(None)
    np.testing.assert_array_equal(context.transitions.obs, steps.obs[kept])
    np.testing.assert_array_equal(context.transitions.next_obs, steps.next_obs[kept])
    np.testing.assert_array_equal(context.first_obs, careful.first_obs)
    assert (
        "6 rows of log.npz lead where nothing else in it leads, to where episodes begin, "
        in context.notices[0]
    )


def test_jumps_after_any_number_of_steps_are_told_and_kept():
    log = spring(160, limit=25)
    given = CARELESS["no ends"][0](next_step_reset(log))
    context = read(given)
    assert context.num_rows == len(given["rewards"])
    assert "to where episodes begin: if the environment was reset there" in context.notices[0]


def test_pieces_begin_only_where_no_row_leads():
    log = pushed(160)
    order = np.random.default_rng(5).permutation(10)
    context = read(untold(picked(log, (order[:, None] * 16 + np.arange(16)).reshape(-1))))
    assert {tuple(row) for row in context.first_obs} == {tuple(row) for row in read(log).first_obs}
    assert "it holds pieces of episodes" in context.notices[0]


def test_pieces_whose_neighbours_are_missing_are_told():
    log = pushed(400)
    rows = (np.arange(0, 400, 16)[:, None] + np.arange(10)).reshape(-1)
    assert "nobody can tell whether episodes" in read(untold(picked(log, rows))).notices[0]


@pytest.mark.parametrize("fill", [0.0, "last"])
@pytest.mark.parametrize("task", [spring, pushed])
def test_rows_that_fill_up_episodes_are_left_out(task, fill):
    log = task(160)
    context, careful = read(padded(log, fill)), read(log)
    for ours, theirs in zip(context.transitions, careful.transitions, strict=True):
        np.testing.assert_array_equal(ours, theirs)
    np.testing.assert_array_equal(context.first_obs, careful.first_obs)
    assert "fill up episodes that had ended: no steps, left out" in context.notices[0]


def grid(num_rows=300):
    """A row of ten cells, seen as one number or as ten; whoever falls off its left end is back in the middle."""
    source, rows, place, age = np.random.default_rng(0), [], 5, 0
    for _ in range(num_rows):
        action = int(source.integers(2))
        after = min(place + 2 * action - 1, 9)
        reward, after = (-10.0, 5) if after < 0 else (-1.0, after)
        age += 1
        rows.append((place, action, reward, after, after == 9, age == 20 and after != 9))
        place, age = (5, 0) if rows[-1][4] or rows[-1][5] else (after, age)
    return named(rows)


def seen(change):
    log = grid()
    return log | {name: change(log[name]) for name in ("observations", "next_observations")}


def wall(num_rows=300):
    """A point between two walls that is pushed about; its reward is least at them."""
    source = np.random.default_rng(0)
    force, rows, place = source.uniform(-1, 1, (num_rows, 1)), [], source.uniform(-0.1, 0.1, 1)
    for row in range(num_rows):
        after = np.clip(place + force[row], -2, 2)
        rows.append((place, force[row], -float(after[0] ** 2), after, False, row % 25 == 24))
        place = source.uniform(-0.1, 0.1, 1) if row % 25 == 24 else after
    return named(rows)


CAREFUL = {
    "spring": spring,
    "pushed": pushed,
    "cells as a number": lambda: seen(lambda cell: cell[:, None] / 10),
    "cells as ten": lambda: seen(lambda cell: np.eye(10)[cell]),
    "walls": wall,
}


@pytest.mark.parametrize("what", CAREFUL)
def test_nothing_is_said_of_careful_logs(what):
    assert read(CAREFUL[what]()).notices == ()


@pytest.mark.parametrize("what", ["spring", "pushed", "cells as a number", "walls"])
def test_nor_of_those_that_only_leave_out_time_limits(what):
    log = CAREFUL[what]()
    context, careful = read(untold(log)), read(log)
    assert context.notices == ()
    np.testing.assert_array_equal(context.first_obs, careful.first_obs)


def test_resets_are_found_by_their_even_distance_in_a_rounded_log():
    log = CARELESS["no ends"][0](CARELESS["rounded"][0](same_step_reset(pushed(160))))
    assert (
        "6 rows of log.npz lead where nothing else in it leads, 25 steps after a beginning"
        in read(log).notices[0]
    )
