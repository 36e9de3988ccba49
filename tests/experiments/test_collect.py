"""The meta-data set of our own, made with a tiny network, stopped and gone on."""

import dataclasses
import json

import jax
import numpy as np
import pytest

from experiments.pipeline_selection import collect
from synthenv.nets.efficientnet_lite import EfficientNetLiteConfig, init_units
from synthenv.selection.readers.registry import read_meta_dataset
from synthenv.selection.vision.hub import Weights

pytest.importorskip("ConfigSpace")
TINY = EfficientNetLiteConfig(0.1, 0.4, num_stem=8, num_features=32)


def test_smoke_preset_and_going_on(tmp_path):
    units, statistics = jax.jit(lambda: init_units(jax.random.key(0), TINY))()
    network = TINY, Weights(*jax.tree.map(np.asarray, (units, statistics)), None)
    config = dataclasses.replace(collect.PRESETS["smoke"], out=tmp_path, hours=0.0)
    collect.run(config, network)  # one run goes beyond any budget
    assert [line["task"] for line in collect.done(config)] == ["digits"]
    first = (tmp_path / "runs" / "digits_c000.json").read_bytes()
    config = dataclasses.replace(config, hours=1.0)
    collect.run(config, network)
    assert (tmp_path / "runs" / "digits_c000.json").read_bytes() == first
    meta = read_meta_dataset(tmp_path / "meta_dataset")
    assert set(meta.datasets) == {"digits", "digits-few"} and len(meta.curves) == 4
    line = json.loads(first)
    row = (meta.dataset_of == meta.datasets.index("digits")) & (meta.config_of == 0)
    np.testing.assert_allclose(meta.curves[row][0], line["curve"], rtol=1e-6)
    np.testing.assert_allclose(meta.costs[row][0], line["costs"], rtol=1e-6)
    assert meta.meta_features[meta.datasets.index("digits-few")].tolist() == [20, 10, 8, 1]


def test_a_diverged_run_is_a_crash(monkeypatch):
    def diverging(*_, **__):
        yield collect_epoch(0.5)
        raise collect.DivergedError("the loss of epoch 2 is nan")

    from synthenv.selection.vision.fine_tune import Epoch

    def collect_epoch(accuracy):
        return Epoch(1, accuracy, 1.0, 2.0, 1.0)

    monkeypatch.setattr(collect, "fine_tune", diverging)
    line = collect.run_one(None, {}, collect.PRESETS["smoke"])
    assert line["crashed"] and line["curve"] == [0.5, None] and line["best"] == 0.5


def test_held_out_task_is_not_collected():
    config = collect.Config(cifar10="train.zip", fashion="fashion")
    tasks = collect.sources(config)
    assert len(tasks) == 12 and len(collect.sources(collect.Config(cifar10="train.zip"))) == 10
    assert not set(collect.HELD_OUT) & set(tasks)
    assert all(
        set(classes) != set(task.classes or ())
        for classes, *_ in collect.HELD_OUT.values()
        for task in tasks.values()
    )
