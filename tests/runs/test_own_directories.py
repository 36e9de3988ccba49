"""Directories that commands make for themselves, clear, hold on to, and ask for more."""

import threading
from pathlib import Path

import pytest

from synthenv.core.checkpoint import CheckpointStore
from synthenv.core.errors import MachineError, UserError
from synthenv.runs.oswm.benchmark import run as benchmark
from synthenv.runs.oswm.benchmark.arguments import OswmBenchmark
from synthenv.runs.oswm.pretrain import run as pretrain
from synthenv.runs.storage import locked_directory
from synthenv.runs.storage.run_directory import RunDir, finished_result
from synthenv.runs.storage.stored_config import with_contents

GROWS = "outer.size"


@pytest.fixture(autouse=True)
def _somewhere(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)


def config(size, seed=0):
    return {"outer": {"size": size, "other": 1}, "seed": seed}


def finish(path, **asked):
    with RunDir.create(path, config(**asked), grows=GROWS) as run:
        run.append_metrics({"generation": 0})
        run.best_proxy.touch()
        run.save_result({"size": asked["size"]})
        return run.digest


# ---------------------------------------------------------------- a directory of one's own


def test_commands_that_start_together_get_a_directory_each():
    """The slash of a task makes no directory."""
    ready, names = threading.Barrier(8), []

    def claim():
        ready.wait()
        with locked_directory.claimed("se-brax/reacher-seed0") as path:
            (path / "config.json").touch()
            names.append(path.as_posix())

    threads = [threading.Thread(target=claim) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    first = "runs/se-brax-reacher-seed0"
    assert sorted(names) == sorted([first, *(f"{first}-{number}" for number in range(2, 9))])


def test_a_directory_in_which_nothing_was_begun_goes_away():
    with locked_directory.claimed("x") as path:
        (path / ".lock").touch()
    assert not Path("runs").exists()
    Path("runs/old").mkdir(parents=True)
    with locked_directory.claimed("x") as path:
        assert path.is_dir()
    assert [path.name for path in Path("runs").iterdir()] == ["old"]


def test_a_place_that_cannot_be_made_is_told():
    Path("runs").write_text("a file")
    with pytest.raises(MachineError, match="cannot use runs"), locked_directory.claimed("x"):
        pytest.fail("it was let in")


# ---------------------------------------------------------------- leftovers


def test_leftovers_go_from_subfolders_but_not_from_what_others_lock():
    own, others = Path("run/policies"), Path("run/trials/000")
    for place in (own, others):
        place.mkdir(parents=True)
        (place / ".x.1.tmp").touch()
    (others / ".lock").touch()
    with locked_directory.locked(Path("run")):
        assert not list(own.iterdir()) and (others / ".x.1.tmp").exists()
    (own / ".x.2.tmp").touch()
    Path("run/.lock").unlink()
    Path("run/config.json").write_text('{"config": {}, "environment": {}}')
    RunDir.create("run", {}, resume=True).close()
    assert not list(own.iterdir())


# ---------------------------------------------------------------- more of a run


def test_a_finished_run_can_be_asked_for_more():
    """It is the run that was asked for as much at once: the same identity, the same config on record."""
    digest = finish(Path("run"), size=3)
    with pytest.raises(
        UserError, match=r"is finished: choose another --out, or --resume with a larger --outer.size"
    ):
        RunDir.create("run", config(5), grows=GROWS)
    with RunDir.create("run", config(5), resume=True, grows=GROWS) as run:
        assert run.resumed and run.digest == digest and not Path("run/result.json").exists()
        assert len(run.read_metrics()) == 1
    RunDir.create("run", config(5), resume=True, grows=GROWS).close()
    for size, seed, words in ((4, 0, "outer.size = 5, not 4"), (6, 1, "seed = 0, not 1")):
        with pytest.raises(UserError, match=f"begun with {words}"):
            RunDir.create("run", config(size, seed), resume=True, grows=GROWS)


def test_a_run_killed_while_it_was_asked_for_more_goes_on(monkeypatch):
    finish(Path("run"), size=3)

    def killed(*args):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("synthenv.runs.storage.stored_config.write_atomic", killed)
        with pytest.raises(KeyboardInterrupt):
            RunDir.create("run", config(5), resume=True, grows=GROWS)
    for size in (3, 5):  # it is an unfinished run of three by now
        RunDir.create("run", config(size), resume=True, grows=GROWS).close()


def test_what_cannot_grow_is_refused():
    finish(Path("run"), size=3)
    with pytest.raises(UserError, match=r"is finished: choose another --out$"):
        RunDir.create("run", config(5), resume=True)


def test_only_a_finished_run_of_the_same_config_has_a_result():
    assert finished_result(Path("run"), config(3), GROWS) is None
    finish(Path("run"), size=3)
    assert finished_result(Path("run"), config(3), GROWS) == {"size": 3}
    assert finished_result(Path("run"), config(4), GROWS) is None, "there is more to do"
    with pytest.raises(UserError, match="begun with seed = 0, not 1"):
        finished_result(Path("run"), config(3, seed=1), GROWS)


def test_checkpoints_of_older_versions_are_those_of_the_run():
    with RunDir.create("run", config(3), grows=GROWS) as run:
        CheckpointStore("checkpoints", owner=run.former_digest).save(1, {"a": 1.0}, {})
        assert run.digest != run.former_digest
        store = CheckpointStore("checkpoints", owner=run.digest, former_owner=run.former_digest)
        assert store.restore({"a": 0.0}) is not None
        with pytest.raises(UserError, match="written by another run"):
            CheckpointStore("checkpoints", owner=run.digest).restore({"a": 0.0})


def test_a_pretraining_that_lost_its_checkpoints_does_not_begin_anew():
    asked = {
        "command": "oswm pretrain",
        "preset": None,
        "form": "small",
        "pretrain": {},
        "real": pretrain.NOTHING_REAL,
        "seed": 0,
        "steps_per_line": 100,
    }
    with RunDir.create("run", asked) as run:
        for generation in range(2):
            run.append_metrics({"generation": generation})
    method = pretrain.SMALL._replace(init=lambda key, config: {"a": 1.0})
    with pytest.raises(UserError, match="has metrics but no checkpoints: put them back"):
        pretrain.run({}, 0, "run", resume=True, method=method)


# ---------------------------------------------------------------- what a name stands for


def test_the_contents_behind_a_name_must_stay_the_same():
    asked = {"model": "small", "contents": {"small": "1"}}
    RunDir.create("run", asked).close()
    with pytest.raises(UserError, match=r'begun with contents.small = "1", not "2"'):
        RunDir.create("run", asked | {"contents": {"small": "2"}}, resume=True)


def test_what_is_not_on_record_contradicts_nothing_and_is_told():
    RunDir.create("run", {"model": "small"}).close()
    with RunDir.create("run", {"model": "small", "contents": {"small": "2"}}, resume=True) as run:
        assert run.notes == ["what small held when the run was begun is not on record"]
    assert with_contents({"a": 1}, {"a": 1}) == {"a": 1}


def test_a_benchmark_looks_again_once_it_has_the_lock(monkeypatch):
    """Another one may have begun between the first look and the lock."""
    lock = locked_directory.locked

    def begun_meanwhile(path):
        path.mkdir()
        (path / "config.json").write_text('{"config": {"command": "oswm benchmark"}}')
        return lock(path)

    monkeypatch.setattr(locked_directory, "locked", begun_meanwhile)
    monkeypatch.setattr(benchmark, "write_atomic", lambda *args: pytest.fail("it was written"))
    with pytest.raises(UserError, match="holds a benchmark: pass --resume"):
        benchmark.run(OswmBenchmark(tables=("1",), models=("ridge",)), Path("bench"), None)  # type: ignore[arg-type]
