"""Every experiment from end to end at its smoke preset: the files are there, and they say what was run."""

import json
import struct
from dataclasses import replace
from pathlib import Path

import jax
import numpy as np
import pytest

from experiments import build_zoo, table20
from experiments.command_line import execute, parse
from experiments.one_shot_world_model import (
    context_study,
    figure2,
    figure3,
    figure4,
    figure6,
    prior_ablation,
    proxy_loss,
    search,
)
from experiments.reward_networks import figure11
from experiments.synthetic_envs import figure2_6, figure3_25, figure4_8, figure22_23, figure24, varied_seeds
from synthenv.core.checkpoint import save_tree
from synthenv.core.errors import UserError
from synthenv.runs.storage.csv_tables import read_csv, write_csv
from synthenv.zoo import registry as zoo

EXPERIMENTS = (
    context_study,
    figure2,
    figure2_6,
    figure3,
    figure3_25,
    figure4,
    figure4_8,
    figure6,
    figure11,
    figure22_23,
    figure24,
    prior_ablation,
    proxy_loss,
    search,
    table20,
    varied_seeds,
    build_zoo,
)


def png_size(file) -> tuple[int, int]:
    data = file.read_bytes()
    assert data.startswith(b"\x89PNG\r\n\x1a\n")
    return struct.unpack(">II", data[16:24])


@pytest.fixture(scope="module")
def searched(tmp_path_factory):
    """Figure 2 and 6 at the smoke preset: its directory holds two finished runs."""
    config = replace(figure2_6.PRESETS["smoke"], out=tmp_path_factory.mktemp("figure2_6"))
    with jax.numpy_rank_promotion("allow"):  # evosax
        figure2_6.run(config)
    figure2_6.plot(config)
    return config


@pytest.fixture(scope="module")
def run_dirs(searched):
    return [searched.out / f"run_{i:02d}" for i in range(searched.num_runs)]


def test_figure2_6(searched, run_dirs):
    lines = read_csv(searched.out / "figure2_6.csv")
    assert [(int(x["run"]), int(x["seed"]), int(x["generation"])) for x in lines] == [
        (r, r, g) for r in range(2) for g in range(3)
    ]
    numbers = np.array(
        [[float(x[name]) for name in ("incumbent_mean", "seconds", "train_steps")] for x in lines]
    )
    assert np.isfinite(numbers).all()
    assert (numbers >= [1, 0, 0]).all()
    assert (numbers[[1, 2, 4, 5], 2] == 6 * 60).all(), "4 members and 2 incumbents of 60 steps"
    assert (numbers[[0, 3], 2] > 6 * 60).all(), "the first generation pays for choosing where to start"
    assert all((path / "best_proxy.safetensors").exists() for path in run_dirs)
    assert min(png_size(searched.out / "figure2_6.png")) > 500


@pytest.mark.rank_promotion_ok
def test_figure2_6_goes_on_where_it_stopped(searched, run_dirs):
    table = (searched.out / "figure2_6.csv").read_bytes()
    (run_dirs[1] / "result.json").unlink()  # as if it had been killed before its last act
    figure2_6.run(searched)
    assert (searched.out / "figure2_6.csv").read_bytes() == table
    assert (run_dirs[1] / "result.json").exists()


def test_figure2_6_refuses_runs_of_another_config(searched):
    with pytest.raises(UserError, match=r"run_00 was begun with outer.num_generations = 3, not 2"):
        figure2_6.run(replace(searched, num_generations=2))


def test_figure2_6_band_is_over_runs(tmp_path):
    rows = [
        {"run": r, "generation": g, "incumbent_mean": 10 * r + g}
        for r in range(3)
        for g in range(5 - (r == 2))
    ]
    write_csv(tmp_path / "t.csv", rows)
    np.testing.assert_array_equal(
        figure2_6.read_curves(tmp_path / "t.csv"), [[0, 1, 2, 3], [10, 11, 12, 13], [20, 21, 22, 23]]
    )


@pytest.mark.long
@pytest.mark.rank_promotion_ok
def test_figure24(tmp_path):
    config = replace(figure24.PRESETS["smoke"], out=tmp_path)
    figure24.run(replace(config, num_step_sizes=0))  # as if it had been stopped before the first search
    figure24.run(config)
    figure24.plot(config)
    rows = read_csv(tmp_path / "figure24.csv")
    assert [(row["transformation"], row["mirrored"]) for row in rows] == [
        (name, mirrored) for name in ("nes", "all_better_2") for mirrored in ("True", "False")
    ]
    assert all(0.01 <= float(row["step_size"]) <= 10 for row in rows)
    assert all((row["generations"] == "2") == (row["solved"] == "False") for row in rows)
    before = (tmp_path / "figure24.csv").read_bytes()
    figure24.run(config)  # finished: nothing is searched again
    assert (tmp_path / "figure24.csv").read_bytes() == before
    assert [row["searches"] for row in read_csv(tmp_path / "summary.csv")] == ["1"] * 4
    assert min(png_size(tmp_path / "figure24.png")) > 500


@pytest.mark.rank_promotion_ok
def test_table20(tmp_path):
    table20.run(replace(table20.PRESETS["smoke"], out=tmp_path))
    (row,) = read_csv(tmp_path / "table20.csv")
    assert (row["form"], row["task"], row["trainings"]) == ("rn", "CliffWalking", "6")
    assert float(row["cpu_seconds"]) > 0 and row["paper_core_seconds"] == "160"
    assert int(row["steps"]) <= 6 * 3 * 50


@pytest.mark.long
@pytest.mark.rank_promotion_ok
def test_varied_seeds(tmp_path):
    config = replace(varied_seeds.PRESETS["smoke"], out=tmp_path)
    varied_seeds.run(config)
    varied_seeds.plot(config)
    rows, points = read_csv(tmp_path / "varied_seeds.csv"), read_csv(tmp_path / "curves.csv")
    assert [(row["seed"], row["solved"], row["generations"]) for row in rows] == [
        (seed, "False", "3") for seed in "01"
    ]
    assert [(p["seed"], p["generation"]) for p in points] == [(s, g) for s in "01" for g in "012"]
    assert all(row["deciding_mean"] == "" for row in rows), "the smoke preset never asks whether it is solved"
    for row in rows:
        own = [float(p["incumbent_mean"]) for p in points if p["seed"] == row["seed"]]
        assert float(row["best_incumbent"]) == pytest.approx(max(own), abs=0.1)
        assert int(row["train_steps"]) > 3 * 6 * 60 and float(row["core_hours"]) > 0
    assert min(png_size(tmp_path / "varied_seeds.png")) > 500


def test_figure3_25_keeps_only_what_is_there(tmp_path):
    """Said before anybody is trained."""
    config = replace(figure3_25.PRESETS["smoke"], out=tmp_path, proxy=("nowhere",), num_baseline_agents=0)
    with pytest.raises(UserError, match=r"holds no figure3_25.csv and .json .* pass --num-baseline-agents"):
        figure3_25.run(config)


def test_figure3_25(tmp_path, run_dirs):
    names = tuple(map(str, run_dirs))
    config = replace(figure3_25.PRESETS["smoke"], out=tmp_path, proxy=names)
    figure3_25.run(config)
    figure3_25.plot(config)
    lines = read_csv(tmp_path / "figure3_25.csv")
    assert [(x["row"], x["proxy"]) for x in lines] == [
        ("proxy", "0"),
        ("proxy", "1"),
        ("real", "0"),
        ("untrained", "0"),
    ]
    returns = np.array([[float(x[f"return_{i}"]) for i in range(10)] for x in lines])
    assert ((returns >= 1) & (returns <= 200)).all()
    np.testing.assert_allclose([float(x["mean_return"]) for x in lines], returns.mean(axis=1), rtol=1e-6)
    assert [int(x["train_steps"]) for x in lines] == [60, 60, 60, 1]
    assert [int(x["train_episodes"]) for x in lines[:2]] == [30, 30]  # of two steps

    results = json.loads((tmp_path / "figure3_25.json").read_text())["results"]
    assert results["tested_on"] == "CartPole-v0" and results["num_agents"] == 2
    np.testing.assert_allclose(results["mean_return"], returns[:2].mean(), rtol=1e-6)
    np.testing.assert_allclose(results["baselines"]["real"]["mean_return"], returns[2].mean(), rtol=1e-6)
    assert [entry["proxy"] for entry in results["proxies"]] == list(names)
    np.testing.assert_allclose(
        [entry["mean_return"] for entry in results["proxies"]], returns[:2].mean(axis=1), rtol=1e-6
    )
    assert min(png_size(tmp_path / "figure3_25.png")) > 500
    figure3_25.run(
        replace(config, num_baseline_agents=0)
    )  # of other proxies, say: agents on the real task are kept
    assert read_csv(tmp_path / "figure3_25.csv") == lines
    assert json.loads((tmp_path / "figure3_25.json").read_text())["results"] == results


@pytest.mark.long
def test_figure3_25_chooses_by_other_agents(tmp_path, run_dirs):
    names = tuple(map(str, run_dirs))
    changes = {"out": tmp_path, "proxy": names, "num_chosen": 1, "num_selection_agents": 4}
    config = replace(figure3_25.PRESETS["smoke"], **changes)
    figure3_25.run(config)
    figure3_25.plot(config)
    chosen = json.loads((tmp_path / "figure3_25.json").read_text())["results"]["chosen"]
    best = max(chosen["chosen_by"], key=lambda row: row["mean_return"])
    assert {row["proxy"]: row["num_agents"] for row in chosen["chosen_by"]} == dict.fromkeys(names, 2)
    assert [row["proxy"] for row in chosen["proxies"]] == [best["proxy"]] and chosen["num_agents"] == 2
    own = [line for line in read_csv(tmp_path / "figure3_25.csv") if line["row"] == "chosen"]
    assert np.mean([float(line["mean_return"]) for line in own]) == pytest.approx(chosen["mean_return"])


def test_figure3_25_takes_proxies_that_are_alike(tmp_path, run_dirs):
    config = replace(figure3_25.PRESETS["smoke"], out=tmp_path)
    other = write_unlike_proxy(run_dirs[0] / "best_proxy.safetensors", tmp_path / "other.safetensors")
    for names, message in (
        ((), "nowhere to train"),
        ((str(run_dirs[0]), "CartPole-v0"), "CartPole-v0 is no proxy"),
        ((str(run_dirs[0]), str(other)), "differ in shape or training budget"),
    ):
        with pytest.raises(UserError, match=message):
            figure3_25.run(replace(config, proxy=names))


def write_unlike_proxy(file, copy):
    """The same proxy, as if it had been evolved for agents with twice the steps."""
    proxy = zoo.load_file(file, "x")
    agent = proxy.metadata["agent"] | {"max_steps": 2 * proxy.metadata["agent"]["max_steps"]}
    save_tree(copy, proxy.proxy_params, proxy.metadata | {"agent": agent})
    return copy


def test_figure4_8(tmp_path, run_dirs, capsys):
    config = replace(figure4_8.PRESETS["smoke"], out=tmp_path, proxies=(str(run_dirs[0]),))
    for stage in (figure4_8.run, figure4_8.plot, figure4_8.report):
        stage(config)
    lines = read_csv(tmp_path / "figure4_8.csv")
    assert [line["quantity"] for line in lines[::3]] == [
        "next cart position", "next cart velocity", "next pole angle", "next pole velocity", "reward"
    ]  # fmt: skip
    assert len(lines) == 15 and [float(line["num"]) for line in lines[::3]] == 5 * [120]
    returns = [float(line["mean_return"]) for line in read_csv(tmp_path / "returns.csv")]
    assert len(returns) == 2 and sum(returns) == float(lines[1]["num"]), "a real pole pays 1 a step"
    assert min(png_size(tmp_path / "figure4_8_CartPole-v0.png")) > 300
    (found,) = figure4_8.read(tmp_path / "figure4_8.csv")["CartPole-v0"].values()
    numbers = figure4_8.compare(found[-1])
    assert numbers["real_std"] == 0 and numbers["shift"] == pytest.approx(
        float(lines[12]["mean"]) - 1, rel=1e-3
    )
    assert "reward: std" in capsys.readouterr().out


def test_figure11(tmp_path, capsys):
    config = replace(
        figure11.PRESETS["smoke"], out=tmp_path, runs=("reward/CliffWalking:0", "reward/CliffWalking:1")
    )
    for stage in (figure11.run, figure11.plot, figure11.report):
        stage(config)
    assert len(read_csv(tmp_path / "figure11.csv")) == 192
    lines = read_csv(tmp_path / "figure11_networks.csv")
    assert [line["network"] for line in lines] == ["0", "1", "mean"]
    each = [float(line["path"]) for line in lines]
    assert each[2] == pytest.approx(np.mean(each[:2]), rel=1e-2)
    assert min(png_size(tmp_path / "figure11.png")) > 300
    assert "path_best" in capsys.readouterr().out
    with pytest.raises(UserError, match="no reward network of CliffWalking"):
        figure11.run(replace(config, runs=("synthetic/CartPole-v0:0",)))


def test_figure11_describes_the_real_reward():
    """It says nothing about the way: -1 but for the goal, and ties go to the first action, right."""
    rewards = np.full((4, 12, 4), -1.0)
    rewards[2, 1:11, figure11.DOWN] = rewards[3, 0, figure11.RIGHT] = -100
    rewards[2, 11, figure11.DOWN] = 0
    found = {name: float(value) for name, value in figure11.describe(rewards).items()}
    assert (
        found["path"] == pytest.approx(-12 / 13, rel=1e-3) and found["cliff"] == -100 and found["other"] == -1
    )
    assert found["path_best"] == 12, "all but the first move, up, with which two others tie"


@pytest.mark.long
def test_figure22_23(tmp_path):
    config = replace(figure22_23.PRESETS["smoke"], out=tmp_path)
    figure22_23.run(replace(config, rows=("real_plateau", "careful")))
    first = json.loads((tmp_path / "figure22_23.json").read_text())["results"]
    figure22_23.run(config)  # adds the row that is missing
    figure22_23.plot(config)
    results = json.loads((tmp_path / "figure22_23.json").read_text())["results"]
    assert list(results) == ["real_plateau", "careful", "paper"]
    assert all(results[name] == first[name] for name in first)
    lines = read_csv(tmp_path / "figure22_23.csv")
    assert [(x["row"], x["proxy"]) for x in lines] == [
        (row, model) for row in results for model in ("01" if row != "real_plateau" else "00")
    ]
    for name, result in results.items():
        returns = [float(x["mean_return"]) for x in lines if x["row"] == name]
        assert result["mean_return"] == pytest.approx(np.mean(returns), rel=1e-6)
        assert min(returns) >= 1 and max(returns) <= 200
        assert [int(x["train_steps"]) for x in lines if x["row"] == name] == [60, 60]
    for name in ("careful", "paper"):
        assert len(results[name]["multi_step"]) == 40 and np.isfinite(results[name]["multi_step"]).all()
        assert 0 <= results[name]["one_step"]["done_recall"] <= 1
    assert min(png_size(tmp_path / "figure22_23.png")) > 500
    with pytest.raises(UserError, match="no row is called nonsense"):
        figure22_23.run(replace(config, rows=("nonsense",)))


def test_build_zoo(tmp_path, run_dirs, monkeypatch, capsys):
    config = replace(build_zoo.PRESETS["smoke"], runs=tuple(run_dirs), out=tmp_path / "zoo")
    build_zoo.run(config)
    assert "2 proxies" in capsys.readouterr().out
    monkeypatch.setattr(zoo, "ROOT", tmp_path / "zoo")
    assert zoo.names() == ("synthetic/CartPole-v0:0", "synthetic/CartPole-v0:1")
    for index, proxy in enumerate(zoo.load("synthetic/CartPole-v0")):
        entry, original = (
            zoo.manifest()[proxy.name],
            zoo.load_file(run_dirs[index] / "best_proxy.safetensors", "x"),
        )
        jax.tree.map(np.testing.assert_array_equal, proxy.proxy_params, original.proxy_params)
        assert proxy.metadata["seed"] == proxy.metadata["config"]["seed"] == entry["seed"] == index
        assert proxy.metadata["generations"] == entry["generations"] == 3
        assert proxy.metadata["scores"] == entry["scores"]
        assert entry["scores"]["num_agents"] == 1
        low, high = entry["scores"]["ci95_return"]
        assert 1 <= low <= entry["scores"]["mean_return"] <= high <= 200
        assert str(tmp_path) not in json.dumps([entry, proxy.metadata])
        assert str(run_dirs[index]) not in json.dumps([entry, proxy.metadata])

    file = tmp_path / "zoo" / "synthetic_CartPole-v0_1.safetensors"
    data = bytearray(file.read_bytes())
    data[-3] ^= 1
    file.write_bytes(data)
    assert len(zoo.load("synthetic/CartPole-v0:0")) == 1
    with pytest.raises(UserError, match=r"CartPole-v0:1 is damaged or missing"):
        zoo.load("synthetic/CartPole-v0")

    build_zoo.run(replace(config, runs=(run_dirs[1],)))
    assert zoo.names() == ("synthetic/CartPole-v0:0",)
    assert zoo.load("synthetic/CartPole-v0")[0].metadata["seed"] == 1
    assert not file.exists()


def test_build_zoo_refuses_what_it_cannot_ship(tmp_path, run_dirs):
    config = replace(build_zoo.PRESETS["smoke"], runs=tuple(run_dirs), out=tmp_path)
    with pytest.raises(UserError, match=r"holds a synthetic proxy, not a bandit one: pass another --kind"):
        build_zoo.run(replace(config, kind="bandit"))
    with pytest.raises(UserError, match=r"holds no finished run"):
        build_zoo.run(replace(config, runs=(tmp_path,)))
    with pytest.raises(UserError, match=r"no run given"):
        build_zoo.run(replace(config, runs=()))
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("experiment", EXPERIMENTS, ids=lambda module: module.__name__.split(".")[-1])
def test_presets(experiment, capsys):
    presets = experiment.PRESETS
    assert set(presets) == {"paper", "cpu", "smoke"}
    for name, preset in presets.items():
        assert preset.preset == name
        assert parse(presets, ["--preset", name]) == preset
    assert parse(presets, []) == presets["cpu"]
    assert parse(presets, ["--out", "x", "--preset=paper"]) == replace(presets["paper"], out=Path("x"))
    with pytest.raises(SystemExit):
        parse(presets, ["--preset", "huge"])
    assert f"python -m {experiment.__name__}" in type(presets["cpu"]).__doc__
    capsys.readouterr()


def test_a_users_error_is_one_line(capsys, monkeypatch):
    monkeypatch.setattr("experiments.command_line.configure_jax", lambda devices: None)

    def fail(config):
        raise UserError("no such thing: pass another")

    assert execute(None, fail) == 2
    assert capsys.readouterr().err == "error: no such thing: pass another\n"
