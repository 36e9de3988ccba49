"""Figure 6: the cells of GridWorld."""

from collections import Counter
from dataclasses import replace

import pytest

from experiments.one_shot_world_model import figure6
from synthenv.runs.storage.csv_tables import read_csv


def test_cells(tmp_path):
    config = replace(figure6.PRESETS["smoke"], out=tmp_path)
    figure6.run(config)
    figure6.plot(config)
    lines = read_csv(tmp_path / "figure6.csv")
    assert Counter(line["cell"] for line in lines) == {"ring": 28, "goal": 6, "start": 6, "inside": 24}
    base = {"ring": -11, "goal": 9, "start": -1, "inside": -1}
    for line in lines:
        assert float(line["reward"]) == pytest.approx(base[line["cell"]] + 0.01 * int(line["x"]))
    assert (tmp_path / "figure6.png").stat().st_size > 1000
