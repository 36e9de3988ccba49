"""The study of contexts at a tiny size, and its summary by hand."""

import json
from dataclasses import replace

import numpy as np
import pytest

from experiments.one_shot_world_model import context_study
from experiments.one_shot_world_model.context_study import MEASURED, PRESETS, summarise
from synthenv.runs.oswm.run import run as oswm_run
from synthenv.runs.storage.csv_tables import read_csv
from tests.still_world_model import install


@pytest.mark.long
@pytest.mark.rank_promotion_ok
def test_it_runs_and_trains_nobody_twice(tmp_path, monkeypatch):
    install(monkeypatch)
    config = replace(PRESETS["smoke"], out=tmp_path, models=("still",), max_steps=64, num_seeds=1, rows=(20,))
    context_study.run(config)
    config, trained, whole = replace(config, rows=(20, 40)), [], oswm_run.run_seed

    def run_seed(dreams, *told):
        trained.append((dreams.command.strategy, dreams.command.context))
        return whole(dreams, *told)

    monkeypatch.setattr(oswm_run, "run_seed", run_seed)
    context_study.run(config)
    context_study.plot(config)
    assert trained == [("held", 40), ("random", 40)]
    lines = read_csv(tmp_path / "context_study.csv")
    kinds = [(line["strategy"], line["rows"]) for line in lines]
    assert kinds == [("held", "20"), ("random", "20"), ("held", "40"), ("random", "40")]
    assert all(float(line["next_obs_error"]) >= 1 for line in lines), "a model in which nothing moves"
    results = json.loads((tmp_path / "context_study.json").read_text())["results"]
    assert [each["final_return"] for each in results] == [
        pytest.approx(float(line["final_return"])) for line in lines
    ]
    assert (tmp_path / "context_study.png").stat().st_size > 1000


def test_means_of_errors_are_geometric():
    line = {"task": "t", "model": "m", "strategy": "held", "rows": "50"} | dict.fromkeys(MEASURED, "1")
    lines = [
        line | {"next_obs_error": e, "reward_error": "nan", "final_return": r}
        for e, r in (("1e-2", "3"), ("1", "5"))
    ]
    (found,) = summarise(lines)
    assert found["next_obs_error"] == pytest.approx(0.1) and found["ci95_next_obs_error"] == pytest.approx(
        [0.01, 1]
    )
    assert (found["final_return"], found["ci95_final_return"]) == (4.0, [3.0, 5.0])
    assert np.isnan(found["reward_error"]) and (found["rows"], found["num_seeds"]) == (50, 2)
