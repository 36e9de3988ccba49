"""What searches on tables came to: regret and Elo over budgets, as tables and a picture."""

from pathlib import Path
from typing import Any

import numpy as np

from synthenv.runs.display.figures import BLUE, CYCLE, dress, new_figure, save
from synthenv.runs.statistics.intervals import bootstrap_interval
from synthenv.selection.search.elo import elo_intervals

BUDGETS = [0.05, 0.1, 0.25, 0.5]
SHARES = sorted({*BUDGETS, *np.geomspace(0.005, max(BUDGETS), 21).round(4).tolist()})  # of the curves


def summary(rows: dict[str, Any], names: list[str], datasets: list[str], seeds: list[int]) -> dict[str, Any]:
    """Regret and Elo at every budget, over the data sets that all methods have played with all of the seeds."""
    mine = {name: {d: [] for d in datasets} for name in names}
    for name, of_dataset in mine.items():
        for d, found in of_dataset.items():
            found += [rows[key]["regret"] for seed in seeds if (key := f"{name} {d} {seed}") in rows]
    names = [name for name in names if any(mine[name].values())]
    played = [d for d in datasets if all(len(mine[name][d]) == len(seeds) for name in names)]
    regret = np.asarray([[np.mean(mine[name][d], 0) for name in names] for d in played])  # [D, P, shares]
    if not played:
        raise SystemExit("no data set was played by all methods with all seeds: nothing to compare yet")
    came_to: dict[str, Any] = {"datasets": played, "seeds": seeds, "budgets": BUDGETS, "methods": {}}
    at = [SHARES.index(budget) for budget in BUDGETS]
    elos = [elo_intervals(regret[:, :, i], names.index("random")) for i in at]
    for p, name in enumerate(names):
        own = [rows[f"{name} {d} {seed}"] for d in played for seed in seeds]
        came_to["methods"][name] = {
            "regret": regret[:, p, at].mean(0).round(4).tolist(),
            "ci95_regret": [np.round(bootstrap_interval(regret[:, p, i]), 4).tolist() for i in at],
            "elo": [round(float(elo[0, p])) for elo in elos],
            "ci95_elo": [[round(float(x)) for x in elo[1:, p]] for elo in elos],
            "curve": regret[:, p].mean(0).round(5).tolist(),
            "searches": len(own),
            "cpu_seconds_per_search": round(float(np.mean([row["cpu_seconds"] for row in own])), 3),
            "version": own[0].get("version", "synthenv"),
        }
    return came_to


def show(found: dict[str, Any], unit: str) -> None:
    """Print regret and Elo as tables in Markdown."""
    print(f"{len(found['datasets'])} data sets, shares of the pool's {unit}")
    for what, digits in (("regret", 3), ("elo", 0)):
        print(f"\n| {what} at | " + " | ".join(f"{b:.0%}" for b in BUDGETS) + " | searches |")
        print("|---|" + "---|" * (len(BUDGETS) + 1))
        for name, row in found["methods"].items():
            cells = [
                f"{mean:.{digits}f} [{low:.{digits}f}, {high:.{digits}f}]"
                for mean, (low, high) in zip(row[what], row[f"ci95_{what}"], strict=True)
            ]
            print(f"| {name} | " + " | ".join(cells) + f" | {row['searches']} |")


def picture(found: dict[str, Any], unit: str, out: Path) -> None:
    """Draw the mean regret of everybody over the budget."""
    figure = new_figure(8.0, 4.5, f"normalised regret on {len(found['datasets'])} data sets")
    axes = figure.subplots()
    colors = (BLUE, *CYCLE * len(found["methods"]))
    for color, (name, row) in zip(colors, found["methods"].items(), strict=False):
        style = "-" if row["version"] == "synthenv" else "--"
        axes.plot(SHARES, row["curve"], style, color=color, label=name, drawstyle="steps-post")
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.legend(frameon=False)
    dress(axes, "mean over data sets and seeds; peers are dashed", f"share of the pool's {unit}", "regret")
    save(figure, out)
