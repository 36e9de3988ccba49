"""Figures 4 and 7 at their smoke preset, the real rewards by hand, and the arithmetic of bins."""

import json
from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from experiments.one_shot_world_model import figure4
from experiments.one_shot_world_model.figure4 import PRESETS, agreement, in_bins
from experiments.one_shot_world_model.reward_questions import QUESTIONS, Questions, is_standing
from synthenv.runs.storage.csv_tables import read_csv
from tests.still_world_model import install


def test_it_runs_and_goes_on_where_it_stopped(tmp_path, monkeypatch):
    install(monkeypatch)
    config = replace(PRESETS["smoke"], out=tmp_path, models=("still",))
    figure4.run(replace(config, tasks=("GridWorld",), num_contexts=1))
    before = (tmp_path / "figure4.csv").read_text()
    figure4.run(config)
    figure4.plot(config)
    assert (tmp_path / "figure4.csv").read_text().startswith(before)
    lines = read_csv(tmp_path / "figure4.csv")
    assert len({(line["task"], line["context"], line["place"]) for line in lines}) == len(lines)
    assert sum(line["task"] == "GridWorld" for line in lines) == 2 * 8 * 8 * 4
    for task in ("CartPole-v0", "Pendulum-v1"):
        assert sum(int(line["num"]) for line in lines if line["task"] == task) == 2 * config.num_questions
    results = json.loads((tmp_path / "figure4.json").read_text())["results"]
    for models in results.values():
        low, high = models["still"]["ci95_relative_error"]
        assert models["still"]["num_contexts"] == 2 and low <= models["still"]["relative_error"] <= high
        assert models["still"]["relative_error"] >= 1 - 1e-5, "a constant explains nothing"
    assert (tmp_path / "figure4_7.png").stat().st_size > 1000


def test_real_rewards_by_hand():
    key = jax.random.key(0)
    grid = QUESTIONS["GridWorld"](key, 0, 0)
    pays = {tuple(place): float(reward) for place, reward in zip(grid.places, grid.reward, strict=True)}
    assert pays[5, 3, 0] == pytest.approx(10 - 1 + 0.06), "into a goal"
    assert pays[1, 3, 1] == pytest.approx(-10 - 1), "left, onto the ring"
    assert pays[2, 6, 2] == pytest.approx(-10 - 1 + 0.02), "down, onto the ring"
    assert is_standing(grid.places).sum() == 5 * 6 * 4
    cart = QUESTIONS["CartPole-v0"](key, 500, 20)
    np.testing.assert_array_equal(cart.reward, np.abs(cart.obs[:, 2]) <= 12 * np.pi / 180)
    assert (np.abs(cart.places[cart.index, 0] - cart.obs[:, 2]) <= 0.42 / 20 + 1e-6).all()
    pole = QUESTIONS["Pendulum-v1"](key, 500, 100)
    angle = np.arctan2(pole.obs[:, 1], pole.obs[:, 0])
    by_hand = -(angle**2 + 0.1 * pole.obs[:, 2] ** 2 + 0.001 * pole.action[:, 0] ** 2)
    np.testing.assert_allclose(pole.reward, by_hand, rtol=1e-4, atol=1e-4)


def test_bins_add_up_to_the_error_of_single_steps():
    values = np.random.default_rng(0).normal(size=(2, 300))
    real, dreamt = np.asarray(values, np.float32)
    index = np.arange(300) % 7
    empty = jnp.zeros((300, 1))
    questions = Questions(empty, empty, jnp.asarray(real), index, np.arange(8)[:, None])
    lines = [{name: str(value) for name, value in line.items()} for line in in_bins(questions, dreamt)]
    assert len(lines) == 7, "nobody asked in the eighth"
    found = agreement(lines, "Pendulum-v1")
    assert found["relative_error"] == pytest.approx(np.mean((dreamt - real) ** 2) / real.var(), rel=1e-4)
    means = np.array([[values[index == i].mean() for i in range(7)] for values in (real, dreamt)])
    assert found["correlation"] == pytest.approx(np.corrcoef(means)[0, 1], abs=1e-4)
