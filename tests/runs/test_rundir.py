"""Run directories: one writer, nothing overwritten, nothing lost, nothing twice."""

import json
import math
import os
import signal
import subprocess
import sys

import numpy as np
import pytest

from synthenv.core.errors import UserError
from synthenv.outer.config import OuterConfig
from synthenv.runs.storage import metrics
from synthenv.runs.storage.run_directory import RunDir

CONFIG = {"task": "CartPole-v0", "outer": OuterConfig(num_generations=5), "seed": 0}


@pytest.fixture
def path(tmp_path):
    return tmp_path / "runs" / "one"


@pytest.fixture
def begun(path):
    """An unfinished run of three generations."""
    with RunDir.create(path, CONFIG) as run:
        for generation in range(3):
            run.append_metrics({"generation": generation, "score": 1.0})
    return path


def contents(path):
    return {p.relative_to(path).as_posix(): p.read_bytes() for p in path.rglob("*") if p.is_file()}


def test_a_fresh_run_records_how_it_began(path, monkeypatch):
    monkeypatch.setattr(sys, "argv", ["/somewhere/bin/synthenv", "meta-train", "--out", "a b"])
    with RunDir.create(path, CONFIG) as run:
        assert not run.resumed and run.notes == []
        assert run.checkpoints.parent == run.best_proxy.parent == run.plots.parent == path
    stored = json.loads((path / "config.json").read_text())
    assert stored["config"] == {"task": "CartPole-v0", "outer": OuterConfig(5)._asdict(), "seed": 0}
    assert stored["environment"]["command"] == "synthenv meta-train --out 'a b'"
    assert {"synthenv", "jax", "python", "device_kind", "num_devices", "started"} <= set(
        stored["environment"]
    )


def test_an_unfinished_run_asks_for_resume(begun):
    before = contents(begun)
    with pytest.raises(UserError, match="pass --resume to go on, or choose another --out"):
        RunDir.create(begun, CONFIG)
    assert contents(begun) == before
    with RunDir.create(begun, CONFIG, resume=True) as run:
        assert run.resumed and run.notes == []
    assert contents(begun) == before


@pytest.mark.parametrize("resume", [False, True])
def test_a_finished_run_is_never_written(begun, resume):
    with RunDir.create(begun, CONFIG, resume=True) as run:
        run.best_proxy.touch()
        run.save_result({"solved": True, "score": math.inf})
    before = contents(begun)
    assert json.loads(before["result.json"]) == {"solved": True, "score": None}
    with pytest.raises(UserError, match="finished: choose another --out"):
        RunDir.create(begun, CONFIG, resume=resume)
    assert contents(begun) == before


@pytest.mark.parametrize("resume", [False, True])
def test_a_directory_of_something_else_is_left_alone(tmp_path, resume):
    (tmp_path / "thesis.tex").write_text("x")
    with pytest.raises(UserError, match=r"holds no run \(thesis.tex\): choose another --out"):
        RunDir.create(tmp_path, CONFIG, resume)
    assert contents(tmp_path) == {"thesis.tex": b"x"}
    with pytest.raises(UserError, match="is a file"):
        RunDir.create(tmp_path / "thesis.tex", CONFIG, resume)


def test_a_run_without_its_config_is_named(begun):
    begun.joinpath("checkpoints").mkdir()
    begun.joinpath("config.json").unlink()
    with pytest.raises(UserError, match=r"has lost its config.json: put it back"):
        RunDir.create(begun, CONFIG, resume=True)


def test_a_run_killed_while_it_began_begins_again(path):
    path.mkdir(parents=True)
    (path / ".lock").touch()
    (path / ".config.json.1.tmp").write_text("{")
    with RunDir.create(path, CONFIG, resume=True) as run:
        assert not run.resumed
    assert set(contents(path)) == {".lock", "config.json"}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"seed": 1}, "seed = 0, not 1"),
        ({"outer": OuterConfig(num_generations=6)}, "outer.num_generations = 5, not 6"),
        ({"extra": None}, 'extra = "absent", not null'),
    ],
)
def test_another_config_is_refused(begun, change, message):
    before = contents(begun)
    with pytest.raises(UserError, match=message):
        RunDir.create(begun, {**CONFIG, **change}, resume=True)
    assert contents(begun) == before


def test_another_machine_is_noted(begun):
    stored = json.loads((begun / "config.json").read_text())
    stored["environment"]["jax"] = "0.0.1"
    (begun / "config.json").write_text(json.dumps(stored))
    with RunDir.create(begun, CONFIG, resume=True) as run:
        assert len(run.notes) == 1 and run.notes[0].startswith("jax was 0.0.1 and is ")


def test_a_damaged_config_is_one_line(begun):
    (begun / "config.json").write_text('{"config": ')
    with pytest.raises(UserError, match=r"config.json is damaged: put back a copy"):
        RunDir.create(begun, CONFIG, resume=True)


def test_the_digest_tells_configs_apart(tmp_path):
    digests = []
    for name, seed in (("a", 0), ("b", 0), ("c", 1)):
        with RunDir.create(tmp_path / name, {**CONFIG, "seed": seed}) as run:
            digests.append(run.digest)
    assert digests[0] == digests[1] != digests[2]


HOLD = """
import sys
from synthenv.runs.storage.run_directory import RunDir
run = RunDir.create(sys.argv[1], {})
print("locked", flush=True)
sys.stdin.read()
"""


def test_one_writer_until_it_dies(path):
    command = [sys.executable, "-c", HOLD, str(path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None and process.stdout.readline() == "locked\n"
        with pytest.raises(UserError, match="another process is writing"):
            RunDir.create(path, {}, resume=True)
        process.send_signal(signal.SIGKILL)
    with RunDir.create(path, {}, resume=True) as run:
        assert run.resumed
        with pytest.raises(UserError, match="another process is writing"):
            RunDir.create(path, {}, resume=True)
    RunDir.create(path, {}, resume=True).close()


def test_metrics_are_strict_json_and_readable_at_once(path):
    with RunDir.create(path, CONFIG) as run:
        assert run.read_metrics() == []
        run.append_metrics({"generation": 0, "score": math.nan, "scores": np.array([1.0, -math.inf])})
        text = (path / "metrics.jsonl").read_text()
        assert text == '{"generation": 0, "score": null, "scores": [1.0, null]}\n'
        assert run.read_metrics() == [{"generation": 0, "score": None, "scores": [1.0, None]}]


def test_a_resumed_run_has_no_line_twice(begun):
    file = begun / "metrics.jsonl"
    whole = file.read_text()
    file.write_text(whole + '{"generation": 3, "sc')  # killed in the middle of a line
    assert len(metrics.read(begun)) == 3
    with RunDir.create(begun, CONFIG, resume=True) as run:
        run.truncate_metrics(2)
        for generation in (2, 3):
            run.append_metrics({"generation": generation, "score": 1.0})
        assert [line["generation"] for line in run.read_metrics()] == [0, 1, 2, 3]
    assert file.read_text().startswith(whole)


def test_a_half_line_goes_even_if_no_generation_does(begun):
    whole = (begun / "metrics.jsonl").read_bytes()
    for half in (b'{"generation": 3', b"\xff\xc3", b"3"):
        (begun / "metrics.jsonl").write_bytes(whole + half)
        with RunDir.create(begun, CONFIG, resume=True) as run:
            run.truncate_metrics(3)
        assert (begun / "metrics.jsonl").read_bytes() == whole


def test_a_full_disk_leaves_whole_lines(begun, monkeypatch):
    before = contents(begun)
    real_write = os.write

    def write(descriptor, data):
        if len(data) > 5:
            return real_write(descriptor, data[:5])
        raise OSError(28, "No space left on device")

    with RunDir.create(begun, CONFIG, resume=True) as run:
        with monkeypatch.context() as patch:
            patch.setattr(os, "write", write)
            for act in (
                lambda: run.append_metrics({"generation": 3}),
                lambda: run.truncate_metrics(1),
                lambda: run.save_result({"solved": True}),
            ):
                with pytest.raises(UserError, match=r"No space left on device.*free some space"):
                    act()
        assert contents(begun) == before
        run.append_metrics({"generation": 3})
        assert len(run.read_metrics()) == 4


def read_events(path):
    """Every event of a run, in TensorBoard's order, by the record format: length, crc, data, crc."""
    from tensorboardX.proto import event_pb2

    for file in sorted((path / "tb").iterdir()):
        data = file.read_bytes()
        while data:
            length = int.from_bytes(data[:8], "little")
            yield event_pb2.Event.FromString(data[12 : 12 + length])
            data = data[16 + length :]


def test_scalars_reach_the_event_file(begun):
    with RunDir.create(begun, CONFIG, resume=True) as run:
        run.append_metrics({"generation": 1, "score": 2.5, "scores": [1.0], "note": "x", "best": None})
        events = list(read_events(begun))  # flushed before the run is closed
    scalars = [(e.step, {v.tag: v.simple_value for v in e.summary.value}) for e in events if e.summary.value]
    assert scalars == [
        *((step, {"generation": step, "score": 1.0}) for step in range(3)),
        (1, {"generation": 1, "score": 2.5}),
    ]
    starts = [e.step for e in events if e.session_log.status == e.session_log.START]
    assert starts == [0, 1]  # TensorBoard hides what came from the second start on
