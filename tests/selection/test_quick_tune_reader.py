"""The layout of Quick-Tune's meta-data sets."""

import json
from pathlib import Path

import numpy as np
import pytest

from synthenv.core.errors import UserError
from synthenv.selection.readers.registry import read_meta_dataset
from synthenv.selection.tables.columns import original
from tests.selection.real_data import real_data

TABLE = """,lr,momentum,clip,cat:opt:sgd,cat:opt:adam
a,0.1,0.9,-1,1,0
b,0.01,0.5,1.0,1,0
c,0.1,0.9,10.0,0,1
"""
SCORES = {"info": {"metric": "%"}, "CARS": {"a": [10, 20.5], "b": [5, None, 7]}, "DOGS": {"c": [50.0]}}
COSTS = {"CARS": {"a": [60, 61], "b": [30, 30, 30]}, "DOGS": {"c": [10.0]}}
SPACE = {"conditions": [{"child": "momentum", "parent": "opt", "type": "EQ", "value": "sgd"}]}


def write(path: Path, **changed: object) -> Path:
    """A tiny one, some of its files changed or left out (None)."""
    files = {"perf.json": SCORES, "cost.json": COSTS, "table.csv": TABLE}
    files |= {"descriptors.json": {"CARS": [100, 7, 128, 3]}, "space.json": SPACE}
    files |= {name.replace("_", "."): content for name, content in changed.items()}
    for name, content in files.items():
        if content is not None:
            (path / name).write_text(content if isinstance(content, str) else json.dumps(content))
    return path


def test_small_one(tmp_path):
    meta = read_meta_dataset(write(tmp_path))
    assert meta.datasets == ("CARS", "DOGS") and meta.config_names == ("a", "b", "c")
    np.testing.assert_allclose(meta.curves, [[10, 20.5], [5, np.nan], [50, np.nan]])
    np.testing.assert_allclose(meta.costs, [[60, 61], [30, 30], [10, np.nan]])
    assert meta.crashed.tolist() == [False, True, False]
    np.testing.assert_allclose(meta.meta_features, [[100, 7, 128, 3], [np.nan] * 4])
    assert original(meta.columns, meta.configs[0]) == {"lr": 0.1, "momentum": 0.9, "opt": "sgd"}
    assert original(meta.columns, meta.configs[2]) == {"lr": 0.1, "clip": 10.0, "opt": "adam"}  # no momentum
    assert meta.score_range == (0.0, 100.0)


def test_without_the_optional_files(tmp_path):
    meta = read_meta_dataset(write(tmp_path, space_json=None, descriptors_json=None))
    assert original(meta.columns, meta.configs[2])["momentum"] == 0.9
    assert meta.meta_names == () and meta.meta_features.shape == (2, 0)


BROKEN = {
    "a run without a row": ({"table_csv": TABLE.replace("c,0.1", "d,0.1")}, "add a row for c"),
    "a row twice": ({"table_csv": TABLE.replace("b,0.01", "a,0.01")}, "line 3 is there twice, as a"),
    "two choices": ({"table_csv": TABLE.replace("0.9,-1,1,0", "0.9,-1,1,1")}, "line 2 has 2 choices of opt"),
    "a word for a number": ({"table_csv": TABLE.replace("0.01", "low")}, "line 3, column lr holds 'low'"),
    "unequal lines": (
        {"table_csv": TABLE.replace("0.01,", "0.01,,")},
        "line 3 has 7 cells, where the header",
    ),
    "no names of runs": ({"table_csv": TABLE.replace(",lr", "run,lr", 1)}, "no column without a name"),
    "two columns of a name": ({"table_csv": TABLE.replace("clip", "lr")}, "two columns called 'lr'"),
    "no cost": ({"cost_json": {"CARS": COSTS["CARS"]}}, "has no run c of DOGS"),
    "too few costs": ({"cost_json": {**COSTS, "DOGS": {"c": []}}}, "1 epochs in perf.json and 0"),
    "a negative cost": ({"cost_json": {**COSTS, "DOGS": {"c": [-1]}}}, "run 2 .* has a cost below 0"),
    "an infinite cost": (
        {"cost_json": {**COSTS, "DOGS": {"c": [np.inf]}}},
        "run c of DOGS holds an infinite",
    ),
    "a score of 200 %": ({"perf_json": {**SCORES, "DOGS": {"c": [200]}}}, "run 2 .* outside of 0 to 100"),
    "a score in words": ({"perf_json": {**SCORES, "DOGS": {"c": ["good"]}}}, "run c of DOGS holds 'good'"),
    "a curve that is none": ({"perf_json": {**SCORES, "DOGS": {"c": 3}}}, "DOGS must be {run:"),
    "all curves NaN": (
        {"perf_json": {"DOGS": {"c": [None]}}, "cost_json": {"DOGS": {"c": [1]}}},
        "all curves are empty",
    ),
    "no runs": ({"perf_json": {"info": {}}}, "holds no runs"),
    "a key twice": ({"cost_json": '{"CARS": {}, "CARS": {}}'}, "has CARS twice"),
    "half a file": ({"perf_json": '{"CARS": {"a": [1, '}, "perf.json is no JSON"),
    "a list": ({"perf_json": [1, 2]}, "holds no object"),
    "an empty file": ({"perf_json": " "}, "perf.json is empty"),
    "no costs at all": ({"cost_json": None}, "cannot use .*cost.json"),
    "a condition of nothing": (
        {"space_json": {"conditions": [{"type": "EQ"}]}},
        "a condition without a child",
    ),
    "another condition": (
        {"space_json": {"conditions": [{"child": "lr", "parent": "opt", "type": "LIKE", "value": "a"}]}},
        "has a condition 'LIKE'",
    ),
    "three descriptors": ({"descriptors_json": {"CARS": [1, 2, 3]}}, "CARS must be .samples"),
}


@pytest.mark.parametrize("what", BROKEN)
def test_broken_tables(tmp_path, what):
    changed, message = BROKEN[what]
    with pytest.raises(UserError, match=message) as caught:
        read_meta_dataset(write(tmp_path, **changed))
    assert "\n" not in str(caught.value)


def test_real_one():
    meta = read_meta_dataset(real_data("quicktune_extended"))
    assert (len(meta.datasets), len(meta.curves), meta.num_steps) == (26, 4665, 50)
    assert meta.lengths.sum() == 140_317 and not meta.crashed.any()
    assert int(np.nansum(meta.costs, dtype=float) / 3600) == 15_866
    by_name = {column.name: column for column in meta.columns}
    assert len(by_name["model"].values) == 24 and by_name["decay_epochs"].values == (10.0, 20.0)
