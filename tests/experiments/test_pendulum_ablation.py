"""The ablation of dreams of the pendulum at a tiny size."""

from dataclasses import replace

import pytest

from experiments.one_shot_world_model import pendulum_ablation
from experiments.one_shot_world_model.pendulum_ablation import PRESETS, summarise
from synthenv.core.errors import UserError
from synthenv.runs.storage.csv_tables import read_csv
from tests.still_world_model import install


@pytest.mark.long
@pytest.mark.rank_promotion_ok
def test_it_runs_and_trains_nobody_twice(tmp_path, monkeypatch, capsys):
    install(monkeypatch)
    config = replace(PRESETS["smoke"], out=tmp_path, model="drift", places=("real", "dream"))
    pendulum_ablation.run(config)
    first = read_csv(tmp_path / "pendulum_ablation.csv")
    config = replace(config, places=PRESETS["smoke"].places)
    pendulum_ablation.run(config)
    lines = read_csv(tmp_path / "pendulum_ablation.csv")
    assert lines[:2] == first and [line["place"] for line in lines] == list(config.places)
    assert all(-2000 < float(line["return"]) < 0 for line in lines)
    assert lines[1]["return"] != lines[2]["return"], "what drifts off its surface is another dream"
    with pytest.raises(UserError, match="were begun with context = 60, not 50: pass the old value"):
        pendulum_ablation.run(replace(config, context=50))
    pendulum_ablation.show(config)
    assert "dream off its surface" in capsys.readouterr().out


def test_summary_by_hand():
    lines = [{"place": "real", "settings": "s", "seed": i, "return": str(-100 * i)} for i in (1, 3)]
    (found,) = summarise(lines)
    assert (found["mean_return"], found["ci95_return"], found["worst_return"]) == (-200, [-300, -100], -300)
