"""Shipping a world model: what goes into the zoo can be loaded by name, and its scores are those of its benchmark."""

import json
from dataclasses import asdict, replace
from typing import Any

import jax
import numpy as np
import pytest

from experiments import ship_world_model
from experiments.ship_world_model import Config
from synthenv.core.checkpoint import save_tree
from synthenv.core.errors import UserError
from synthenv.core.files import plain
from synthenv.worldmodel.small import network as model
from synthenv.worldmodel.small.network import ModelConfig
from synthenv.worldmodel.small.train_step import PretrainConfig
from synthenv.zoo import registry, world_models

PRETRAIN = PretrainConfig(
    ModelConfig(max_obs=3, width=8, num_heads=2, hidden_size=8, num_layers=1, column_size=4, head_size=8)
)
ROW = {
    "method": "tiny",
    "final_return": -3.0,
    "ci95_return": [-4.0, -2.0],
    "num_seeds": 2,
    "strategy": "held",
}


@pytest.fixture
def finished(tmp_path):
    """A directory as a pretraining leaves it, and the weights in it."""
    path: Any = tmp_path / "run"
    path.mkdir()
    weights = model.init(jax.random.key(0), PRETRAIN.model)
    metadata = {"kind": "world_model", "form": "small", "pretrain": plain(asdict(PRETRAIN)), "seed": 7}
    save_tree(path / world_models.FILE, weights, metadata)
    (path / "config.json").write_text(json.dumps({"config": {"preset": "small", "seed": 7}}))
    (path / "result.json").write_text(json.dumps({"steps": 4, "held_out_gain": 0.25, "seconds": 1.0}))
    return Config(run=path, name="tiny", out=tmp_path / "zoo"), weights


@pytest.fixture
def measured(tmp_path):
    path = tmp_path / "benchmark"
    path.mkdir()
    rows = {"SimpleEnv": [ROW | {"method": "ridge", "final_return": -9.0}, ROW], "GridWorld": []}
    (path / "benchmark.json").write_text(json.dumps({"tables": {"1": rows}}))
    return path


def test_a_shipped_model_is_loaded_by_its_name(finished, measured, monkeypatch):
    config, weights = finished
    ship_world_model.run(config)
    ship_world_model.run(replace(config, name="other"))
    ship_world_model.run(replace(config, benchmark=measured))
    monkeypatch.setattr(registry, "ROOT", config.out)
    monkeypatch.setattr(world_models, "ROOT", config.out)
    entries = world_models.manifest()
    assert set(entries) == {"tiny", "other"} and entries["other"]["scores"] == {}
    assert entries["tiny"]["pretraining"] == {"steps": 4, "held_out_gain": 0.25}
    scores = entries["tiny"]["scores"]
    assert set(scores) == {"SimpleEnv"} and scores["SimpleEnv"]["final_return"] == -3.0
    jax.tree.map(np.testing.assert_array_equal, world_models.load("tiny").params, weights)


def test_a_benchmark_without_the_model_is_refused(finished, measured):
    config, _ = finished
    with pytest.raises(UserError, match="no row of small"):
        ship_world_model.run(replace(config, name="small", benchmark=measured))
    with pytest.raises(UserError, match="holds no table 1"):
        ship_world_model.run(replace(config, benchmark=config.run))


def test_an_unfinished_pretraining_is_refused(finished):
    config, _ = finished
    (config.run / world_models.FILE).unlink()
    with pytest.raises(UserError, match="no finished world model"):
        ship_world_model.run(config)
    assert not config.out.exists()
