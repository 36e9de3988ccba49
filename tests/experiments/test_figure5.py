"""Figure 5 from end to end at its smoke preset, and through the command."""

import json
from dataclasses import replace

import jax
import pytest

from experiments.reward_networks import figure5
from synthenv.cli import main
from synthenv.runs.storage.csv_tables import read_csv

pytestmark = pytest.mark.rank_promotion_ok


@pytest.fixture(scope="module")
def compared(tmp_path_factory):
    """Two variants on the Cliff, one search of one generation each."""
    config = replace(figure5.PRESETS["smoke"], out=tmp_path_factory.mktemp("figure5"))
    with jax.numpy_rank_promotion("allow"):  # evosax
        figure5.run(config)
    return config


@pytest.mark.long
def test_summary(compared, capsys):
    results = json.loads((compared.out / "summary.json").read_text())
    assert set(results["agents"]) == {"q_learning", "q_learning, varied", "sarsa"}
    for kinds in results["agents"].values():
        assert set(kinds["proxies"]) == set(compared.variants)
        assert set(kinds["baselines"]) == {"real", "count_based"}
        assert all(row["num_agents"] == 2 and row["budget"] == 400 for row in kinds["proxies"].values())
    assert results["named"] in compared.variants and "out" not in results["config"]
    figure5.report(compared)
    told = capsys.readouterr().out
    solves = [found["ratio"] != 1.0 for found in results["ratios"].values()]
    assert told.count(f"{results['named']} takes") == sum(solves)
    assert told.count(f"{results['named']} has a mean return") == len(solves) - sum(solves)


@pytest.mark.long
def test_pictures(compared):
    assert (compared.out / "curves.png").read_bytes().startswith(b"\x89PNG")
    lines = read_csv(compared.out / "curves.csv")
    assert {line["agent"] for line in lines} == {"q_learning", "q_learning, varied", "sarsa"}


@pytest.mark.long
def test_finished_searches_are_left_alone(compared):
    proxies = sorted(compared.out.glob("*/best_proxy.safetensors"))
    before = [p.stat().st_mtime_ns for p in proxies]
    figure5.run(compared)
    assert len(proxies) == 2 and [p.stat().st_mtime_ns for p in proxies] == before


def test_best_variant():
    """Fewest steps, then the better return in training."""
    row = lambda steps, mean=0.0: {"steps_to_solve": steps, "mean_return_in_training": mean}  # noqa: E731
    rows = {"a": row(50), "b": row(30, 1.0), "c": row(30, 2.0)}
    assert figure5.best_variant(rows) == "c"
    varied = {"a": row(50), "b": row(90), "c": row(80)}
    assert figure5.best_variant(rows, varied) == "a"


def test_ratios():
    """The better of two baselines, and of all that agents of one kind have."""

    def row(steps, low, high, mean=0.0):
        steps = {"steps_to_solve": steps, "ci95_steps_to_solve": [low, high]}
        return steps | {"mean_return_in_training": mean, "ci95_return_in_training": [mean - 1, mean + 1]}

    agents = {
        "small": {
            "proxies": {"c": row(30, 20, 40)},
            "baselines": {"real": row(100, 90, 110), "icm": row(60, 41, 80)},
        },
        "large": {"proxies": {"c": row(30, 20, 41)}, "baselines": {"real": row(120, 90, 150)}},
    }
    alone = figure5.ratios(agents, "c", (("small",), ("large",)))
    returns = {"returns_in_training": [0.0, 0.0], "returns_apart": False}
    assert alone == {
        "small": {"baseline": "small: icm", "ratio": 0.5, "apart": True, **returns},
        "large": {"baseline": "large: real", "ratio": 0.25, "apart": True, **returns},
    }
    kin = figure5.ratios(agents, "c", (("small", "large"),))
    assert kin["large"] == {"baseline": "small: icm", "ratio": 0.5, "apart": False, **returns}
    budget = (100, 100, 100)
    unsolved = {
        "proxies": {"c": row(*budget, 9)},
        "baselines": {"real": row(*budget, 1), "icm": row(*budget, 5)},
    }
    found = figure5.ratios({"none": unsolved}, "c", (("none",),))["none"]
    assert (
        found["baseline"] == "none: icm" and found["returns_in_training"] == [9, 5] and found["returns_apart"]
    )


@pytest.mark.long
def test_the_command_draws_curves(compared, tmp_path, capsys):
    """A run directory, two agents, baselines: a table, a picture, steps to solve in the JSON."""
    run = str(compared.out / "additive_potential-0")
    words = ["--agent", "q_learning", "sarsa", "--num-agents", "2", "--max-steps", "400", "--baselines"]
    files = ["--out", str(tmp_path / "curves"), "--json", str(tmp_path / "result.json")]
    assert main(["evaluate", "--proxy", run, "--curves", *words, *files]) == 0
    results = json.loads((tmp_path / "result.json").read_text())["results"]
    assert results["steps_to_solve"] <= 400
    assert {row["budget"] for row in results["baselines"].values()} == {400}
    assert set(results["agents"]) == {"q_learning", "sarsa"}
    assert (tmp_path / "curves" / "curves.png").exists()
    assert "count_based" in capsys.readouterr().out
