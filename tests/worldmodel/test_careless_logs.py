"""Whatever a logger did to its rows: the careful file's result, a notice or a refusal, and never a quiet wrong number.

The result is a world model's error on careful steps that it was not shown, where its dream begins and where it ends.
"""

import functools
from itertools import combinations
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest

from synthenv.core.errors import UserError
from synthenv.core.types import Prediction
from synthenv.runs.oswm.run import foresight
from synthenv.runs.oswm.run.logged_context import context_of_file
from synthenv.worldmodel.context.context import Context
from synthenv.worldmodel.context.file import read_npz
from synthenv.worldmodel.context.quadratic_law import action_columns
from synthenv.worldmodel.regression import end_limits
from tests.careless_logs import CARELESS, NUM_ROWS, REFUSED, SAME, TOLD
from tests.small_logs import by_turns, next_step_reset, picked, pushed, spring

pytestmark = pytest.mark.rank_promotion_ok

TASKS = {"spring": spring, "pushed": pushed}


class Outcome(NamedTuple):
    """What came of a file: the notices, and the worst error of a column as a share of its variance."""

    notices: list[str]
    error: float
    context: Context


@functools.cache
def held_out(task: str) -> Context:
    """Steps of the task that no log has, as a context."""
    path = Path("held_out.npz")
    np.savez(path, **TASKS[task](400, seed=99))
    return read_npz(path)


def foreseen(context: Context, asked: Context) -> Prediction:
    """What a least-squares fit of quadratic functions to a context says to the rows of another one."""
    told, steps = context.transitions, asked.transitions
    features, questions = (_features(rows, context.num_actions) for rows in (told, steps))
    goals = np.concatenate([told.next_obs - told.obs, told.reward[:, None]], axis=1).astype(float)
    inverse = np.linalg.pinv(features, rcond=1e-9)
    answers = questions @ (inverse @ goals)
    leverage = np.minimum(np.einsum("cf,fc->c", features, inverse), 0.99)[:, None]
    left_out = (goals - features @ (inverse @ goals)) / (1.0 - leverage)
    std = np.tile(np.sqrt(np.square(left_out).mean(axis=0)), (len(answers), 1))
    no_end = np.zeros(len(answers))
    return Prediction(steps.obs + answers[:, :-1], answers[:, -1], std[:, :-1], std[:, -1], no_end)


def _features(steps, num_actions):
    x = np.concatenate([steps.obs, action_columns(steps.action, num_actions)], axis=1).astype(float)
    first, second = np.triu_indices(x.shape[1])
    return np.concatenate([np.ones((len(x), 1)), x, x[:, first] * x[:, second]], axis=1)


def outcome(task: str, log: dict[str, np.ndarray]) -> Outcome:
    """Read a log of a task as ``oswm run`` does, and hold a quadratic model of it against the task."""
    np.savez("log.npz", **log)
    known = {"num_actions": 3} if task == "spring" else {"action_bound": 1.0}
    context = read_npz("log.npz", obs_size=2, **known)
    real = held_out(task)
    steps, said = real.transitions, foreseen(context, real)
    found = end_limits.find(context.transitions.next_obs, context.transitions.terminated)
    notices = [*context.notices, *foresight.of_task(said, real, context, context)]
    if found.explained < 0.9:
        notices.append("refused when episodes are to end where they did")
    if steps.terminated.any() and not context.transitions.terminated.any():
        notices.append("no episode of its context ended")
    missed = np.concatenate(
        [np.square(said.next_obs - steps.next_obs), np.square(said.reward - steps.reward)[:, None]], 1
    )
    came = np.concatenate([steps.next_obs - steps.obs, steps.reward[:, None]], axis=1)
    return Outcome(notices, float((missed.mean(0) / came.var(0)).max()), context)


def check(task: str, log: dict[str, np.ndarray], allowed: str = SAME + TOLD + REFUSED) -> None:
    """Fail if a log gives a quiet wrong number, or something else than is allowed."""
    try:
        notices, error, context = outcome(task, log)
    except UserError as refusal:
        if REFUSED not in allowed:
            raise AssertionError("it is refused") from refusal
        return
    if notices:
        assert TOLD in allowed, notices
        return
    assert SAME in allowed, f"nothing is told, and the error is {error}"
    assert error < 0.02, "a quiet wrong number"
    assert np.abs(context.first_obs).max() <= 0.1 + 1e-2, "a quiet wrong beginning"
    last = context.transitions.next_obs[context.transitions.terminated]
    assert (np.abs(last[:, 0]) > 1.19).all(), "a quiet wrong end"


@pytest.fixture(autouse=True)
def _here(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize("what", CARELESS)
@pytest.mark.parametrize("task", TASKS)
def test_no_quiet_wrong_number(task, what):
    change, allowed = CARELESS[what]
    if task == "pushed" and what in ("ends everywhere", "one-hot actions"):
        pytest.skip("does not concern this task")
    check(task, change(TASKS[task](NUM_ROWS)), allowed)


@pytest.mark.parametrize("num_envs", [2, 3, 8])
@pytest.mark.parametrize("resets", [False, True])
@pytest.mark.parametrize("task", TASKS)
def test_environments_by_turns(task, num_envs, resets):
    """Read one after the other, they are the careful logs of each."""
    logs = [TASKS[task](60, seed=seed) for seed in range(num_envs)]
    careful = [read(log) for log in logs]
    given = by_turns([picked(next_step_reset(log), slice(60)) for log in logs] if resets else logs)
    context = read(given)
    assert f"{num_envs} environments by turns" in context.notices[0]
    num_starts = [len(one.first_obs) for one in careful]
    if not resets:
        expected = np.concatenate([one.transitions.obs for one in careful])
        np.testing.assert_array_equal(context.transitions.obs, expected)
        assert len(context.first_obs) == sum(num_starts)
    assert np.abs(context.first_obs).max() <= 0.1
    check(task, given)


def read(log) -> Context:
    np.savez("log.npz", **log)
    return read_npz("log.npz")


@pytest.mark.long
@pytest.mark.parametrize("task", TASKS)
def test_no_quiet_wrong_number_of_two_carelessnesses(task):
    """All pairs that can follow one another and are not refused anyway."""
    read = [what for what, (_, allowed) in CARELESS.items() if allowed != REFUSED]
    quiet = []
    for one, other in combinations(read, 2):
        try:
            log = CARELESS[other][0](CARELESS[one][0](TASKS[task](NUM_ROWS)))
        except (ValueError, IndexError, KeyError, TypeError):
            continue  # they do not go together
        try:
            check(task, log)
        except AssertionError as error:
            quiet.append(f"{one}, then {other}: {str(error).splitlines()[0]}")
    assert not quiet, "\n".join(quiet)


def test_a_long_log_keeps_its_ends():
    """Dreams learn from a few rows; where they end and begin is found in all."""
    np.savez("log.npz", **spring(3000))
    shown, longest, num_rows, log, notices = context_of_file(Path("log.npz"), 200, None)
    num_ends = int(log.transitions.terminated.sum())
    assert shown.num_rows == 200 and num_rows == log.num_rows == 3000 and 50 < num_ends < 100
    assert shown.transitions.terminated.sum() == num_ends and longest == 25
    assert f"200 of 3,000 logged transitions are shown, all {num_ends} that ended an episode" in notices[-1]
    few = context_of_file(Path("log.npz"), 60, None)
    assert (
        few.context.transitions.terminated.sum() == 30 and f"30 of {num_ends} that ended" in few.notices[-1]
    )
