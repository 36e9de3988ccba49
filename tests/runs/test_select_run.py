"""``synthenv select run`` and ``Tuner``: directories, workers, limits, and kills at any moment."""

import csv
import json
import math
import multiprocessing
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from synthenv.cli import main
from synthenv.core.errors import MachineError, UserError
from synthenv.core.files import disk_error
from synthenv.core.registry import register
from synthenv.runs.select.run import history, job, tuner
from synthenv.runs.select.run.processes import Here
from synthenv.runs.select.run.tuner import Tuner
from synthenv.runs.select.run.work import Work
from synthenv.runs.storage import locked_directory
from synthenv.selection.readers.write import write_meta_dataset
from synthenv.selection.search import policies
from synthenv.selection.search.methods import SearchMethod
from synthenv.selection.tables.meta_dataset import MetaDataset
from synthenv.selection.tuner.jobs import Budget
from synthenv.selection.tuner.place import Place
from tests import own_objectives
from tests.own_objectives import checkpoints, curve, objective, troubled
from tests.selection.small_tables import table

OWN = str(Path(own_objectives.__file__).resolve())
REPO = Path(OWN).parents[1]
SPACE = [{"x": i / 16} for i in range(16)]
NINE = {"num_steps": own_objectives.STEPS, "executor": Here()}


def jobs_in(out: Path) -> list[tuple[int, int, int]]:
    """All jobs of a directory, in order."""
    begins = [line for line in history.read(out) if line["event"] == "begin"]
    return [(line["candidate"], line["first"], line["last"]) for line in begins]


def test_the_command_finds_the_best_and_writes_all_of_it(tmp_path, capsys):
    space, out, told = tmp_path / "space.json", tmp_path / "out", tmp_path / "told.json"
    space.write_text(json.dumps({"x": [i / 8 for i in range(8)], "side": ["a"]}))
    words = ["select", "run", "--objective", OWN, "--space", str(space), "--budget-evaluations", "6"]
    assert main([*words, "--num-workers", "2", "--out", str(out), "--json", str(told)]) == 0
    results = json.loads(told.read_text())["results"]
    assert results == json.loads((out / "result.json").read_text())
    assert (results["finished"], results["crashed"], results["paused"], results["evaluations"]) == (
        6,
        0,
        0,
        6,
    )
    rows = list(csv.DictReader((out / "trials.csv").open()))
    assert (
        len(rows) == 6 and float(rows[0]["x"]) == results["best"]["score"] == results["best"]["config"]["x"]
    )
    assert json.loads((out / "best.json").read_text())["score"] == results["best"]["score"]
    assert (out / "progress.png").stat().st_size > 5_000
    printed = capsys.readouterr().out
    assert "6 trials finished" in printed and "trying" not in printed
    number = f"{results['best']['trial']:04d}"
    assert (out / "trials" / number / job.OUTPUT).read_text() == f"trying {results['best']['score']}\n"
    # More of it, without a word repeated.
    assert main(["select", "run", "--resume", "--out", str(out), "--budget-evaluations", "8"]) == 0
    result = json.loads((out / "result.json").read_text())
    assert result["evaluations"] == 8 and result["best"]["score"] == 7 / 8
    assert no_pickles(out)


def no_pickles(out: Path) -> bool:
    """Defect 9: what was called json was a pickle. Every file is what its name says."""
    for file in (path for path in out.rglob("*") if path.is_file() and path.name != locked_directory.LOCK):
        match file.suffix:
            case ".json":
                json.loads(file.read_text())
            case ".jsonl":
                [json.loads(line) for line in file.read_text().splitlines()]
            case ".png":
                assert file.read_bytes()[1:4] == b"PNG"
            case _:
                file.read_text()
    return True


@pytest.mark.parametrize("selector", ["asha", "random"])
def test_a_search_that_is_interrupted_decides_as_one_that_is_not(tmp_path, selector):
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    terms = {"selector": selector, "seed": 3} | NINE
    summary = Tuner(SPACE, curve, budget=14, out=whole, **terms).run()
    for most in (1, 4, 5, 14):

        def stop(event, most=most):
            if event["evaluations"] == most:
                raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            Tuner(SPACE, curve, budget=14, out=parts, resume=True, show=stop, **terms).run()
    again = Tuner(SPACE, curve, budget=14, out=parts, resume=True, **terms).run()
    assert jobs_in(whole) == jobs_in(parts) and len(jobs_in(whole)) == 14
    assert {**again, "seconds": 0, "best": again["best"] | {"directory": ""}} == {
        **summary,
        "seconds": 0,
        "best": summary["best"] | {"directory": ""},
    }


def test_a_larger_budget_goes_on_as_if_it_had_been_there_from_the_start(tmp_path):
    for out, budgets in ((tmp_path / "a", (12,)), (tmp_path / "b", (5, 12))):
        for budget in budgets:
            Tuner(SPACE, curve, "asha", budget, out, resume=True, **NINE).run()
    assert jobs_in(tmp_path / "a") == jobs_in(tmp_path / "b")


def test_half_a_line_was_not_done_and_a_damaged_one_is_refused(tmp_path):
    Tuner(SPACE, curve, "asha", 4, tmp_path, **NINE).run()
    file = tmp_path / history.HISTORY
    whole = file.read_text()
    file.write_text(whole[: whole.rstrip().rfind("\n") + 20])  # the last end is lost
    Tuner(SPACE, curve, "asha", 4, tmp_path, resume=True, **NINE).run()
    lines = file.read_text().splitlines()
    assert len(lines) == 8 and lines[:7] == whole.splitlines()[:7]
    file.write_text(whole.replace('"candidate": ', '"candidate": 1', 1))
    with pytest.raises(UserError, match=r"line 1 of .*history.jsonl is damaged: put back a copy"):
        Tuner(SPACE, curve, "asha", 5, tmp_path, resume=True, **NINE).run()


def test_hanging_dying_and_raising_trials_are_crashes_and_the_search_goes_on(tmp_path):
    """Defect 10: nothing limited a trial's time."""
    space, begin = [{"x": i} for i in range(5)], time.monotonic()
    summary = Tuner(space, troubled, budget=5, out=tmp_path, trial_seconds=2.0, num_workers=2).run()
    assert time.monotonic() - begin < 50.0
    assert (summary["finished"], summary["crashed"], summary["best"]["score"]) == (2, 3, 4.0)
    rows = {row["x"]: row["reason"] for row in csv.DictReader((tmp_path / "trials.csv").open())}
    assert rows["0"] == "it took longer than 2 s" and rows["2"] == "ValueError: two"
    assert rows["1"] == "its process died with exit code 7"
    assert 'raise ValueError("two")' in (tmp_path / "trials/0002" / job.OUTPUT).read_text()
    again = Tuner(space, troubled, budget=9, out=tmp_path, trial_seconds=2.0, resume=True).run()
    assert again["evaluations"] == 5  # none of them is proposed again


def test_the_next_job_of_a_trial_continues_from_the_directory_of_the_last(tmp_path):
    terms = NINE | {"executor": ThreadPoolExecutor(2), "num_workers": 2}
    summary = Tuner(SPACE, checkpoints, "asha", Budget(steps=30), tmp_path, **terms).run()
    assert summary["crashed"] == 0 and summary["finished"] >= 1 and summary["steps"] >= 30
    assert (
        json.loads((Path(summary["best"]["directory"]) / "state.json").read_text()) == summary["best"]["step"]
    )
    assert all(len(list(trial.glob("to-*"))) == 1 for trial in (tmp_path / "trials").iterdir())


def best_elsewhere(key: jax.Array, meta: MetaDataset) -> jax.Array:
    """The order of the mean scores of past runs."""
    return jnp.asarray(np.nanmean(meta.matrix(), axis=0))


def test_what_was_learnt_from_past_runs_is_kept_in_the_directory(tmp_path):
    register(SearchMethod("best_elsewhere", "for a test", policies.IN_ORDER, best_elsewhere))
    x = np.array([0.3, 0.9, 0.1, 0.6])
    space = [{"x": float(value)} for value in x]
    write_meta_dataset(table(np.tile(x, (2, 1)), np.zeros((2, 1)), space), tmp_path / "past")
    terms = {"selector": "best_elsewhere", "out": tmp_path / "out", "executor": Here()}
    Tuner(space, objective, budget=2, data=tmp_path / "past", meta_features={"meta0": 3.0}, **terms).run()
    shutil.rmtree(tmp_path / "past")
    with pytest.raises(UserError, match=r"begun with meta_features.meta0 = 3.0, not"):
        Tuner(space, objective, budget=4, resume=True, **terms).run()
    Tuner(space, objective, budget=4, resume=True, meta_features={"meta0": 3.0}, **terms).run()
    assert [candidate for candidate, _, _ in jobs_in(tmp_path / "out")] == [1, 3, 0, 2]
    terms["out"] = tmp_path / "next"  # a fitted file will do in place of past runs
    Tuner(space, objective, budget=1, data=tmp_path / "out/selector.safetensors", **terms).run()
    assert jobs_in(tmp_path / "next") == [(1, 0, 1)]


def test_a_score_outside_of_its_range_is_a_crash(tmp_path):
    space = [{"x": 0.5}, {"x": 93.0}]
    summary = Tuner(space, objective, budget=2, out=tmp_path, score_range=(0.0, 1.0), executor=Here()).run()
    assert (summary["crashed"], summary["best"]["score"]) == (1, 0.5)


class Later:
    """A future that knows no more than submitit's do."""

    def __init__(self, future):
        self._future, self._asked = future, 0

    def done(self):
        self._asked += 1
        return self._asked > 1 and self._future.done()

    def result(self):
        return self._future.result()


class Cluster:
    """An executor that is none of concurrent.futures."""

    def submit(self, function, call):
        return Later(Here().submit(function, call))


def test_an_executor_of_another_kind_will_do(tmp_path):
    summary = Tuner(SPACE, objective, budget=3, out=tmp_path, executor=Cluster(), num_workers=2).run()
    assert summary["finished"] == 3


def test_the_machine_stops_a_search_and_no_trial_is_blamed(tmp_path, monkeypatch):
    def full(path):
        raise disk_error(OSError(28, "No space left on device"), path)

    with monkeypatch.context() as patch:
        patch.setattr(job, "make_directory", full)
        with pytest.raises(MachineError, match="No space left on device"):
            Tuner(SPACE, objective, budget=3, out=tmp_path, executor=Here()).run()
    summary = Tuner(SPACE, objective, budget=3, out=tmp_path, executor=Here(), resume=True).run()
    assert (summary["finished"], summary["crashed"], summary["evaluations"]) == (3, 0, 3)


def test_a_typed_in_objective_runs_here_and_is_refused_where_it_cannot_run(tmp_path):
    assert (
        Tuner(SPACE, lambda config: config["x"], budget=16, out=tmp_path / "a").run()["best"]["score"]
        == 15 / 16
    )
    for terms in ({"num_workers": 2}, {"trial_seconds": 5.0}):
        with pytest.raises(UserError, match=r"cannot be sent to a process .* put it into a file of its own"):
            Tuner(SPACE, lambda config: config["x"], budget=3, out=tmp_path / "b", **terms).run()


def test_a_script_without_its_guard_is_told_so(monkeypatch):
    monkeypatch.setattr(multiprocessing.current_process(), "_inheriting", True, raising=False)
    with pytest.raises(UserError, match="under if __name__ == '__main__':"):
        Tuner(SPACE, objective, budget=3)


def test_the_example_of_the_docstring_runs(tmp_path, monkeypatch):
    """Defect 1: the documented example called a function that there was not."""
    monkeypatch.chdir(tmp_path)
    example = [line[4:] for line in (tuner.__doc__ or "").splitlines() if line.startswith("    ")]
    best = []

    def objective(config):
        yield from (config["lr"] * step for step in range(27))

    exec("\n".join(example), {"Tuner": Tuner, "objective": objective, "print": best.append})
    assert best[0]["score"] > 0.0 and len(list(tmp_path.glob("runs/*/history.jsonl"))) == 1


@pytest.mark.parametrize("budget", [{"classes": 10}, {"seconds": "1h"}, "3600", 0, None, Budget()])
def test_what_is_no_budget_is_refused(budget):
    """Defect 2: what describes the task went where the number of evaluations belonged."""
    with pytest.raises(UserError, match="pass a"):
        Tuner(SPACE, objective, "random", budget)


def test_seconds_are_looked_at_before_a_job_begins(tmp_path, monkeypatch):
    """Defect 10: the budget of time was only looked at after an evaluation."""
    monkeypatch.setattr(Work, "clock", lambda self: 5.0)
    with pytest.raises(UserError, match="no trial came to a score"):
        Tuner(SPACE, objective, budget=Budget(seconds=5.0), out=tmp_path, executor=Here()).run()
    assert not jobs_in(tmp_path)


def test_without_any_score_there_is_a_reason_and_no_best(tmp_path):
    with pytest.raises(
        UserError, match=r"no trial came to a score: trial 0 crashed, its score is None.*mend the objective"
    ):
        Tuner(SPACE, lambda config: None, budget=16, out=tmp_path).run()
    assert not (tmp_path / "best.json").exists() and not (tmp_path / "result.json").exists()


BROKEN = {
    "--budget-evaluations 0": "--budget-evaluations 0 does nothing",
    "": "how long is the search? Pass --budget-evaluations",
    "--budget-seconds nan": "--budget-seconds nan is no time",
    "--budget-steps 3 --trial-seconds -1": "--trial-seconds -1 is no time",
    "--budget-steps 3 --score-range 1 0": "--score-range 1 0 is empty",
    "--budget-steps 3 --selector ahsa": "did you mean 'asha'?",
    "--budget-steps 3 --selector quick_tune_no_refit": "pass their directory, or a fitted file, as data",
    "--budget-steps 3 --selector asha --data nowhere": "asha learns nothing from past runs",
    "--budget-steps 3 --meta-features classes": "--meta-features classes is no NAME=NUMBER",
    "--budget-steps 3 --meta-features classes=3": "unknown meta-feature 'classes'",
    "--budget-steps 3 --objective nowhere.py": "nowhere.py: check the path",
    "--budget-steps 3 --objective own.py:nothing": "has no nothing: write one",
    "--budget-steps 3 --space nowhere.json": "nowhere.json",
    "--budget-steps 3 --space space.yaml": "is neither JSON nor Python",
    "--budget-steps 3 --space broken.json": "broken.json",
    "--budget-steps 3 --space own.py": "own.py has no space",
    "--budget-steps 3 --num-steps 9 --objective own.py:one": "cannot stop at a step of 9",
    "--budget-steps 3 --out taken": "taken is not empty and holds no search",
    "--budget-steps 3 --resume": "--resume goes on with which run?",
}


@pytest.mark.parametrize("words", BROKEN)
def test_what_makes_no_sense_is_refused_in_a_line(tmp_path, monkeypatch, capsys, words):
    monkeypatch.chdir(tmp_path)
    Path("own.py").write_text("def objective(config): return config['x']\ndef one(config): return 1.0\n")
    Path("space.json").write_text('{"x": [1, 2, 3]}')
    Path("broken.json").write_text('{"x": [1, 2')
    Path("space.yaml").write_text("x: 1")
    Path("taken").mkdir()
    Path("taken/mine.txt").write_text("mine")
    given = words.split()
    for flag, value in (("--objective", "own.py"), ("--space", "space.json")):
        given += [] if flag in given else [flag, value]
    assert main(["select", "run", *given]) == 2
    lines = capsys.readouterr().err.strip().splitlines()
    assert len(lines) == 1 and BROKEN[words] in lines[0]


@pytest.mark.parametrize(
    ("terms", "said"),
    [
        ({}, "holds a finished search: pass --resume"),
        ({"resume": True, "seed": 4}, "begun with seed = 0, not 4"),
        ({"resume": True, "selector": "hyperband"}, 'begun with selector = "asha", not "hyperband"'),
        ({"resume": True, "minimise": True}, "begun with minimise = false, not true"),
        ({"resume": True, "space": SPACE[1:]}, "begun with pool ="),
        ({"resume": True, "objective": Place(OWN, "curve")}, "begun with objective ="),
    ],
)
def test_a_directory_is_held_to_what_it_was_begun_with(tmp_path, terms, said):
    asked = {"space": SPACE, "objective": curve, "selector": "asha", "budget": 2, "out": tmp_path} | NINE
    Tuner(**asked).run()
    before = (tmp_path / history.HISTORY).read_bytes()
    with pytest.raises(UserError, match=said):
        Tuner(**asked | terms).run()
    assert (tmp_path / history.HISTORY).read_bytes() == before


def test_two_searches_do_not_write_one_directory(tmp_path):
    with locked_directory.locked(tmp_path), pytest.raises(UserError, match="another process is writing"):
        Tuner(SPACE, objective, budget=2, out=tmp_path, executor=Here()).run()


@pytest.mark.long
def test_a_pool_of_processes_will_do_and_limits_hold_there(tmp_path):
    space = [{"x": i} for i in range(5)]
    with ProcessPoolExecutor(2, multiprocessing.get_context("spawn")) as executor:
        terms = {"executor": executor, "num_workers": 2}
        assert Tuner(SPACE, objective, budget=3, out=tmp_path / "a", **terms).run()["finished"] == 3
        summary = Tuner(space, troubled, budget=5, out=tmp_path / "b", trial_seconds=3.0, **terms).run()
    assert (summary["finished"], summary["crashed"]) == (2, 3)


# Kills.

EVALUATIONS, WORKERS = 40, 2


def command_in(place: Path) -> list[str]:
    words = ["--objective", f"{OWN}:logged", "--space", str(place / "space.json"), "--selector", "asha"]
    words += ["--num-steps", str(own_objectives.STEPS), "--budget-evaluations", str(EVALUATIONS)]
    words += ["--num-workers", str(WORKERS), "--out", str(place / "out"), "--resume"]
    return [sys.executable, "-m", "synthenv", "select", "run", *words]


def killed_and_resumed(place: Path, num_kills: int, seed: int) -> int:
    """Kill a search at random moments, each time with what it has started, and let it end; returns the kills."""
    out, log, draws = place / "out", place / "log.jsonl", random.Random(seed)
    (place / "space.json").write_text(json.dumps(SPACE))
    log.touch()
    environment = os.environ | {"OBJECTIVE_LOG": str(log)}
    kills = 0
    while True:
        had, was_done = history_of(out), done_in(out)
        starts = log.read_text().splitlines()
        process = subprocess.Popen(
            command_in(place), cwd=REPO, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
        )
        if kills < num_kills:
            # From before the first line on, until after some of them.
            wanted = len(had) + draws.randrange(2 * EVALUATIONS // num_kills + 2)
            while process.poll() is None and len(history_of(out)) < wanted:
                time.sleep(0.01)
            time.sleep(draws.random() * 0.05)
            process.send_signal(signal.SIGKILL)
            kills += 1
        _, said = process.communicate()
        assert process.returncode in (0, -signal.SIGKILL), said.decode()
        assert history_of(out)[: len(had)] == had  # no result lost
        again = [tuple(json.loads(line)) for line in log.read_text().splitlines()[len(starts) :]]
        assert not set(again) & was_done  # no job that was done is done again
        if process.returncode == 0:
            return kills


def history_of(out: Path) -> list[str]:
    """The whole lines so far."""
    file = out / history.HISTORY
    return (
        [line for line in file.read_text().splitlines(keepends=True) if line.endswith("\n")]
        if file.exists()
        else []
    )


def done_in(out: Path) -> set[tuple[str, int, int]]:
    """The jobs that have ended: trial, first and last step."""
    lines = [json.loads(line) for line in history_of(out)]
    ended = {line["number"] for line in lines if line["event"] == "end"}
    begins = [line for line in lines if line["event"] == "begin" and line["number"] in ended]
    return {(f"{line['candidate']:04d}", line["first"], line["last"]) for line in begins}


def check_the_end(place: Path, kills: int) -> None:
    lines = [json.loads(line) for line in history_of(place / "out")]
    begins, ends = (
        [line["number"] for line in lines if line["event"] == event] for event in ("begin", "end")
    )
    assert sorted(begins) == sorted(ends) == list(range(len(begins))) and len(begins) <= EVALUATIONS
    result = json.loads((place / "out" / "result.json").read_text())
    assert result["evaluations"] == len(begins) and result["running"] == result["crashed"] == 0
    starts = (place / "log.jsonl").read_text().splitlines()
    assert len(starts) <= len(begins) + kills * WORKERS  # beyond the budget at most what was killed
    for line in lines:
        if line["event"] == "end":
            assert all(math.isfinite(score) for score in line["scores"])


def test_two_kills_lose_nothing(tmp_path):
    check_the_end(tmp_path, killed_and_resumed(tmp_path, 2, seed=0))


@pytest.mark.long
def test_thirty_kills_lose_nothing(tmp_path):
    check_the_end(tmp_path, killed_and_resumed(tmp_path, 30, seed=1))
