"""The picture of ``synthenv select simulate``: regret by the clock."""

from pathlib import Path
from typing import Any

from synthenv.runs.display.figures import BLUE, CYCLE, dress, new_figure, save
from synthenv.runs.display.terminal import counted


def regret_plot(results: dict[str, Any], out: Path) -> None:
    """Draw the mean regret of every method over time, with the intervals of the hours that were asked for."""
    figure = new_figure(8.0, 4.5, f"normalised regret on {results['num_datasets']} data sets")
    axes = figure.subplots()
    curves = dict(results["curves"])
    hours = curves.pop("hours")
    for color, (name, regret) in zip((BLUE, *CYCLE * len(curves)), curves.items(), strict=False):
        axes.plot(hours, regret, color=color, label=name, drawstyle="steps-post")
        method = results["methods"][name]
        for hour, (low, high) in zip(results["hours"], method["ci95_regret"], strict=True):
            axes.plot([hour, hour], [low, high], color=color, alpha=0.5)
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.legend(frameon=False)
    dress(
        axes,
        f"mean over data sets and {counted(results['num_seeds'], 'seed')}, 95 % intervals over data sets",
        "hours",
        "regret",
    )
    save(figure, out)
