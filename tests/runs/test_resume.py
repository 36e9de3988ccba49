"""A run that is interrupted anywhere and resumed is the run that was never interrupted, bit for bit."""

import functools
import itertools
import os
import random
import signal
import subprocess
import time
from dataclasses import replace

import jax
import pytest

from experiments import searches
from synthenv.cli import main
from synthenv.core.errors import UserError
from synthenv.runs.meta_train import run as runs
from synthenv.runs.meta_train.synthetic_presets import SMOKE
from synthenv.runs.storage import metrics
from tests.tiny_run import COMMAND, FLAGS, REPO, TINY, environment, of_length, story

pytestmark = pytest.mark.rank_promotion_ok
NUM_GENERATIONS = 150  # of the run that is killed from outside: seconds

search_once = functools.cache(runs.Search)  # the whole file compiles once


@pytest.fixture(autouse=True)
def _compile_once(monkeypatch):
    monkeypatch.setattr(runs, "Search", search_once)


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """What a run of three generations says that was never interrupted."""
    path = tmp_path_factory.mktemp("whole") / "run"
    with pytest.MonkeyPatch.context() as patch, jax.numpy_rank_promotion("allow"):
        patch.setattr(runs, "Search", search_once)
        runs.meta_train(TINY, 0, path)
    return story(path)


class Interrupted(BaseException):
    """Stands for whatever ends a process."""


def stop_after(num_generations):
    """A callback that interrupts after so many generations."""

    def on_generation(line):
        if line["generation"] + 1 == num_generations:
            raise Interrupted

    return on_generation


def begin(path, num_generations):
    """An unfinished run."""
    with pytest.raises(Interrupted):
        runs.meta_train(TINY, 0, path, on_generation=stop_after(num_generations))
    assert len(metrics.read(path)) == num_generations


def test_interrupted_between_generations(tmp_path, whole):
    path = tmp_path / "run"
    begin(path, 1)
    with pytest.raises(Interrupted):
        runs.meta_train(TINY, 0, path, resume=True, on_generation=stop_after(2))
    result = runs.meta_train(TINY, 0, path, resume=True)
    assert story(path) == whole
    assert result["generations"] == 3 and result["total_train_steps"] == sum(
        line["total_train_steps"] for line in whole["metrics"]
    )


def test_a_finished_search_is_given_more_generations(tmp_path, whole, monkeypatch):
    """It is then the search that was asked for as many at once, bit for bit."""
    path, search = tmp_path / "run", search_once(TINY, 0)
    monkeypatch.setattr(runs, "Search", lambda config, seed: search)
    runs.meta_train(of_length(2), 0, path)
    result = runs.meta_train(TINY, 0, path, resume=True)
    assert story(path) == whole and result["generations"] == 3
    assert runs.finished_result(TINY, 0, path) == result
    with pytest.raises(UserError, match="is finished: choose another --out"):
        runs.meta_train(of_length(2), 0, path, resume=True)


def test_an_experiment_goes_on_with_a_search_of_the_same_config_only(tmp_path, whole, monkeypatch):
    """Begun, finished, or finished with fewer generations; one of another config is left alone."""
    path, search = tmp_path / "run", search_once(TINY, 0)
    monkeypatch.setattr(runs, "Search", lambda config, seed: search)
    with pytest.raises(Interrupted):
        runs.meta_train(of_length(2), 0, path, on_generation=stop_after(1))
    other = replace(TINY, agent=replace(TINY.agent, discount=0.5))
    for length in (2, 3, 3):
        with pytest.raises(UserError, match=r"begun with agent.discount = 0.99, not 0.5"):
            searches.finish(other, 0, path)
        assert len(searches.finish(of_length(length), 0, path)) == length
    assert story(path) == whole


def test_a_lost_proxy_is_written_anew(tmp_path, whole):
    """By --resume alone, from the last checkpoint; a finished run that has it is left alone."""
    path = tmp_path / "run"
    runs.meta_train(TINY, 0, path)
    (path / "best_proxy.safetensors").unlink()
    with pytest.raises(UserError, match="is finished"):
        runs.meta_train(TINY, 0, path)
    runs.meta_train(TINY, 0, path, resume=True)
    assert story(path) == whole
    with pytest.raises(UserError, match="is finished"):
        runs.meta_train(TINY, 0, path, resume=True)


def test_interrupted_at_every_write(tmp_path, whole, monkeypatch):
    """Before each write to the disk in turn: of the config, the metrics, a checkpoint, the proxy, the result."""
    fsync = os.fsync
    for point in itertools.count(1):
        path = tmp_path / f"run{point}"
        calls = itertools.count(1)

        def interrupt(descriptor, point=point, calls=calls):
            if next(calls) == point:
                raise Interrupted
            fsync(descriptor)

        with monkeypatch.context() as patch:
            patch.setattr(os, "fsync", interrupt)
            try:
                runs.meta_train(TINY, 0, path)
            except Interrupted:
                pass
            else:
                break  # the run has fewer writes
        if not (path / "result.json").exists():
            runs.meta_train(TINY, 0, path, resume=True, notify=lambda line: None)
        assert story(path) == whole, f"interrupted at write {point}"
    assert point > 3 * 3  # a line and a checkpoint (file and directory) for each of three generations


@pytest.mark.long
def test_killed_from_outside_at_random_times(tmp_path):
    """SIGKILL, SIGKILL and Ctrl-C at times that nobody chose, the rest in this process."""
    path, config = tmp_path / "run", of_length(NUM_GENERATIONS)
    reached = []
    for number in (signal.SIGKILL, signal.SIGKILL, signal.SIGINT):
        kill_once(path, number, reached[-1] if reached else 0)
        reached.append(len(metrics.read(path)))
    runs.meta_train(config, 0, path, resume=True)
    runs.meta_train(config, 0, tmp_path / "whole")
    assert reached == sorted(reached) and reached[0] > 0 and reached[-1] < NUM_GENERATIONS, reached
    assert story(path) == story(tmp_path / "whole")


def kill_once(path, number, num_lines):
    """Start or go on with the run in a process, and end it some time after it has written a new line."""
    # A shell that starts the tests in the background makes them, and so their children, ignore Ctrl-C.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    options = ["--outer.num-generations", str(NUM_GENERATIONS), "--devices", "1", "--resume", "--out", path]
    with subprocess.Popen(
        [*COMMAND, *FLAGS, *options],
        cwd=REPO,
        env=environment(),
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            deadline = time.monotonic() + 120
            while process.poll() is None and time.monotonic() < deadline:
                if len(metrics.read(path)) > num_lines:
                    break
                time.sleep(0.005)
            time.sleep(random.uniform(0.0, 0.25))
            process.send_signal(number)
            _, errors = process.communicate(timeout=60)
        finally:
            process.kill()
    if number == signal.SIGINT:
        assert process.returncode == 130, errors
        assert errors.strip() == f"synthenv: interrupted; synthenv meta-train --resume --out {path} goes on"
    else:
        assert process.returncode == -number, errors


def test_a_damaged_checkpoint_is_passed_over_and_told(tmp_path, whole, capsys):
    path = tmp_path / "run"
    begin(path, 2)
    newest = path / "checkpoints" / "step_00000002.safetensors"
    data = bytearray(newest.read_bytes())
    data[len(data) // 2] ^= 1
    newest.write_bytes(data)
    assert main(["meta-train", *FLAGS, "--out", str(path), "--resume"]) == 0
    said = " ".join(capsys.readouterr().out.split())
    assert "step_00000002.safetensors is damaged" in said and "going on from step 1" in said
    assert story(path) == whole


def test_finished_runs_and_other_configs_are_refused(tmp_path, capsys):
    finished, begun = tmp_path / "finished", tmp_path / "begun"
    runs.meta_train(TINY, 0, finished)
    begin(begun, 1)
    before = {p: p.read_bytes() for p in tmp_path.rglob("*") if p.is_file()}
    for out, options, words in (
        (finished, [], "is finished: choose another --out"),
        (finished, ["--resume"], "is finished: choose another --out"),
        (begun, [], "pass --resume to go on"),
        (begun, ["--resume", "--agent.discount", "0.5"], "begun with agent.discount = 0.99, not 0.5"),
        (begun, ["--resume", "--seed", "1"], "begun with seed = 0, not 1"),
    ):
        assert main(["meta-train", *FLAGS, "--out", str(out), *options]) == 2
        errors = capsys.readouterr().err
        assert words in errors and errors.count("\n") == 1
    assert {p: p.read_bytes() for p in tmp_path.rglob("*") if p.is_file()} == before


def test_checkpoints_that_vanished_are_missed(tmp_path):
    path = tmp_path / "run"
    begin(path, 2)
    for file in (path / "checkpoints").iterdir():
        file.unlink()
    with pytest.raises(UserError, match="has metrics but no checkpoints"):
        runs.meta_train(TINY, 0, path, resume=True)


def test_no_generation_after_the_first_compiles(monkeypatch):
    """One trace per program, with two shapes of agents in every generation."""
    monkeypatch.undo()
    variation = TINY.agent.variation._replace(depth=(1, 2))
    search = runs.Search(replace(SMOKE, agent=replace(TINY.agent, variation=variation)), seed=0)
    state, _ = search.advance(search.start())
    first = dict(search.runner.num_traces)
    assert len(first) == 2 and set(first.values()) == {1}
    for _ in range(2):
        state, _ = search.advance(state)
    assert dict(search.runner.num_traces) == first
