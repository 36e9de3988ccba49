"""The panels of figures 22 and 23: bars of returns and steps, errors of prediction, ends recognised.

Each takes the summaries by row and the rows' colours.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
from matplotlib.axes import Axes

from synthenv.runs.display.figures import INK, QUIET, dress


def draw_bars(axes: Axes, results: dict[str, Any], colors: Mapping[str, str], name: str, title: str) -> None:
    """A bar for each row, the first on top."""
    dress(axes, title, "mean", "")
    axes.grid(axis="x")
    for position, (row, result) in enumerate(results.items()):
        mean, (low, high) = result[f"mean_{name}"], result[f"ci95_{name}"]
        axes.barh(position, mean, height=0.65, color=colors[row], alpha=0.85)
        axes.errorbar(mean, position, xerr=[[mean - low], [high - mean]], color=INK, capsize=3, linewidth=1.2)
    axes.set_ylim(len(results) - 0.4, -1.2)


def draw_errors(axes: Axes, fitted: dict[str, Any], colors: Mapping[str, str]) -> None:
    """Prediction error by steps without correction; rows with equal models share a line."""
    dress(axes, "Prediction error of held-out agents' episodes", "steps ahead", "median error / std")
    drawn: dict[tuple[float, ...], list[str]] = {}
    for name, result in fitted.items():
        drawn.setdefault(tuple(result["multi_step"]), []).append(name)
    styles = ("-", "--", ":", "-.", (0, (6, 1)), (0, (1, 3)), (0, (4, 1, 1, 1, 1, 1)))
    for i, (curve, names) in enumerate(drawn.items()):
        color = colors[names[0]]
        steps = np.arange(1, len(curve) + 1)
        axes.plot(
            steps,
            curve,
            color=color,
            linestyle=styles[i % len(styles)],
            linewidth=1.5,
            label=", ".join(names),
        )
    axes.set_yscale("log")
    axes.legend(frameon=False, fontsize=6.5, labelcolor=INK)


def draw_ends(axes: Axes, fitted: dict[str, Any], colors: Mapping[str, str]) -> None:
    """Share of failures that a model takes for one, and of other transitions."""
    dress(axes, "Ends recognised", "share of the failures", "false ends")
    points: dict[tuple[float, float], list[str]] = {}
    for name, result in fitted.items():
        one_step = result["one_step"]
        points.setdefault((one_step["done_recall"], max(one_step["false_ends"], 1e-5)), []).append(name)
    for point, names in points.items():
        axes.scatter(*point, s=26, color=colors[names[0]])
        label, right = "\n".join(names), point[0] > 0.5
        offset, side = ((-5, 0), "right") if right else ((5, 0), "left")
        axes.annotate(
            label, point, offset, textcoords="offset points", color=QUIET, fontsize=7, ha=side, va="center"
        )
    axes.set_yscale("log")
    axes.set_xlim(-0.1, 1.1)
