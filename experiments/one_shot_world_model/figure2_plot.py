"""The picture of figure 2: a panel for each task, mean, best and worst agent, and what needs no learning."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator, StrMethodFormatter

from synthenv.envs import registry
from synthenv.runs.display.figures import BLUE, GREEN, INK, ORANGE, QUIET, RED, dress, new_figure, save
from synthenv.runs.statistics.intervals import bootstrap_band

_NUM_COLUMNS = 3
_SYMLOG = {"SimpleEnv": 1.0}  # its returns, none above 0, span three powers of ten


def draw(rows: Sequence[Mapping[str, str]], results: Mapping[str, Any], file: Path) -> None:
    """Write the picture.

    Args:
        rows: of ``figure2.csv``.
        results: its summary, by task.
        file: a PNG.
    """
    num_columns = min(_NUM_COLUMNS, len(results))
    num_rows = -(-len(results) // num_columns)
    title = "Figure 2: agents that train in dreams, tested on the real task"
    figure = new_figure(4.4 * num_columns + 0.4, 3.5 * num_rows + 1.0, title)
    panels = figure.subplots(num_rows, num_columns, squeeze=False).ravel()
    for axes, (task, summary) in zip(panels, results.items(), strict=False):
        curves = curves_of(rows, task)
        _draw_task(axes, task, curves, summary)
    for axes in panels[len(results) :]:
        axes.set_axis_off()
    found = {}  # tasks without a threshold lack one of the labels
    for axes in panels:
        handles, labels = axes.get_legend_handles_labels()
        found = dict(zip(labels, handles, strict=True)) | found
    order = ("mean, 95 % band", "best at the end", "worst at the end", "solved", "best untrained", "random")
    shown = [name for name in order if name in found]
    handles, ncols = [found[name] for name in shown], 2 * num_columns
    figure.legend(handles, shown, loc="outside lower left", ncols=ncols, frameon=False)
    save(figure, file)


def curves_of(rows: Sequence[Mapping[str, str]], task: str) -> list[tuple[np.ndarray, np.ndarray]]:
    """Training steps and returns of every seed."""
    by_seed: dict[str, list[tuple[float, float]]] = {}
    for row in rows:
        if row["task"] == task:
            by_seed.setdefault(row["seed"], []).append((float(row["steps"]), float(row["mean_return"])))
    return [(points[:, 0], points[:, 1]) for points in map(np.array, by_seed.values())]


def _draw_task(
    axes: Axes, task: str, curves: list[tuple[np.ndarray, np.ndarray]], summary: Mapping[str, Any]
) -> None:
    dress(axes, f"{task}, {len(curves)} seeds, {summary['model']}", "training steps in the dream", "return")
    grid = max((steps for steps, _ in curves), key=len)  # a seed that stopped early keeps its last return
    returns = np.array([np.interp(grid, *curve) for curve in curves])
    mean, low, high = bootstrap_band(returns)
    axes.fill_between(grid, low, high, color=BLUE, alpha=0.2, linewidth=0)
    for index, colour, label in (
        (int(returns[:, -1].argmax()), ORANGE, "best at the end"),
        (int(returns[:, -1].argmin()), GREEN, "worst at the end"),
    ):
        axes.plot(grid, returns[index], color=colour, linewidth=1.0, label=label)
    axes.plot(grid, mean, color=BLUE, linewidth=2.2, label="mean, 95 % band")
    axes.axhline(summary["untrained_control"], color=INK, linewidth=1.0, label="best untrained")
    axes.axhline(summary["random_return"], color=QUIET, linewidth=1.0, label="random")
    if task in registry.names():
        solved = registry.thresholds()[task][0]
        axes.axhline(solved, color=RED, linewidth=1.1, linestyle="--", label="solved")
    if task in _SYMLOG:
        axes.set_yscale("symlog", linthresh=_SYMLOG[task])
        axes.set_ylim(top=0.0)
    axes.xaxis.set_major_locator(MaxNLocator(4))
    axes.xaxis.set_major_formatter(StrMethodFormatter("{x:,.0f}"))
