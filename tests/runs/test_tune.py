"""A study survives whatever happens to its trials, its workers and itself; what it leaves can be used."""

import csv
import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import optuna
import pytest
import sqlalchemy

from synthenv.cli import main, parse
from synthenv.core.errors import UserError
from synthenv.runs.meta_train import run as search
from synthenv.runs.meta_train.config import from_stored, put
from synthenv.runs.meta_train.presets import preset
from synthenv.runs.storage import metrics
from synthenv.runs.tune import command as tune_command
from synthenv.runs.tune import plot as tune_plot
from synthenv.runs.tune import results as tune_results
from synthenv.runs.tune import study as tune
from synthenv.runs.tune import workers
from synthenv.runs.tune.arguments import Tune
from synthenv.runs.tune.plan import make_plan, suggest
from synthenv.runs.tune.spaces import drawn, space
from synthenv.runs.tune.workers import Ending, Job, Worker, run_trial
from synthenv.zoo import registry as zoo
from tests.tiny_run import REPO, environment

pytestmark = pytest.mark.rank_promotion_ok
SMOKE = Tune(preset="smoke", num_trials=4, num_generations=3)
COMMAND = [sys.executable, "-c", "import sys; from synthenv.cli import main; sys.exit(main())", "tune"]


@sqlalchemy.event.listens_for(sqlalchemy.Engine, "connect")
def _no_waiting(connection, record):
    """No power cut is tested here, and a study commits every parameter."""
    connection.execute("PRAGMA synchronous=OFF")


@pytest.fixture(autouse=True)
def _somewhere(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(os, "fsync", lambda descriptor: None)


# ---------------------------------------------------------------- a study, its workers played


class Played:
    """Stands for a worker; ``play`` is a generator of what it says, and is told whether to go on."""

    play = None

    def __init__(self, cores):
        self.goes_on = None

    def begin(self, job):
        self.story, self.goes_on = type(self).play(job), None

    def hear(self):
        return self.story.send(self.goes_on)

    def answer(self, goes_on):
        self.goes_on = goes_on

    def stop(self):
        pass


def number_of(job):
    return int(job.runs[0].name)


def falling(job):
    """Three generations; the lower a trial's learning rate, the better."""
    value = 1000 * job.config.agent.learning_rate
    for done in (1, 2, 3):
        goes_on = yield done, value + 3 - done
        if not goes_on and done < 3:
            yield Ending("pruned", reason="no better")
    yield Ending("complete", value)


def play(monkeypatch, story, out="study", command=SMOKE, **changes):
    """Carry a study out with played workers; returns its summary and what it told."""
    told = []
    monkeypatch.setattr(Played, "play", staticmethod(story))
    monkeypatch.setattr(tune, "Worker", Played)
    monkeypatch.setattr(tune, "wait_for", lambda running: list(running)[:1])
    plan = make_plan(replace(command, **changes))
    return tune.tune(plan, Path(out), told.append, lambda line: None), told


def table(out="study"):
    with open(Path(out) / "trials.csv") as file:
        return list(csv.DictReader(file))


def test_a_study_leaves_everything(monkeypatch):
    summary, told = play(monkeypatch, falling, num_trials=12, num_workers=3)
    rows = table()
    assert len(rows) == summary["num_trials"] == 12
    completed = [row for row in rows if row["state"] == "complete"]
    assert len(completed) == summary["completed"] and summary["completed"] + summary["pruned"] == 12
    assert summary["pruned"] > 0, "three generations have rungs after the first one"
    best = min(completed, key=lambda row: float(row["value"]))
    found = json.loads(Path("study/best.json").read_text())
    assert found["trial"] == int(best["number"]) and found["value"] == float(best["value"])
    assert found["params"]["agent.learning_rate"] == float(best["agent.learning_rate"])
    assert from_stored(found["config"]).agent.learning_rate == found["params"]["agent.learning_rate"]
    for name in ("importance.png", "history.png"):
        assert Path("study", name).read_bytes().startswith(b"\x89PNG")
    assert json.loads(Path("study/result.json").read_text())["best"]["command"] == found["command"]
    assert sum("state" in event for event in told) == 12 and told[-1]["num_ended"] == 12


def test_the_same_study_again_is_the_same(monkeypatch):
    play(monkeypatch, falling, "one", num_trials=2)
    play(monkeypatch, falling, "two", num_trials=2)
    assert table("one") == table("two")
    play(monkeypatch, falling, "other", num_trials=2, common=replace(SMOKE.common, seed=1))
    assert [row["strategy.std"] for row in table("other")] != [row["strategy.std"] for row in table("one")]


def test_a_failed_trial_is_on_record_and_no_more(monkeypatch):
    def story(job):
        if number_of(job) == 1:
            yield 1, float("inf")
            yield Ending("failed", reason="numbers overflowed")
        yield from falling(job)

    summary, told = play(monkeypatch, story)
    assert summary["failed"] == 1 and summary["num_trials"] == 4
    assert (table()[1]["state"], table()[1]["reason"]) == ("failed", "numbers overflowed")
    event = next(event for event in told if event["trial"] == 1 and "state" in event)
    assert "trial 1 failed (numbers overflowed)" in tune_command.trial_line(event, 4)


def test_a_bug_is_on_record_and_ends_the_study(monkeypatch):
    def story(job):
        yield Ending("broken", reason="Traceback\nKeyError: 'x'")

    with pytest.raises(RuntimeError, match="KeyError: 'x'"):
        play(monkeypatch, story)

    def hopeless(job):
        yield Ending("failed", reason="no")

    with pytest.raises(UserError, match="no trial was completed"):  # resumed, it goes on with the others
        play(monkeypatch, hopeless, resume=True)
    assert [row["reason"] for row in table()] == ["KeyError: 'x'", "no", "no", "no"]


def test_interrupted_and_resumed_it_has_as_many_trials(monkeypatch):
    """The trial that was running counts as failed, and a new one goes on in its directory with its parameters."""

    def story(job):
        if number_of(job) == 2:
            yield 1, 1.0
            raise KeyboardInterrupt
        yield from falling(job)

    with pytest.raises(KeyboardInterrupt):
        play(monkeypatch, story, num_workers=2)
    begun = []
    with pytest.raises(UserError, match="pass --resume to go on"):
        play(monkeypatch, falling)

    def resumed(job):
        begun.append(job)
        yield from falling(job)

    summary, _ = play(monkeypatch, resumed, resume=True, num_workers=2)
    rows = table()
    lost = [row for row in rows if row["state"] == "interrupted"]
    assert summary["num_trials"] == 4 == len(rows) - len(lost) and 1 <= len(lost) <= 2
    again = [row for row in rows if row["run"] == "trials/002"]
    assert again[0]["state"] == "interrupted" and again[1]["state"] in ("complete", "pruned")
    assert again[0]["strategy.std"] == again[1]["strategy.std"] and again[0]["number"] == "2"
    assert len({job.seeds for job in begun}) == len(begun)
    with pytest.raises(UserError, match="is finished: choose another --out"):
        play(monkeypatch, falling, resume=True)


def test_a_trial_that_ends_the_process_twice_is_given_up(monkeypatch):
    def story(job):
        if number_of(job) == 1:
            raise KeyboardInterrupt
        yield from falling(job)

    for _ in range(2):
        with pytest.raises(KeyboardInterrupt):
            play(monkeypatch, story, resume=True)
    summary, _ = play(monkeypatch, story, resume=True)
    assert (summary["num_trials"], summary["failed"]) == (4, 1)
    assert [row["state"] for row in table() if row["run"] == "trials/001"] == ["interrupted", "interrupted"]


@pytest.mark.parametrize("damage", [b"no database", b"", None])
def test_a_damaged_study_is_told(monkeypatch, damage):
    def story(job):
        if number_of(job) == 2:
            raise KeyboardInterrupt
        yield from falling(job)

    with pytest.raises(KeyboardInterrupt):
        play(monkeypatch, story)
    file = Path("study/study.db")
    if damage is None:
        file.unlink()
    else:
        file.write_bytes(damage)
    with pytest.raises(UserError, match=r"study\.db is damaged or lost: put back a copy"):
        play(monkeypatch, falling, resume=True)


def test_the_first_trial_is_the_preset(monkeypatch):
    """Exactly, inverse parameters too; where the preset leaves a range the study draws that value."""
    jobs = []

    def story(job):
        jobs.append(job)
        yield Ending("complete", 1.0)

    play(monkeypatch, story, num_trials=2)
    plan = make_plan(SMOKE)
    assert jobs[0].config == plan.base != jobs[1].config
    plan = make_plan(Tune(task="CartPole-v0"))  # batches of 32, below table 3
    assert plan.base.agent.batch_size == 32
    names = drawn(plan.params, plan.base)
    assert "agent.batch_size" not in names and names["1 - agent.discount"] == 0.01


# ---------------------------------------------------------------- trials


def job_in(path, num_generations=2, form="rn"):
    config = preset(form, "smoke", "CliffWalking" if form == "rn" else "CartPole-v0")
    config = put(config, "outer.num_generations", num_generations)
    return Job(config, (Path(path),), (7,))


@pytest.mark.parametrize(
    ("error", "state", "reason"),
    [
        (UserError("no incumbent ever had a finite score"), "failed", "no incumbent ever had a finite score"),
        (FloatingPointError("overflow\nsomewhere"), "failed", "overflow"),
        (ZeroDivisionError(), "failed", "ZeroDivisionError"),
        (search.StopSearch(), "pruned", "no better than its rivals so far"),
        (KeyError("x"), "broken", "KeyError: 'x'"),
    ],
)
def test_how_a_trial_ends(monkeypatch, error, state, reason):
    def meta_train(*args, **kwargs):
        raise error

    monkeypatch.setattr(search, "meta_train", meta_train)
    ending = run_trial(job_in("run"), lambda done, value: True)
    assert ending.state == state and reason in ending.reason


def test_what_a_trial_is_worth(monkeypatch):
    """Reward networks: minus their score. Synthetic environments: generations until solved, at most all; summed."""
    results = [
        {"solved": True, "generations": 5, "best_incumbent": 196.0},
        {"solved": False, "generations": 9, "best_incumbent": 20.0},
        {"solved": True, "generations": 2, "best_incumbent": 199.0},
    ]

    def trial(results, form):
        stories = iter(results)
        monkeypatch.setattr(search, "meta_train", lambda *args, **kwargs: next(stories))
        job = job_in("run", 9, form)._replace(
            runs=tuple(map(Path, "abc"))[: len(results)], seeds=(1, 2, 3)[: len(results)]
        )
        return run_trial(job, lambda done, value: True)

    assert trial(results, "se") == Ending("complete", 5 + 9 + 2)
    assert trial(results[:1], "rn") == Ending("complete", -196.0)
    nothing = trial([{**results[0], "best_incumbent": float("nan")}], "rn")
    assert (nothing.state, nothing.reason) == ("failed", "its score is not finite")


def test_a_pruned_trial_leaves_a_run_that_can_be_used(tmp_path):
    """Loaded, looked at, and finished later: by hand, or as a trial whose earlier generations are told again."""
    run, told = tmp_path / "trials" / "000", []
    assert run_trial(job_in(run, 3), lambda done, value: bool(told.append((done, value)))).state == "pruned"
    assert [done for done, _ in told] == [1] and len(metrics.read(run)) == 1
    assert zoo.load(str(run))[0].metadata["task"] == "CliffWalking"
    assert (run / "report.html").exists() and not (run / "result.json").exists()
    ending = run_trial(job_in(run, 3), lambda done, value: told.append((done, value)) or True)
    assert [done for done, _ in told] == [1, 1, 2, 3] and told[0] == told[1]
    best = json.loads((run / "result.json").read_text())["best_incumbent"]
    assert ending == Ending("complete", -best) and told[-1][1] == -best
    assert run_trial(job_in(run, 3), lambda done, value: True) == ending, "a finished search is not run again"


def test_a_dead_worker_is_a_failed_trial(tmp_path):
    worker = Worker(workers.shares(1)[0])
    worker.begin(job_in(tmp_path / "run"))
    assert worker.process is not None
    worker.process.kill()
    ending = worker.hear()
    assert isinstance(ending, Ending)
    assert (ending.state, ending.reason) == ("failed", "its process died with exit code -9")
    worker.answer(True)
    worker.stop()


def test_workers_share_the_cores(monkeypatch):
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {4, 5, 6}, raising=False)
    assert workers.shares(2) == [(4, 6), (5,)]
    assert workers.shares(4) == [(4,), (5,), (6,), (4,)]


# ---------------------------------------------------------------- results


@pytest.mark.parametrize("form", ["se", "rn"])
@pytest.mark.parametrize("task", ["CartPole-v0", "Acrobot-v1", "CliffWalking", "HalfCheetah"])
def test_the_printed_command_is_the_configuration(form, task):
    command = Tune(proxy=form, task=task, strategies=("paper_nes", "open_es"))
    base = put(preset(form, "fast", task), "strategy.name", "paper_nes")
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=3))
    for _ in range(5):
        config = suggest(study.ask(), space(base, command.strategies), base)
        assert parse(["meta-train", *tune_results.flags(config, "fast")]).config == config


def studied(num_trials, value):
    """A finished study of a plan whose trials have the values of ``value(config)``."""
    plan = make_plan(SMOKE)
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=1))
    for _ in range(num_trials):
        trial = study.ask()
        study.tell(trial, value(suggest(trial, plan.params, plan.base)))
    return study, plan


def test_the_parameter_that_matters_is_found():
    study, plan = studied(60, lambda config: abs(np.log10(config.strategy.std) + 1))
    shares = tune_results.importances(study, plan)
    assert max(shares, key=lambda name: shares[name]) == "strategy.std" and shares["strategy.std"] > 0.4
    assert sum(shares.values()) == pytest.approx(1)
    assert "agent.discount" in shares, "an inverse one goes by the name of its field"


@pytest.mark.parametrize(("form", "value"), {"scb": "generations", "rn": "minus the best"}.items())
def test_the_picture_says_what_any_proxy_is_valued_by(form, value):
    (axes,) = tune_plot.draw_history([(0, "complete", 1.0)], form).axes
    assert axes.get_title(loc="left").startswith(f"value: {value}")


def test_too_few_or_equal_trials_tell_nothing(tmp_path):
    assert tune_results.importances(*studied(7, lambda config: config.strategy.std)) == {}
    assert tune_results.importances(*studied(9, lambda config: 1.0)) == {}
    tune_plot.write_importances({}, 1, 4, tmp_path / "importance.png")
    tune_plot.write_history([(0, "failed", None)], "se", tmp_path / "history.png")
    assert len(list(tmp_path.glob("*.png"))) == 2


# ---------------------------------------------------------------- the command


@pytest.mark.long
def test_killed_and_resumed_from_the_command_line(tmp_path, capsys):
    """SIGKILL while a worker is busy, which must not outlive it; the rest needs no flags."""
    words = ["--preset", "smoke", "--num-trials", "2", "--num-generations", "1", "--out", "study"]
    env = environment() | {"PYTHONPATH": str(REPO)}
    killed = subprocess.Popen([*COMMAND, *words, "--seed", "5"], cwd=tmp_path, env=env)
    while not Path("study/trials/000/config.json").exists():
        assert killed.poll() is None
        time.sleep(0.05)
    killed.send_signal(signal.SIGKILL)
    killed.wait()
    assert main(["tune", "--resume", "--out", "study", "--json", "summary.json"]) == 0
    said = " ".join(capsys.readouterr().out.split())
    written = json.loads(Path("summary.json").read_text())
    assert written["command"] == "tune" and written["config"]["common"]["seed"] == 5
    results = written["results"]
    assert results["num_trials"] == 2 == results["completed"] and results["generations"] == 2
    assert "trial 0 was interrupted" in said and results["best"]["command"] in said
    rows = table()
    assert [row["run"] for row in rows] == ["trials/000", "trials/000", "trials/002"]
    assert [row["state"] for row in rows] == ["interrupted", "complete", "complete"]
    for row in rows:
        assert zoo.load(str(Path("study", row["run"])))
    assert main(["tune", "--resume", "--out", "study"]) == 2
    assert main(["meta-train", "--resume", "--out", "study"]) == 2
    errors = capsys.readouterr().err
    assert "the run in study is finished: choose another --out" in errors
    assert "study holds a study: go on with synthenv tune" in errors


def test_how_to_go_on_after_ctrl_c(monkeypatch, capsys):
    def interrupt(command):
        command.out.mkdir()
        (command.out / "config.json").touch()
        raise KeyboardInterrupt

    monkeypatch.setattr(tune_command, "tune", interrupt)
    assert main(["tune", "--out", "some place"]) == 130
    assert "synthenv tune --resume --out 'some place' goes on" in capsys.readouterr().err


def test_without_optuna_there_is_one_line(monkeypatch, capsys):
    monkeypatch.delitem(sys.modules, "synthenv.runs.tune.study")
    monkeypatch.delattr("synthenv.runs.tune.study")
    monkeypatch.setitem(sys.modules, "optuna", None)
    assert main(["tune"]) == 2
    assert "pip install 'synthenv[hpo]'" in capsys.readouterr().err
