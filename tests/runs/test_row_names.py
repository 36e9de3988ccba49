"""Names that users give to directories, where names or signs of ours stand beside them."""

import re

import pytest

from synthenv.runs.evaluate import learning_curves, learning_curves_plot
from synthenv.runs.oswm.benchmark.tables import markdown
from tests.runs.test_curves import learned


@pytest.mark.parametrize("baseline", ["real", "icm", "count_based"])
def test_a_proxy_that_is_called_as_a_baseline_has_a_row_of_its_own(baseline, tmp_path, monkeypatch):
    """It took the place of the baseline's curve, or lost its own to it."""
    resolve = learning_curves.resolve
    agent = "q_learning" if baseline == "count_based" else "ddqn"

    def resolved(*names, agent=None):
        return resolve("CliffWalking" if names == (baseline,) else names[0], agent=agent)._replace(
            proxies=names if names == (baseline,) else ()
        )

    def by_name(place, config, num_agents, seed, store):
        reached = 1.0 if place.proxies else 2.0 if config.bare() == config else 3.0
        return learned([reached] * 12)

    monkeypatch.setattr(learning_curves, "resolve", resolved)
    monkeypatch.setattr(learning_curves, "learn", by_name)
    told = []
    summary, rows = learning_curves.evaluate_curves(
        [baseline], [agent], 2, show=lambda *row: told.append(row[0])
    )
    bonus = "count_based" if agent == "q_learning" else "icm"
    wanted = {f"./{baseline}": 1.0, "real": 2.0, bonus: 3.0}
    assert told == [f"{agent}: {row}" for row in wanted]
    assert {name: row.curve.returns[0, 0] for name, row in rows.items()} == {
        f"{agent}: {row}": reached for row, reached in wanted.items()
    }
    kinds = summary["agents"][agent]
    assert {
        row: numbers["final_return"] for kind in kinds.values() for row, numbers in kind.items()
    } == wanted
    learning_curves_plot.write(summary, rows, tmp_path)
    lines = (tmp_path / "curves.csv").read_text().splitlines()[1:]
    assert {line.split(",")[1] for line in lines} == set(wanted)


def test_a_bar_in_a_models_path_is_no_column():
    errors = {"SimpleEnv": {"random": {"a|b": {"raw": 1.0}, "|": {"raw": 2.0}}}}
    table = [line for line in markdown("3", errors).splitlines() if line.startswith("|")]
    assert table == [r"| context | a\|b | \| |", "| --- | --- | --- |", "| random | 1 | 2 |"]
    assert [len(re.split(r"(?<!\\)\|", line)) - 2 for line in table] == [3, 3, 3]
