"""The report: complete, self-contained, and made of whatever a run has left so far."""

import base64
import io
import json
import re
import struct
import warnings

import numpy as np
import pytest

from synthenv.core.errors import UserError
from synthenv.runs.meta_train import report_plot
from synthenv.runs.meta_train.report import write_report
from synthenv.runs.meta_train.report_plot import draw_progress

CONFIG = {"command": "meta-train", "task": "CartPole-v0", "seed": 3, "outer": {"solved_score": None}}
ENVIRONMENT = {"command": "synthenv meta-train --out run --seed 3", "jax": "0.11"}


def line(generation: int) -> dict:
    generator = np.random.default_rng(generation)
    return {
        "generation": generation,
        "incumbent_mean": 50.0 + generation,
        "deciding_mean": 47.0 if generation == 3 else None,
        "incumbent_scores": generator.normal(50, 9, 4).tolist(),
        "member_mean": 45.0,
        "member_scores": generator.normal(45, 20, 8).tolist(),
        "train_steps_mean": 1200.5,
        "train_steps": generator.integers(500, 2000, 12).tolist(),
        "episodes_mean": 12.0,
        "seconds": 2.0,
        "cpu_seconds": 3.5,
        "busy_share": 0.9,
        "best_incumbent": 50.0 + generation,
        "total_train_steps": 14406,
    }


def make_run(path, lines, result=None, config=CONFIG, environment=ENVIRONMENT):
    path.mkdir(exist_ok=True)
    (path / "config.json").write_text(json.dumps({"config": config, "environment": environment}))
    (path / "metrics.jsonl").write_text("".join(json.dumps(fields) + "\n" for fields in lines))
    if result is not None:
        (path / "result.json").write_text(json.dumps(result))
    return path


def png_size(data: bytes) -> tuple[int, int]:
    assert data.startswith(b"\x89PNG\r\n\x1a\n")
    return struct.unpack(">II", data[16:24])


def test_a_finished_run(tmp_path):
    run = make_run(tmp_path / "my run", [line(g) for g in range(5)], {"solved": True, "generations": 5})
    report = write_report(run)
    page, png = report.read_text("utf-8"), (run / "plots" / "progress.png").read_bytes()
    assert report == run / "report.html"
    assert min(png_size(png)) > 900
    assert base64.b64decode(re.search(r"base64,([^\"]+)\"", page)[1]) == png
    for expected in (
        "finished after 5 generations, solved",
        "solved at 195",
        "<b>54</b>",
        "<b>72,030</b>",
        "10.0 s",
    ):
        assert expected in page
    assert f"synthenv evaluate --proxy &#x27;{run}&#x27; --num-agents 40 --vary-hyperparams" in page
    assert "deciding agents" in page and "Generations count from 1 (in metrics.jsonl from 0)." in page
    assert "outer.solved_score</td><td>null" in page
    assert not re.search(r"(src|href)=\"(?!data:)", page), "the page must stand alone"


def test_a_reward_network(tmp_path):
    """What counts is how fast agents learn; nobody decided anything, and nothing is said of it."""
    config = CONFIG | {"proxy": {"variant": "additive_potential"}}
    page = write_report(make_run(tmp_path, [line(0)], {"solved": None, "generations": 1}, config)).read_text(
        "utf-8"
    )
    assert f"synthenv evaluate --proxy {tmp_path} --curves --baselines" in page
    assert "deciding agents" not in page and "<td>solved</td>" not in page


LACKING = [
    [],
    [line(0)],
    [{"generation": 0}, {"generation": 1}],
    [{name: value if name == "generation" else None for name, value in line(g).items()} for g in range(2)],
    [line(0), {"generation": 1}, line(2) | {"member_scores": [None, 3.0], "incumbent_scores": [None] * 4}],
    [line(0) | {"train_steps": [], "incumbent_scores": [], "busy_share": None, "best_incumbent": None}],
]


@pytest.mark.parametrize("lines", LACKING, ids=range(len(LACKING)))
def test_an_unfinished_run_with_little_to_show(tmp_path, lines):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        page = write_report(make_run(tmp_path, lines)).read_text("utf-8")
    assert f"not finished: {len(lines)} generation" in page
    assert f"synthenv meta-train --resume --out {tmp_path}</pre>" in page


@pytest.mark.parametrize(("is_decided", "best"), [(True, "retested best"), (False, "best so far")])
def test_the_picture_counts_from_1_and_says_what_the_best_is(is_decided, best):
    """As the terminal counts; and once agents have decided, the best is what they reached."""
    lines = [line(g) | ({} if is_decided else {"deciding_mean": None}) for g in range(5)]
    returns, steps, seconds = report_plot.progress_figure(lines, "x", 195.0).axes[:3]
    labels = {one.get_label(): one for one in returns.lines}
    assert best in labels and len({"retested best", "best so far"} & set(labels)) == 1
    for axes in (returns, steps, seconds):
        assert all(
            list(one.get_xdata()) == [1, 2, 3, 4, 5] for one in axes.lines if len(one.get_xdata()) == 5
        )
    assert list(labels[best].get_ydata()) == [50.0, 51.0, 52.0, 53.0, 54.0]
    assert list(labels[best].get_xdata()) == [1, 2, 3, 4, 5]


def test_the_picture_shows_the_data():
    """Other data, another picture; the threshold is drawn where the task has one."""
    lines = [line(g) for g in range(3)]
    pictures = [
        draw_progress(lines, "x", 195.0),
        draw_progress(lines, "x", None),
        draw_progress([*lines[:2], lines[2] | {"incumbent_mean": 20.0}], "x", None),
        draw_progress([*lines[:2], lines[2] | {"train_steps_mean": 20.0}], "x", None),
        draw_progress([*lines[:2], lines[2] | {"seconds": 20.0}], "x", None),
    ]
    assert len({io.BytesIO(p).getvalue() for p in pictures}) == len(pictures)
    assert draw_progress(lines, "x", 195.0) == pictures[0]


def test_names_are_escaped(tmp_path):
    config = {"task": "<script>alert(1)</script>"}
    page = write_report(make_run(tmp_path, [line(0)], config=config)).read_text("utf-8")
    assert "<script>" not in page and "&lt;script&gt;" in page


def test_a_report_can_be_written_again(tmp_path):
    run = make_run(tmp_path, [line(0)])
    first = write_report(run).read_text("utf-8")
    assert write_report(run).read_text("utf-8") == first


def test_what_is_no_run_is_one_line(tmp_path):
    with pytest.raises(UserError, match=r"is no run directory \(config.json is missing\)"):
        write_report(tmp_path)
    make_run(tmp_path, []).joinpath("config.json").write_text("{")
    with pytest.raises(UserError, match=r"config.json is damaged"):
        write_report(tmp_path)
