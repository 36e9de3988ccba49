"""The picture of an ``oswm run``: returns against training steps in the dream."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from synthenv.runs.display.figures import BLUE, INK, ORANGE, QUIET, RED, dress, new_figure, save, thousands
from synthenv.runs.display.terminal import counted
from synthenv.runs.statistics.intervals import bootstrap_band
from synthenv.runs.storage.metrics import column

FILE = "learning_curves.png"


def draw(lines: Sequence[Mapping[str, Any]], name: str, solved_return: float | None = None) -> Figure:
    """Draw all seeds, their mean with its 95 % band, and the returns at the end.

    Args:
        lines: lines of ``metrics.jsonl``, one a seed.
        name: name of the task.
        solved_return: where to draw a line, if anywhere.
    """
    figure = new_figure(8.4, 4.8, f"{name}: {counted(len(lines), 'seed')}, trained in dreams")
    axes = figure.subplots()
    dress(axes, "mean return of a test, 95 % band over seeds", "training steps in the dream", "return")
    curves = [(np.array(line["curve"]["steps"]), np.array(line["curve"]["returns"], float)) for line in lines]
    for steps, returns in curves:
        axes.plot(steps, returns, color=ORANGE, linewidth=0.8, alpha=0.35)
    # Seeds are tested after the same numbers of steps; one that stopped early keeps its last return.
    grid = max((steps for steps, _ in curves), key=len)
    mean, low, high = bootstrap_band(np.array([np.interp(grid, *curve) for curve in curves]))
    axes.plot(grid, mean, color=ORANGE, linewidth=2.0, label="mean")
    axes.fill_between(grid, low, high, color=ORANGE, alpha=0.2, linewidth=0)
    ends = [steps[-1] for steps, _ in curves]
    finals = column(lines, "final_return")
    axes.plot(
        ends, finals, "o", color=INK, markersize=4, label=f"at the end: {finals.mean():.4g}", clip_on=False
    )
    controls = (("untrained_control", BLUE, "best untrained"), ("random_return", QUIET, "random"))
    for key, color, label in controls:
        level = column(lines, key).mean()
        axes.axhline(level, color=color, linewidth=1.1, label=f"{label}: {level:.4g}")
    if solved_return is not None:
        axes.axhline(solved_return, color=RED, linewidth=1.1, linestyle="--", label="solved")
    thousands(axes)
    figure.legend(loc="outside lower left", ncols=5, frameon=False)
    return figure


def write(
    lines: Sequence[Mapping[str, Any]], directory: Path, name: str, solved_return: float | None = None
) -> Path:
    """Write ``learning_curves.png`` to a directory; returns the file, raises as ``save``."""
    return save(draw(lines, name, solved_return), directory / FILE)
