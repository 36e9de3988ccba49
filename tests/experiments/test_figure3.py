"""Figures 3 and 5 at their smoke preset, and the rule that tells shapes apart."""

import json
from dataclasses import replace
from functools import partial

import numpy as np
import pytest

from experiments.one_shot_world_model import figure3
from experiments.one_shot_world_model.figure3 import (
    PRESETS,
    SHAPES,
    histogram,
    num_peaks,
    shape_of,
    summarise,
)
from experiments.one_shot_world_model.prior_columns import PRIORS, ours
from synthenv.runs.storage.csv_tables import read_csv


def test_it_runs_and_goes_on_where_it_stopped(tmp_path):
    config = replace(PRESETS["smoke"], out=tmp_path, priors=("networks",))
    figure3.run(config)
    before = (tmp_path / "figure3.csv").read_text()
    config = replace(config, priors=("networks", "momentum"))
    figure3.run(config)
    figure3.plot(config)
    assert (tmp_path / "figure3.csv").read_text().startswith(before)
    lines = read_csv(tmp_path / "figure3.csv")
    assert {line["kind"] for line in lines if line["prior"] == "networks"} == {"network"}
    kinds = {line["kind"] for line in lines if line["prior"] == "momentum"}
    assert kinds and all(kind.endswith((" position", " velocity")) for kind in kinds)
    assert all(sum(map(int, line["counts"].split())) == config.num_rows for line in lines)
    results = json.loads((tmp_path / "figure3.json").read_text())["results"]
    assert results["networks"]["num_worlds"] == config.num_worlds
    for summary in results.values():
        assert sum(summary["shares"].values()) == pytest.approx(1)
    assert all(len(line["values"].split()) == 51 for line in read_csv(tmp_path / "figure3_episodes.csv"))
    for name in ("figure3_5.png", "figure3_5_episodes.png"):
        assert (tmp_path / name).stat().st_size > 1000


@pytest.mark.long
def test_our_prior_has_every_family(tmp_path, monkeypatch):
    families = ("linear", "grid")
    monkeypatch.setitem(PRIORS, "ours", partial(ours, families=families))
    config = replace(PRESETS["smoke"], out=tmp_path, priors=("ours",), num_worlds=6)
    figure3.run(config)
    lines = read_csv(tmp_path / "figure3.csv")
    episodes = read_csv(tmp_path / "figure3_episodes.csv")
    assert {line["kind"] for line in lines} == {line["kind"] for line in episodes} == set(families)
    assert all(len(line["values"].split()) == 32 for line in episodes)
    whole = [line["low"] for line in lines if line["kind"] == "grid"]
    assert whole and all(float(low).is_integer() for low in whole), "a board's columns are whole numbers"


@pytest.mark.parametrize(
    ("shape", "values"),
    [
        ("constant", np.full(1001, 7.3)),
        ("constant", 7.3 + 1e-9 * np.arange(1001)),
        ("peaked", np.append(np.random.default_rng(0).normal(size=1000), 60)),
        ("wide", np.random.default_rng(0).uniform(size=1001)),
        ("wide", np.random.default_rng(0).normal(size=1001)),
        ("wide", np.append(np.random.default_rng(0).normal(size=990), np.linspace(3, 12, 11))),  # far tails
        ("multimodal", np.sin(np.linspace(0, 2 * np.pi, 1001))),  # at both ends
        ("multimodal", np.random.default_rng(0).normal(size=1000) + np.repeat([0, 6], 500)),
        ("sparse", np.random.default_rng(0).choice(np.arange(9.0), 1001)),
    ],
)
def test_shapes(shape, values):
    assert shape_of(histogram(values)) == shape


def test_peaks_are_counted():
    places = np.arange(100)
    hills = [np.exp(-0.5 * ((places - centre) / 6) ** 2) for centre in (20, 50, 80)]
    assert [num_peaks(1000 * np.sum(hills[:n], axis=0)) for n in (1, 2, 3)] == [1, 2, 3]
    assert num_peaks(1000 * (hills[0] + 0.05 * hills[2])) == 1, "a twentieth is no peak"


def test_shares_are_means_over_environments():
    shapes = {"0": ["wide", "wide", "peaked", "sparse"], "1": ["peaked"]}
    lines = [
        {"prior": "p", "world": world, "kind": "k", "shape": shape}
        for world, each in shapes.items()
        for shape in each
    ]
    found = summarise(lines)["p"]
    assert found["shares"] == {"peaked": 0.625, "wide": 0.25, "multimodal": 0, "sparse": 0.125, "constant": 0}
    assert found["ci95_shares"]["peaked"] == [0.25, 1.0]
    assert found["by_kind"]["k"]["peaked"] == 0.4 and set(found["shares"]) == set(SHAPES)
