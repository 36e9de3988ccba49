"""A command that is stopped says what can be gone on with, and one that is to go on does so only where something is."""

import json
import os
import signal
from pathlib import Path

import pytest

from synthenv.cli import main
from synthenv.core import files
from synthenv.core.files import write_atomic
from synthenv.runs import interruption
from synthenv.runs.demo import command as demo_command
from synthenv.runs.evaluate import learning_curves, plot_command
from synthenv.runs.list_names import command as list_names_command
from synthenv.runs.meta_train import command as meta_train_command
from synthenv.runs.meta_train.config import to_stored
from synthenv.runs.oswm.benchmark import command as benchmark_command
from synthenv.runs.oswm.pretrain import command as pretrain_command
from synthenv.runs.oswm.run import command as oswm_run_command
from synthenv.runs.training import evaluation, places
from synthenv.runs.tune import command as tune_command

RESUMABLE = {
    "meta-train": (meta_train_command, "meta_train"),
    "demo": (demo_command, "demo"),
    "tune": (tune_command, "tune"),
    "oswm run": (oswm_run_command, "run"),
    "oswm pretrain": (pretrain_command, "pretrain"),
    "oswm benchmark": (benchmark_command, "benchmark_with_bars"),
}
ARGUMENTS = {"oswm run": ["--task", "CartPole-v0"]}


@pytest.fixture(autouse=True)
def _somewhere(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)


def play(monkeypatch, name, *names, interrupt=signal.SIGINT):
    """Make the command write these files to its directory and be interrupted then; returns where they were written."""
    written = []

    def work(*args):
        out = args[0].out if hasattr(args[0], "out") else next(arg for arg in args if isinstance(arg, Path))
        out.mkdir(parents=True, exist_ok=True)
        written.append(out)
        for file in names:
            (out / file).write_text("{}")
        if interrupt == signal.SIGINT:
            raise KeyboardInterrupt
        os.kill(os.getpid(), interrupt)
        pytest.fail("it went on")

    monkeypatch.setattr(*RESUMABLE[name], work)
    return written


def words_of(name, *more):
    return [*name.split(), *ARGUMENTS.get(name, []), *more]


@pytest.mark.parametrize("name", RESUMABLE)
@pytest.mark.parametrize("out", [None, "a b"])
def test_the_line_that_tells_how_to_go_on_is_true(monkeypatch, capsys, name, out):
    where = [] if out is None else ["--out", out]
    written = play(monkeypatch, name)
    assert main(words_of(name, *where)) == 130
    assert (
        capsys.readouterr().err
        == "\nsynthenv: interrupted before anything was begun: there is nothing to resume\n"
    )
    assert not Path("runs").exists(), "an empty directory was left"

    play(monkeypatch, name, "config.json")
    assert main(words_of(name, *where)) == 130
    (told,) = capsys.readouterr().err.strip().splitlines()
    shown = "'a b'" if out else f"{next(Path('runs').iterdir())}"
    assert told == f"synthenv: interrupted; synthenv {name} --resume --out {shown} goes on"
    assert len(written) == 1


@pytest.mark.parametrize("name", RESUMABLE)
def test_what_is_finished_cannot_be_gone_on_with(monkeypatch, capsys, name):
    play(monkeypatch, name, "config.json", "result.json")
    assert main(words_of(name, "--out", "done")) == 130
    told = capsys.readouterr().err
    if name in ("demo", "oswm benchmark"):  # its agents come after the search; a benchmark has no such file
        assert f"synthenv {name} --resume --out done goes on" in told
    else:
        assert told == "\nsynthenv: interrupted; the run in done is finished\n"


@pytest.mark.parametrize("name", RESUMABLE)
def test_sigterm_ends_a_command_as_ctrl_c_does(monkeypatch, capsys, name):
    play(monkeypatch, name, "config.json", interrupt=signal.SIGTERM)
    assert main(words_of(name, "--out", "run")) == 143
    assert f"synthenv: interrupted; synthenv {name} --resume --out run goes on" in capsys.readouterr().err
    assert signal.getsignal(signal.SIGTERM) == signal.SIG_DFL


def test_who_has_other_plans_for_sigterm_keeps_them():
    def plans(number, frame):
        pass

    before = signal.signal(signal.SIGTERM, plans)
    try:
        with interruption.heard():
            assert signal.getsignal(signal.SIGTERM) is plans
        assert signal.getsignal(signal.SIGTERM) is plans
    finally:
        signal.signal(signal.SIGTERM, before)


# ---------------------------------------------------------------- --resume


@pytest.mark.parametrize("name", RESUMABLE)
@pytest.mark.parametrize("more", [[], ["--json", "x.json", "--devices", "1"]])
def test_resume_alone_needs_something_to_resume(monkeypatch, capsys, name, more):
    """Or else the defaults would begin, which nobody has asked for."""
    play(monkeypatch, name)
    Path("killed").mkdir()
    Path("killed/.lock").touch()
    for out in ("nothing", "killed"):
        assert main([*name.split(), "--resume", "--out", out, *more]) == 2
        assert f"synthenv: there is nothing to resume in {out}: check the path" in capsys.readouterr().err
    assert [path.name for path in Path().iterdir()] == ["killed"]


def test_a_job_that_may_be_killed_at_any_moment_begins_with_its_flags(monkeypatch, capsys):
    play(monkeypatch, "meta-train", "config.json")
    assert main(["meta-train", "--resume", "--preset=fast", "--out", "new"]) == 130
    play(monkeypatch, "demo", "config.json")
    assert main(["demo", "--resume", "--seed", "3", "--out", "newer"]) == 130


@pytest.mark.parametrize("name", RESUMABLE)
def test_a_directory_of_another_command_is_told(capsys, name):
    owner = "oswm run" if name != "oswm run" else "oswm pretrain"
    Path("run").mkdir()
    Path("run/config.json").write_text(json.dumps({"config": {"command": owner}}))
    assert main([*name.split(), "--resume", "--out", "run"]) == 2
    assert f"run holds a run of {owner}: go on with synthenv {owner}" in capsys.readouterr().err


# ---------------------------------------------------------------- places are tried before the work


def never(*args, **kwargs):
    pytest.fail("it worked before it knew where to write")


@pytest.mark.parametrize(
    ("words", "owner", "work"),
    [
        ("train --env CartPole-v0 --json FILE", evaluation, "evaluate"),
        ("evaluate --proxy synthetic/CartPole-v0:0 --json FILE", evaluation, "evaluate"),
        ("evaluate --proxy synthetic/CartPole-v0:0 --curves --out FILE", learning_curves, "learn"),
        ("evaluate --proxy synthetic/CartPole-v0:0 --curves", learning_curves, "learn"),
        ("plot synthetic/CartPole-v0:0 --out FILE", plot_command, "_synthetic"),
        ("plot synthetic/CartPole-v0:0", plot_command, "_synthetic"),
        ("list --json FILE", list_names_command, "list_names"),
        *((" ".join(words_of(name, "--out", "FILE")), *where) for name, where in RESUMABLE.items()),
        *((" ".join(words_of(name)), *where) for name, where in RESUMABLE.items()),
    ],
)
def test_a_place_that_cannot_be_written_is_told_before_the_work(monkeypatch, capsys, words, owner, work):
    """A folder that is read-only, and so is what stands for one that the command is to make."""

    def read_only(path, data):
        raise OSError(30, "Read-only file system")

    def make_read_only(self, *args, **kwargs):
        raise OSError(30, "Read-only file system")

    monkeypatch.setattr(owner, work, never)
    monkeypatch.setattr(files, "_write_new", read_only)
    monkeypatch.setattr(Path, "mkdir", make_read_only)
    assert main(words.replace("FILE", "here").split()) == 2
    errors = capsys.readouterr().err
    assert "Read-only file system): change its permissions or choose another place" in errors
    assert errors.count("\n") == 1


def test_rows_of_curves_are_tried_for_before_the_first_is_trained(monkeypatch, tmp_path):
    (tmp_path / "file").touch()
    monkeypatch.setattr(learning_curves, "learn", never)
    with pytest.raises(files.MachineError, match="cannot use"):
        learning_curves.evaluate_curves(
            ["synthetic/CartPole-v0:0"], None, 2, baselines=False, store=tmp_path / "file" / "rows"
        )


def test_results_go_to_what_is_no_file_too(monkeypatch):
    monkeypatch.setattr(list_names_command, "list_names", lambda command: {"tasks": 1})
    assert main(["list", "--json", "/dev/null"]) == 0
    assert not Path("/dev/null").is_file()
    assert main(["list", "--json", "x.json"]) == 0
    assert json.loads(Path("x.json").read_text())["results"] == {"tasks": 1}


# ---------------------------------------------------------------- the demo


def test_a_demo_whose_search_is_done_goes_on_with_its_agents(monkeypatch, capsys):
    """Ctrl-C has just said so."""
    config, out = demo_command.synthetic_presets.FAST, Path("demo")
    asked = {"command": "meta-train", "seed": 4, **to_stored(config)}
    result = {"solved": True, "generations": 3, "seconds": 1.0, "best_incumbent": 196.0}
    out.mkdir()
    stored = {"config": asked, "environment": {}}
    for name, content in (("config.json", stored), ("result.json", result), ("best_proxy.safetensors", None)):
        write_atomic(out / name, files.to_json(content).encode())
    row = {"mean_return": 1.0, "num_agents": 1}
    monkeypatch.setattr(demo_command, "meta_train", never)
    monkeypatch.setattr(demo_command, "return_table", lambda title, rows: None)
    monkeypatch.setattr(places, "resolve", lambda name: places.Place(name, None, None, None, config.agent))  # type: ignore[arg-type]
    for name, found in (("run_agents", None), ("untrained", None), ("summarise", row)):
        monkeypatch.setattr(evaluation, name, lambda *args, found=found: found)
    assert main(["demo", "--resume", "--out", "demo", "--json", "x.json"]) == 0
    assert json.loads(Path("x.json").read_text())["results"]["meta_train"] == result
    assert "The search in demo is done: solved after 3 generations" in capsys.readouterr().out
    assert main(["demo", "--resume", "--out", "demo", "--seed", "5"]) == 2
    assert "begun with seed = 4, not 5" in capsys.readouterr().err
