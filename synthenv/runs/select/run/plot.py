"""The picture of a search: the best score over time, and the curves of all trials."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from synthenv.runs.display.figures import (
    BLUE,
    GREEN,
    INK,
    ORANGE,
    QUIET,
    RED,
    dress,
    new_figure,
    panels,
    save,
)
from synthenv.selection.tuner.search import Search

LOOKS = {
    "paused": (QUIET, "stopped or paused"),
    "finished": (BLUE, "finished"),
    "running": (GREEN, "running"),
    "crashed": (RED, "crashed"),
}


def draw_progress(search: Search, found: Sequence[tuple[float, float]], seconds: float) -> Figure:
    """Draw a search.

    Args:
        search: as it stands.
        found: seconds and score of every new best one.
        seconds: what the clock says.
    """
    figure = new_figure(11.0, 4.6, f"{search.policy.name}: {search.num_jobs} evaluations")
    over_time, curves = panels(figure, 2)
    _incumbent(over_time, search, found, seconds)
    _curves(curves, search)
    figure.legend(*curves.get_legend_handles_labels(), loc="outside lower right", ncols=5, frameon=False)
    return figure


def _incumbent(axes: Axes, search: Search, found: Sequence[tuple[float, float]], seconds: float) -> None:
    dress(axes, "the best score so far", "seconds", "score")
    if not found:
        axes.text(0.5, 0.5, "no score yet", transform=axes.transAxes, ha="center", color=QUIET)
        return
    when, scores = zip(*found, strict=True)
    axes.step([*when, seconds], [*scores, scores[-1]], where="post", color=INK, linewidth=1.6)
    axes.plot(when, scores, linestyle="", marker="o", markersize=4, color=INK)
    axes.set_xlim(left=0.0)


def _curves(axes: Axes, search: Search) -> None:
    """A line for each trial; a cross on the frame for one that crashed before its first score."""
    dress(axes, "all trials", "step" if search.num_steps > 1 else "trial", "score")
    best, labelled = search.best(), set()
    for candidate in range(len(search.curves)):
        state = search.state_of(candidate)
        if state == "new":
            continue
        color, label = LOOKS[state]
        scores = search.curves[candidate]
        there = np.flatnonzero(~np.isnan(scores))
        is_best = best is not None and best.candidate == candidate
        if is_best:
            color, label = ORANGE, "best"
        label = None if label in labelled else label
        labelled.add(label)
        x = there + 1 if search.num_steps > 1 else np.full(len(there), candidate)
        if not len(there):
            place = 1 if search.num_steps > 1 else candidate
            axes.plot([place], [0.02], "x", transform=axes.get_xaxis_transform(), color=color, label=label)
            continue
        axes.plot(
            x,
            scores[there],
            color=color,
            label=label,
            linewidth=2.0 if is_best else 0.9,
            alpha=1.0 if is_best else 0.6,
            marker="o" if len(there) == 1 else None,
            markersize=4,
            zorder=3 if is_best else 2,
        )
        if state == "crashed":
            axes.plot(x[-1:], scores[there[-1:]], "x", color=RED, zorder=4)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))


def write_progress(search: Search, found: Sequence[tuple[float, float]], seconds: float, file: Path) -> None:
    """Write ``draw_progress`` as a PNG.

    Raises:
        MachineError: the disk is full.
    """
    save(draw_progress(search, found, seconds), file)
