"""Figure 2 at a tiny size, in a world model that needs no compiling."""

import json
from dataclasses import replace

import numpy as np
import pytest

from experiments.one_shot_world_model import dream_runs, figure2
from experiments.one_shot_world_model.figure2 import PRESETS, command_of, summarise
from experiments.one_shot_world_model.figure2_plot import curves_of
from synthenv.core.errors import UserError
from synthenv.runs.oswm.run import run as oswm_run
from synthenv.runs.storage.csv_tables import read_csv
from tests.still_world_model import install

pytestmark = pytest.mark.rank_promotion_ok


@pytest.fixture(autouse=True)
def _still(monkeypatch):
    install(monkeypatch)


@pytest.fixture
def config(tmp_path):
    return replace(PRESETS["smoke"], out=tmp_path, model="still", tasks=("SimpleEnv",), max_steps=128)


def test_it_runs_once_and_draws_what_other_runs_hold(config, tmp_path, monkeypatch):
    figure2.run(config)
    figure2.plot(config)
    rows = read_csv(tmp_path / "figure2.csv")
    assert [(row["seed"], row["steps"]) for row in rows] == [(s, n) for s in "01" for n in ("64", "128")]
    results = json.loads((tmp_path / "figure2.json").read_text())["results"]
    low, high = results["SimpleEnv"]["ci95_final_return"]
    assert low <= results["SimpleEnv"]["final_return"] <= high <= 0
    assert results["SimpleEnv"]["num_seeds"] == 2
    assert (tmp_path / "figure2.png").stat().st_size > 1000

    monkeypatch.setattr(oswm_run, "run_seed", None)  # whoever trains again fails
    figure2.run(config)
    assert read_csv(tmp_path / "figure2.csv") == rows
    other = replace(config, out=tmp_path / "other", runs=(tmp_path / "SimpleEnv",))
    figure2.run(other)
    figure2.plot(other)
    assert read_csv(tmp_path / "other" / "figure2.csv") == rows
    for bad, message in (
        (replace(config, context=50), r"SimpleEnv holds a finished run with context = 40, not 50"),
        (replace(other, runs=2 * other.runs), "two runs are of SimpleEnv"),
        (replace(other, runs=(tmp_path,)), "holds no run"),
    ):
        with pytest.raises(UserError, match=message):
            figure2.run(bad)


def test_a_run_that_was_stopped_goes_on(config, monkeypatch):
    path, command = config.out / "SimpleEnv", command_of(config, "SimpleEnv")
    whole, done = oswm_run.run_seed, []

    def stopped(dreams, seed, *told):
        if seed == 1 and not done:
            done.append(seed)
            raise KeyboardInterrupt
        return whole(dreams, seed, *told)

    monkeypatch.setattr(oswm_run, "run_seed", stopped)
    with pytest.raises(KeyboardInterrupt):
        dream_runs.finish(command, path)
    first = dream_runs.read(path)[1]
    lines = dream_runs.finish(command, path)
    assert [line["generation"] for line in lines] == [0, 1] and lines[:1] == first


def test_summary_by_hand():
    lines = [
        {
            "final_return": 3,
            "best_return": 5,
            "untrained_control": 1,
            "random_return": 0,
            "curve": {"returns": c},
        }
        for c in ([1, 9, 4], [2, 6, 6])
    ]
    found = summarise("experts", lines)
    assert (found["lost_return"], found["ci95_lost_return"]) == (2.5, [0.0, 5.0])
    assert (found["final_return"], found["ci95_final_return"]) == (3.0, [3.0, 3.0])
    rows = [{"task": "a", "seed": s, "steps": "5", "mean_return": s} for s in "12"]
    curves = curves_of([*rows, {"task": "b", "seed": "1", "steps": "5", "mean_return": "9"}], "a")
    np.testing.assert_array_equal(curves, [[[5], [1]], [[5], [2]]])
