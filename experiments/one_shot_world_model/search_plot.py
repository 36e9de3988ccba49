"""The picture of a search: how its best trial was found, and which parameters mattered."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from synthenv.runs.display.figures import BLUE, INK, ORANGE, QUIET, RED, dress, new_figure, save

_JUDGES = {"held_out": "random tasks, nothing real", "real": "the real tasks themselves, as in the paper"}


def draw(lines: Sequence[Mapping[str, str]], results: Mapping[str, Any], objective: str, file: Path) -> None:
    """Write the picture.

    Args:
        lines: of ``search.csv``.
        results: of ``search.json``.
        objective: held_out or real.
        file: a PNG.
    """
    shares = results["importances"]
    figure = new_figure(13.0, 2.4 + 0.26 * max(10, len(shares)), "Tables 6 and 7: search of prior and model")
    history, bars = figure.subplots(1, 2)
    dress(history, f"judged by {_JUDGES[objective]}", "trial", "mean ln(rms error), lower is better")
    _draw_history(history, lines)
    title = f"{sum(line['state'] == 'complete' for line in lines)} trials; PED-ANOVA, the best quarter against all"
    dress(bars, title, "share of importance", "")
    _draw_importances(bars, shares)
    figure.legend(loc="outside lower left", ncols=4, frameon=False)
    save(figure, file)


def _draw_history(axes: Axes, lines: Sequence[Mapping[str, str]]) -> None:
    """Values with their intervals over tasks, the best so far, the paper's final values, failures on the frame."""
    completed = [line for line in lines if line["state"] == "complete"]
    if completed:
        number, value, low, high = (
            np.array([float(line[name]) for line in completed]) for name in ("trial", "value", "low", "high")
        )
        errors = np.maximum([value - low, high - value], 0)
        axes.errorbar(number, value, errors, fmt="o", color=BLUE, markersize=4, linewidth=1, label="a trial")
        best = np.minimum.accumulate(value)
        axes.step(number, best, where="post", color=INK, linewidth=1.4, label="best so far")
        if number[0] == 0:
            axes.axhline(
                value[0], color=ORANGE, linewidth=1, linestyle="--", label="the paper's final values"
            )
    failed = [float(line["trial"]) for line in lines if line["state"] != "complete"]
    if failed:
        low = np.full(len(failed), 0.02)
        axes.plot(failed, low, "x", color=RED, transform=axes.get_xaxis_transform(), label="failed")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))


def _draw_importances(axes: Axes, shares: Mapping[str, float]) -> None:
    axes.grid(visible=False)
    if not shares:
        axes.set_yticks([])
        axes.text(0.5, 0.5, "too few trials", transform=axes.transAxes, ha="center", color=QUIET)
        return
    names = sorted(shares, key=lambda name: shares[name])
    axes.barh(range(len(names)), [shares[name] for name in names], color=BLUE, height=0.66)
    axes.set_yticks(range(len(names)), names, fontsize=8)
