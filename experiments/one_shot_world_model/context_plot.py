"""The picture of the context study: errors and returns against the size of a context, a column a task."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import FixedLocator, NullLocator, StrMethodFormatter

from synthenv.envs import registry
from synthenv.runs.display.figures import BLUE, CYCLE, QUIET, RED, dress, new_figure, save

Results = Sequence[Mapping[str, Any]]
_ROWS = (
    ("next_obs_error", "error of next states / variance"),
    ("reward_error", "error of rewards / variance"),
    ("final_return", "real return at the end"),
)
_STYLES = ("-", "--", ":")  # of models


def draw(results: Results, file: Path) -> None:
    """Write the picture.

    Args:
        results: the summary of ``context_study.csv``.
        file: a PNG.
    """
    tasks = list(dict.fromkeys(each["task"] for each in results))
    title = "How large a context, collected how?"
    figure = new_figure(4.6 * max(2, len(tasks)) + 0.6, 3.0 * len(_ROWS) + 0.9, title)
    panels = figure.subplots(len(_ROWS), len(tasks), squeeze=False)
    for column, task in zip(panels.T, tasks, strict=True):
        own = [each for each in results if each["task"] == task]
        for axes, (name, label) in zip(column, _ROWS, strict=True):
            dress(axes, task if name == _ROWS[0][0] else "", "transitions", label)
            _draw_curves(axes, own, name)
        _draw_levels(column[-1], task, own)
    handles, labels = panels[-1, 0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower left", ncols=4, frameon=False, fontsize=9)
    save(figure, file)


def _draw_curves(axes: Axes, results: Results, name: str) -> None:
    """A line for each model and strategy."""
    models = list(dict.fromkeys(each["model"] for each in results))
    strategies = list(dict.fromkeys(each["strategy"] for each in results))
    for model, style in zip(models, _STYLES, strict=False):
        for strategy, colour in zip(strategies, (BLUE, *CYCLE), strict=False):
            own = [each for each in results if (each["model"], each["strategy"]) == (model, strategy)]
            rows = np.array([each["rows"] for each in own])
            # JSON's null is NaN: where the reward never varies there is nothing to predict.
            mean = np.array([each[name] for each in own], float)
            low, high = np.array([each[f"ci95_{name}"] for each in own], float).T
            axes.plot(rows, mean, style, color=colour, marker="o", markersize=3, label=f"{strategy}, {model}")
            axes.fill_between(rows, low, high, color=colour, alpha=0.15, linewidth=0)
    axes.set_xscale("log")
    axes.xaxis.set_major_locator(FixedLocator(sorted({each["rows"] for each in results})))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_formatter(StrMethodFormatter("{x:,.0f}"))
    if name.endswith("_error"):
        axes.set_yscale("log")


def _draw_levels(axes: Axes, task: str, results: Results) -> None:
    """What needs no learning, and what counts as solved."""
    random = float(np.mean([each["random_return"] for each in results]))
    axes.axhline(random, color=QUIET, linewidth=1.0, label="random actions")
    if task in registry.names():
        solved = registry.thresholds()[task][0]
        axes.axhline(solved, color=RED, linewidth=1.1, linestyle="--", label="solved")
