"""The rules by which peers play tables, and that the benchmark reads their jobs as it reads ours."""

import importlib.util
import json
import sys
from pathlib import Path

import numpy as np
import pytest

from tests.selection.small_tables import table as small_table

BENCHMARKS = Path(__file__).resolve().parents[2] / "benchmarks"
NAN = float("nan")
COLUMNS = [
    {"name": "lr", "kind": "number", "num": 0},
    {"name": "depth", "kind": "levels", "num": 3},
    {"name": "model", "kind": "choice", "num": 2},
]
ROWS = np.array([[0.1, 0.0, 0.0], [0.9, 0.5, 1.0], [0.85, NAN, 1.0]], np.float32)
CURVES = np.array([[[0.1, 0.2, 0.3], [0.5, 0.4, 0.6], [0.2, NAN, NAN]]], np.float32)


def module_of(path: Path):
    spec = importlib.util.spec_from_file_location(path.stem, path)
    module = importlib.util.module_from_spec(spec)
    sys.modules[path.stem] = module
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def rules():
    return module_of(BENCHMARKS / "peers" / "selection" / "table.py")


@pytest.fixture
def table(rules):
    arrays = {
        "mask": np.ones((1, 3), bool),
        "configs": ROWS,
        "config": np.arange(3)[None],
        "curves": CURVES,
        "costs": np.full(CURVES.shape, 2.0, np.float32),
        "lengths": np.array([[3, 3, 1]]),
    }
    return rules.Table(arrays, COLUMNS, 0, limit=9.0)


def test_what_may_be_absent_has_a_truth_beside_it(table):
    assert table.space() == {
        "lr": (0.0, 1.0),
        "depth": [0, 1, 2],
        "depth is there": [False, True],
        "model": [0, 1],
    }
    assert table.proposal_of(1) == {"lr": pytest.approx(0.9), "depth": 1, "depth is there": True, "model": 1}
    assert table.proposal_of(2) == {
        "lr": pytest.approx(0.85),
        "depth": 0,
        "depth is there": False,
        "model": 1,
    }


@pytest.mark.parametrize("candidate", range(3))
def test_a_configuration_is_nearest_to_itself(table, candidate):
    assert table.nearest(table.proposal_of(candidate)) == candidate


def test_a_proposal_becomes_the_nearest_configuration_that_was_not_begun(table):
    proposal = {"lr": 0.85, "depth": 2, "depth is there": True, "model": 1}
    # From the second: 0.05^2 + 0.5^2. From the third: 1, for what is there in one only.
    assert table.nearest(proposal) == 1
    table.step(1, 1)
    assert table.nearest(proposal) == 2
    assert table.nearest_new(proposal, {1, 2}) == 0


def test_once_all_were_begun_the_nearest_one_goes_on(table, rules):
    for candidate in range(3):
        table.step(candidate, 1)
    assert table.nearest(table.proposal_of(2)) == 1  # the third is at its end
    with pytest.raises(rules.Exhausted):
        table.nearest_new(table.proposal_of(0), {0, 1, 2})


def test_the_clock_ends_the_search_and_old_steps_cost_nothing(table, rules):
    assert [table.step(0, step) for step in (1, 2, 1, 2, 3)] == pytest.approx([0.1, 0.2, 0.1, 0.2, 0.3])
    assert table.clock == 6.0
    table.step(1, 1)
    table.step(2, 1)  # begins at 8, before the limit
    with pytest.raises(rules.Spent):
        table.step(1, 2)
    assert table.jobs == [[0, 0, 3], [1, 0, 1], [2, 0, 1]]


def test_no_step_is_left_out(table):
    with pytest.raises(ValueError, match="step 2 of configuration 0"):
        table.step(0, 2)


def test_what_is_left_is_trained_best_first(table, rules):
    table.limit = 100.0
    for candidate in range(3):
        table.step(candidate, 1)
    with pytest.raises(rules.Spent):
        table.finish()
    assert json.loads(json.dumps(table.jobs))[3:] == [[1, 1, 3], [0, 1, 3]]


def test_the_benchmark_judges_told_jobs_as_its_own(tmp_path, monkeypatch):
    monkeypatch.setenv("JAX_PLATFORMS", "cpu")
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    bench = module_of(BENCHMARKS / "bench_selection.py")
    scores = np.random.default_rng(0).uniform(size=(5, 40))
    meta = small_table(scores, np.zeros((5, 1)), [{"x": float(x)} for x in range(40)])
    meta = bench.cut(meta, 20, "steps")
    assert np.bincount(meta.dataset_of).tolist() == [20] * 5
    arena = bench.Arena(meta, "steps")
    rows = dict(arena.play("random", 0, [1, 3]))
    assert sorted(rows) == [1, 3]
    assert rows[1]["num_jobs"] == 10  # half of the pool, a step each
    assert rows[1]["regret"] == sorted(rows[1]["regret"], reverse=True)
    best = int(np.argmax(np.asarray(arena.tasks[1].curves)[:, 0]))
    others = [c for c in range(20) if c != best]
    told = [[others[0], 0, 1], [best, 0, 1]]  # the best one is known after 2 of 20 steps
    regret = arena.judged(1, arena.jobs_of(1, told))["regret"]
    assert regret[0] == 1.0 and regret[bench.SHARES.index(0.05)] > 0.0
    assert regret[bench.SHARES.index(0.1)] == 0.0
    rows = {
        f"{name} data{d} 0": row | {"version": name} for d, row in rows.items() for name in ("random", "peer")
    }
    rows["peer data1 0"]["regret"] = regret
    found = bench.summary(rows, ["random", "peer", "absent"], ["data0", "data1", "data3"], [0])
    assert found["datasets"] == ["data1", "data3"] and list(found["methods"]) == ["random", "peer"]
    assert found["methods"]["random"]["elo"] == [1000] * 4
    assert found["methods"]["peer"]["elo"][1] == 1191  # a win and a tie: odds of 3 to 1
    bench.write_tables(meta, str(tmp_path / "tables.npz"))
    arrays = dict(np.load(tmp_path / "tables.npz"))
    assert json.loads(str(arrays.pop("columns")))[0]["name"] == "x"
    assert arrays["curves"].shape == (5, 20, 1)
