"""A study on a machine that fails: nothing is concluded about hyperparameters; and one in a directory of any name."""

import os
from pathlib import Path

import pytest

from synthenv.core.errors import MachineError, UserError
from synthenv.core.files import disk_error
from synthenv.runs.meta_train import run as search
from synthenv.runs.tune import study as tune
from synthenv.runs.tune.plan import make_plan
from synthenv.runs.tune.workers import Ending, run_trial
from tests.runs.test_tune import SMOKE, _no_waiting, _somewhere, falling, job_in, number_of, play, table

__all__ = ["_no_waiting", "_somewhere"]  # fixtures

pytestmark = pytest.mark.rank_promotion_ok
FULL = disk_error(OSError(28, "No space left on device"), Path("run"))


@pytest.mark.parametrize(
    ("error", "state"),
    [
        (FULL, "stopped"),
        (MachineError("another process is writing run"), "stopped"),
        (OSError(24, "Too many open files"), "stopped"),
        (MemoryError(), "failed"),
        (UserError("--agent.depth 0 makes no sense"), "failed"),
    ],
)
def test_the_machine_stops_a_trial_and_hyperparameters_fail_it(monkeypatch, error, state):
    def meta_train(*args, **kwargs):
        raise error

    monkeypatch.setattr(search, "meta_train", meta_train)
    ending = run_trial(job_in("run"), lambda done, value: True)
    assert ending.state == state and (str(error) or "MemoryError") in ending.reason


def test_a_trial_on_a_full_disk_is_gone_on_with_however_often(monkeypatch):
    """And the study ends with the cause; the trial is on record as interrupted, not as failed."""

    def full(job):
        if number_of(job) == 1:
            yield Ending("stopped", reason=str(FULL))
        yield from falling(job)

    for _ in range(3):
        with pytest.raises(
            MachineError, match=r"trial \d was stopped: .*No space left on device.*free some space"
        ):
            play(monkeypatch, full, resume=True)
    summary, _ = play(monkeypatch, falling, resume=True)
    assert (summary["num_trials"], summary["failed"]) == (4, 0)
    assert [row["state"] for row in table() if row["run"] == "trials/001"][:3] == ["interrupted"] * 3


@pytest.mark.parametrize(
    "name", ["a?b", "100%20x", "a#b", "{SCHEMA}", "file:x", "a b&c=d", ":memory:", "s3:x", "lr[a]"]
)
def test_a_study_lies_where_it_was_asked_for(name):
    plan = make_plan(SMOKE)
    Path(name).mkdir()
    tune.open_study(Path(name), plan)
    again = tune.open_study(Path(name), plan)
    assert (Path(name) / "study.db").stat().st_size > 0
    assert os.listdir() == [name] and len(again.get_trials()) == 1
