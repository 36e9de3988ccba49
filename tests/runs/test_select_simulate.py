"""``synthenv select simulate`` on a small table: what it writes, what it tells, what it refuses."""

import csv
import dataclasses
import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from synthenv.cli import main
from synthenv.core.registry import register
from synthenv.runs.select.simulate import run
from synthenv.selection.readers.write import write_meta_dataset
from synthenv.selection.search import policies
from synthenv.selection.search.methods import SearchMethod
from synthenv.selection.tables.columns import columns_of, stored
from synthenv.selection.tables.meta_dataset import MetaDataset

NUM_DATASETS, NUM_CONFIGS, NUM_STEPS = 4, 12, 9


def table() -> MetaDataset:
    """Curves that rise to an end which x tells; an hour holds ten steps."""
    x = np.linspace(0.0, 1.0, NUM_CONFIGS)
    configs = [{"x": float(v), "side": "left" if v < 0.5 else "right"} for v in x]
    cols = columns_of(configs)
    steps = 1.0 - 0.5 ** np.arange(1, NUM_STEPS + 1)
    curves = np.tile((0.2 + 0.7 * x)[:, None] * steps, (NUM_DATASETS, 1))
    dataset, config = np.divmod(np.arange(len(curves)), NUM_CONFIGS)
    return MetaDataset(
        datasets=tuple(f"data{i}" for i in range(NUM_DATASETS)),
        columns=cols,
        config_names=tuple(f"config{i}" for i in range(NUM_CONFIGS)),
        configs=stored(cols, configs),
        dataset_of=dataset.astype(np.int32),
        config_of=config.astype(np.int32),
        curves=curves.astype(np.float32),
        costs=np.full(curves.shape, 360.0, np.float32),
        crashed=np.zeros(len(curves), bool),
        meta_names=("size",),
        meta_features=np.arange(NUM_DATASETS, dtype=np.float32)[:, None],
    )


def best_first(key: jax.Array, meta: MetaDataset) -> jax.Array:
    """The order of the mean scores on the data sets that may be learnt from."""
    assert len(meta.datasets) < NUM_DATASETS
    return jnp.asarray(np.nanmean(meta.matrix(), axis=0))


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    path = tmp_path_factory.mktemp("table") / "past"
    write_meta_dataset(table(), path)
    return path


def test_methods_are_compared_by_the_clock_and_everything_is_written(data, tmp_path, capsys):
    register(SearchMethod("best_on_others", "for a test", policies.IN_ORDER, best_first))
    out, told = tmp_path / "out", tmp_path / "told.json"
    words = ["--data", str(data), "--methods", "best_on_others", "asha", "random", "oracle"]
    words += ["--hours", "1", "6", "--seeds", "2", "--folds", "2", "--num-jobs", "100"]
    assert main(["select", "simulate", *words, "--out", str(out), "--json", str(told)]) == 0
    results = json.loads(told.read_text())["results"]
    methods = results["methods"]
    assert results["hours"] == [1.0, 6.0]
    for row in methods.values():
        assert len(row["regret"]) == len(row["ci95_regret"]) == 2
        assert all(
            low <= mean <= high for mean, (low, high) in zip(row["regret"], row["ci95_regret"], strict=True)
        )
        assert row["cpu_seconds_per_step"] > 0
    # One whole run of nine steps fits into the first hour, and what is best elsewhere is best here.
    assert methods["oracle"]["regret"] == methods["best_on_others"]["regret"]
    np.testing.assert_allclose(methods["oracle"]["regret"], 0.0, atol=1e-6)
    assert methods["random"]["regret"][0] > methods["asha"]["regret"][1]
    rows = list(csv.DictReader((out / "regret.csv").open()))
    assert len(rows) == 4 * NUM_DATASETS * 2
    stored = json.loads((out / "result.json").read_text())
    assert stored["methods"] == methods
    assert (out / "regret.png").stat().st_size > 5_000
    assert "best_on_others" in capsys.readouterr().out


def test_the_same_seed_gives_the_same_searches(data, tmp_path):
    words = ["select", "simulate", "--data", str(data), "--methods", "random", "--hours", "2", "--seeds", "2"]
    for name, seed in (("a", "0"), ("b", "0"), ("c", "1")):
        assert main([*words, "--seed", seed, "--out", str(tmp_path / name)]) == 0
    first, again, other = ((tmp_path / name / "regret.csv").read_text() for name in "abc")
    assert first == again != other


def test_what_was_stopped_is_gone_on_with_to_the_same_numbers(data, tmp_path, monkeypatch, capsys):
    words = ["select", "simulate", "--data", str(data), "--methods", "asha", "random", "--seeds", "2"]
    whole, stopped = tmp_path / "whole", tmp_path / "stopped"
    assert main([*words, "--out", str(whole)]) == 0
    play, played = run.Searcher.play, []

    def play_two(self, piece):
        if len(played) == 2:
            raise KeyboardInterrupt
        played.append(piece)
        return play(self, piece)

    monkeypatch.setattr(run.Searcher, "play", play_two)
    assert main([*words, "--out", str(stopped)]) == 130
    assert f"--resume --out {stopped}" in capsys.readouterr().err
    monkeypatch.setattr(run.Searcher, "play", lambda self, piece: played.append(piece) or play(self, piece))
    assert main(["select", "simulate", "--resume", "--out", str(stopped)]) == 0
    assert len(played) == 4
    assert (stopped / "regret.csv").read_text() == (whole / "regret.csv").read_text()
    assert main([*words, "--out", str(stopped)]) == 2  # it is finished


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--methods", "ahsa"], "did you mean 'asha'?"),
        (["--methods", "asha", "asha"], "names a method twice"),
        (["--hours", "0"], "--hours are points of time"),
        (["--hours", "nan"], "--hours are points of time"),
        (["--seeds", "0"], "--seeds 0 does nothing"),
        (["--thaw-seconds", "-1"], "--thaw-seconds -1 is no time"),
        (["--methods", "zap", "--folds", "9"], "9 folds of 4 data sets cannot be"),
    ],
)
def test_what_makes_no_sense_is_refused_in_a_line(data, tmp_path, capsys, words, said):
    assert main(["select", "simulate", "--data", str(data), "--out", str(tmp_path / "out"), *words]) == 2
    lines = capsys.readouterr().err.strip().splitlines()
    assert len(lines) == 1 and said in lines[0]


def test_a_table_without_costs_has_no_clock(tmp_path, capsys):
    meta = dataclasses.replace(
        table(), costs=np.full((NUM_DATASETS * NUM_CONFIGS, NUM_STEPS), np.nan, np.float32)
    )
    write_meta_dataset(meta, tmp_path / "past")
    words = ["select", "simulate", "--data", str(tmp_path / "past"), "--out", str(tmp_path / "out")]
    assert main(words) == 2
    assert "has no costs, and searches go by the clock" in capsys.readouterr().err
