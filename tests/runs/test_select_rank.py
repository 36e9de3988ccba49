"""The command ``synthenv select rank`` on a small table in Quick-Tune's layout."""

import csv
import json
from pathlib import Path

import numpy as np
import pytest

from synthenv.cli import main
from synthenv.selection.surrogates.registry import SURROGATES


@pytest.fixture
def table(tmp_path: Path) -> Path:
    """Eight data sets with twelve runs each; the large model is better, on all of them."""
    pytest.importorskip("sklearn")
    random = np.random.default_rng(0)
    path = tmp_path / "past"
    path.mkdir()
    perf, cost, rows = {}, {}, []
    for d in range(8):
        perf[f"data{d}"], cost[f"data{d}"] = {}, {}
        for i in range(12):
            run, is_large = f"{d}{i:02d}", i % 2
            score = (80 if is_large else 30) + float(random.random())
            perf[f"data{d}"][run], cost[f"data{d}"][run] = [score / 2, score], [1.0, 1.0]
            rows.append([run, float(random.integers(1, 4)), 1 - is_large, is_large])
    with (path / "table.csv").open("w", newline="") as file:
        csv.writer(file).writerows([["", "batch_size", "cat:model:small", "cat:model:large"], *rows])
    about = {f"data{d}": [1000 * (d + 1), 10 + d, 32, 3] for d in range(8)}
    for name, content in {"perf": perf, "cost": cost, "descriptors": about}.items():
        (path / f"{name}.json").write_text(json.dumps(content))
    return path


def test_it_ranks_for_a_new_data_set(table, tmp_path, capsys):
    words = ["select", "rank", "--data", str(table), "--surrogate", "forest", "--top", "3"]
    file = tmp_path / "ranking.json"
    assert main([*words, "--meta-features", "samples=500", "classes=12", "--json", str(file)]) == 0
    ranking = json.loads(file.read_text())["results"]["ranking"]
    assert len(ranking) == 3
    assert all(row["config"]["model"] == "large" for row in ranking)
    assert [row["expected"] for row in ranking] == sorted((row["expected"] for row in ranking), reverse=True)
    assert ranking[0]["name"] in capsys.readouterr().out
    assert main([*words, "--for", "data3"]) == 0


def test_cross_validation_has_the_baselines(table, tmp_path, capsys, monkeypatch):
    # The networks of the real regression train for seconds; tests/selection has them.
    monkeypatch.setitem(SURROGATES._entries, "regression", SURROGATES["forest"])
    sizes, file = tmp_path / "sizes.csv", tmp_path / "out.json"
    sizes.write_text("name,size\nsmall,1\nlarge,9\n")
    words = [
        "select",
        "rank",
        "--data",
        str(table),
        "--surrogate",
        "forest",
        "--cross-validate",
        "--folds",
        "2",
    ]
    assert main([*words, "--sizes", str(sizes), "--json", str(file)]) == 0
    results = json.loads(file.read_text())["results"]
    assert set(results["baselines"]) == {
        *("random", "single_best", "static_order", "static_size", "regression", "oracle")
    }
    for row in (results, *results["baselines"].values()):
        low, high = row["ci95_regret"]
        assert low <= row["regret"] <= high and row["num_datasets"] == 8
    assert results["regret"] < 0.1 < results["baselines"]["random"]["regret"]
    assert results["baselines"]["oracle"]["regret"] == 0.0
    assert "static_size" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "error"),
    [
        ("", "for which data set?"),
        ("--meta-features classes", "is no NAME=NUMBER"),
        ("--meta-features clases=3", "did you mean 'classes'?"),
        ("--for data33", "did you mean 'data3'?"),
        ("--for data3 --strict", "are for --cross-validate"),
        ("--cross-validate --for data3", "drop --meta-features and --for"),
        ("--cross-validate --folds 9", "9 folds of 8 data sets"),
        ("--for data3 --surrogate zapp", "did you mean 'zap'?"),
    ],
)
def test_errors_are_a_line(table, words, error, capsys):
    assert main(["select", "rank", "--data", str(table), *words.split()]) == 2
    said = capsys.readouterr().err
    assert error in said and said.count("\n") == 1
