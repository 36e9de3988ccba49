"""The seed table of the demo reads what the demo writes."""

import csv
import json

import pytest

from experiments.synthetic_envs.demo_seeds import Config, cpu_of_product, run
from synthenv.core.errors import UserError

RESULTS = {
    "mean_return": 195.86,
    "ci95_return": [190.13, 200.0],
    "num_agents": 10,
    "untrained_control": {"mean_return": 18.18},
    "meta_train": {"solved": True, "generations": 44, "cpu_seconds": 141.1, "total_train_steps": 1904000},
    "total_seconds": 198.8,
}


def test_collects_finished_seeds(tmp_path):
    """A seed with a JSON file is read, not run; the CSV has one line per seed."""
    for seed in (3, 4):
        (tmp_path / f"seed{seed}.json").write_text(json.dumps({"results": RESULTS}))
        cost = {"cpu_seconds": 180.4, "product_seconds": 0.2}
        (tmp_path / f"seed{seed}_cost.json").write_text(json.dumps(cost))
    rows = run(Config(out=tmp_path, num_seeds=2, first_seed=3))
    assert [row["seed"] for row in rows] == [3, 4]
    assert (rows[0]["cpu_seconds"], rows[0]["cpu_in_products"]) == (180, 902)
    assert rows[0]["mean_return"] == 195.9 and rows[0]["untrained_return"] == 18.2
    with (tmp_path / "demo_seeds.csv").open() as file:
        assert [line["wall_seconds"] for line in csv.DictReader(file)] == ["199", "199"]


def test_a_seed_whose_cost_was_not_written_is_told(tmp_path):
    (tmp_path / "seed0.json").write_text(json.dumps({"results": RESULTS}))
    with pytest.raises(UserError, match=r"seed0_cost.json is missing: remove seed0 and seed0.json"):
        run(Config(out=tmp_path, num_seeds=1))


def test_a_larger_product_takes_longer():
    assert 0 < cpu_of_product(64) < cpu_of_product(512)
