"""The picture of a search: returns, training steps and time per generation."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator

from synthenv.runs.display.figures import BLUE, GREEN, INK, ORANGE, QUIET, RED, dress, new_figure, png_of
from synthenv.runs.storage.metrics import column

STYLE: dict[str, Any] = {"linewidth": 2.0, "marker": "o", "markeredgewidth": 0}


def draw_progress(
    metrics: Sequence[dict[str, Any]], title: str, solved_return: float | None, score: str = "return"
) -> bytes:
    """Return ``progress_figure`` as the bytes of a PNG."""
    return png_of(progress_figure(metrics, title, solved_return, score), dpi=130)


def progress_figure(
    metrics: Sequence[dict[str, Any]], title: str, solved_return: float | None, score: str = "return"
) -> Figure:
    """Draw three panels over the generations.

    Args:
        metrics: lines of ``metrics.jsonl``; fields may be missing or null.
        title: what was searched.
        solved_return: return from which on the task counts as solved, if known.
        score: what was maximised: the return, or the name of another objective.
    """
    figure = new_figure(9.5, 10.5, title)
    returns, steps, seconds = figure.subplots(3, sharex=True, height_ratios=(1.5, 1, 1))
    generations = np.array([line["generation"] + 1 for line in metrics])  # the first one is 1
    size = 5.0 if len(metrics) <= 60 else 0.0
    _draw_returns(returns, generations, metrics, solved_return, size, score)
    _draw_steps(steps, generations, metrics, size)
    _draw_seconds(seconds, generations, metrics, size)
    seconds.set_xlabel("generation", color=INK, fontsize=11)
    seconds.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1, steps=[1, 2, 5, 10]))
    if len(generations):
        margin = max(0.5, 0.015 * np.ptp(generations))
        seconds.set_xlim(generations.min() - margin, generations.max() + margin)
    return figure


def _draw_returns(
    axes: Axes,
    x: np.ndarray,
    metrics: Sequence[dict[str, Any]],
    solved_return: float | None,
    size: float,
    score: str,
) -> None:
    if score == "return":
        _dress(axes, "Return of trained agents on the real task", "return per episode")
    else:
        _dress(axes, f"Objective: {score}", score)
    _band(axes, x, metrics, "member_scores", GREEN, "members")
    _line(axes, x, column(metrics, "member_mean"), GREEN, "their mean", size * 0.5, linewidth=1.2)
    _scatter(axes, x, metrics, "incumbent_scores")
    _line(axes, x, column(metrics, "incumbent_mean"), BLUE, "their mean", size)
    dots = {"drawstyle": "steps-post", "linestyle": (0, (1, 1.5)), "linewidth": 1.2}
    deciding = column(metrics, "deciding_mean")
    # From the first retest on, the best is what the deciding agents reached in it, which may be less than before.
    best = "retested best" if np.isfinite(deciding).any() else "best so far"
    _line(axes, x, column(metrics, "best_incumbent"), INK, best, 0, **dots)
    diamonds = {"linestyle": "", "marker": "D"}
    _line(axes, x, deciding, ORANGE, "deciding", 5, **diamonds)
    if solved_return is not None and math.isfinite(solved_return):
        axes.axhline(solved_return, color=RED, linewidth=1.3, linestyle="--")
        axes.annotate(
            f"solved: {solved_return:g}",
            (0, solved_return),
            (4, 3),
            xycoords=("axes fraction", "data"),
            textcoords="offset points",
            color=RED,
            fontsize=9.5,
        )
    _legend(axes)


def _draw_steps(axes: Axes, x: np.ndarray, metrics: Sequence[dict[str, Any]], size: float) -> None:
    _dress(axes, "Training steps used per agent, inside the proxy", "environment steps")
    _band(axes, x, metrics, "train_steps", ORANGE, "all agents")
    _line(axes, x, column(metrics, "train_steps_mean"), ORANGE, "their mean", size)
    _from_zero(axes)
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: _short(value)))
    _legend(axes)


def _draw_seconds(axes: Axes, x: np.ndarray, metrics: Sequence[dict[str, Any]], size: float) -> None:
    _dress(axes, "Time per generation", "seconds")
    _line(axes, x, column(metrics, "seconds"), BLUE, "wall time [s]", size)
    _line(axes, x, column(metrics, "cpu_seconds"), QUIET, "CPU time, all cores [s]", size * 0.7)
    _from_zero(axes)
    busy = 100 * column(metrics, "busy_share")
    handles, labels = axes.get_legend_handles_labels()
    if np.isfinite(busy).any():
        right = axes.twinx()
        right.spines[["top", "left", "right", "bottom"]].set_visible(False)
        right.set_ylim(0, 104)
        right.set_ylabel("busy share [%]", color=GREEN, fontsize=11)
        right.tick_params(colors=GREEN, length=0, labelsize=10)
        right.plot(x, busy, color=GREEN, linewidth=1.4, linestyle="--", marker="s", markersize=size * 0.6)
        handles.append(right.lines[0])
        labels.append("busy share of the workers [%]")
    _legend(axes, handles, labels)


def _dress(axes: Axes, title: str, ylabel: str) -> None:
    dress(axes, title, "", ylabel, title_pad=26)  # the legend stands between title and panel
    axes.tick_params(labelbottom=True)


def _legend(axes: Axes, handles: Sequence[Any] = (), labels: Sequence[str] = ()) -> None:
    """Draw a legend in one row above the panel, where it hides no data; a panel without data says so."""
    if not axes.lines and not axes.collections:
        axes.text(
            0.5, 0.5, "nothing recorded", transform=axes.transAxes, ha="center", color=QUIET, fontsize=11
        )
        axes.set_yticks([])
        return
    found = (handles, labels) if handles else axes.get_legend_handles_labels()
    axes.legend(
        *found, loc="lower left", bbox_to_anchor=(-0.008, 0.985), ncols=8, frameon=False, fontsize=9.5,
        labelcolor=INK, handlelength=1.6, columnspacing=1.2, handletextpad=0.5,
    )  # fmt: skip


def _line(
    axes: Axes, x: np.ndarray, y: np.ndarray, color: str, label: str, size: float, **style: Any
) -> None:
    if np.isfinite(y).any():
        axes.plot(x, y, color=color, label=label, markersize=size, zorder=4, **{**STYLE, **style})


def _band(
    axes: Axes, x: np.ndarray, metrics: Sequence[dict[str, Any]], name: str, color: str, who: str
) -> None:
    """Shade from the least to the most, and darker between the quartiles."""
    quantiles = np.array([_quantiles(line.get(name)) for line in metrics]).reshape(-1, 4)
    if not np.isfinite(quantiles).any():
        return
    if len(x) == 1:  # a band of no width would be invisible
        x, quantiles = x[0] + np.array([-0.03, 0.03]), np.repeat(quantiles, 2, axis=0)
    low, lower, upper, high = quantiles.T
    axes.fill_between(x, low, high, color=color, alpha=0.13, linewidth=0, label=who)
    axes.fill_between(x, lower, upper, color=color, alpha=0.27, linewidth=0, label="middle half")


def _scatter(axes: Axes, x: np.ndarray, metrics: Sequence[dict[str, Any]], name: str) -> None:
    points = [(g, v) for g, line in zip(x, metrics, strict=True) for v in _finite(line.get(name))]
    if points:
        axes.scatter(
            *np.array(points).T, s=11, color=BLUE, alpha=0.4, linewidths=0, zorder=3, label="incumbents"
        )


def _from_zero(axes: Axes) -> None:
    if axes.get_ylim()[1] > 0:
        axes.set_ylim(bottom=0)


def _quantiles(values: Any) -> np.ndarray:
    finite = _finite(values)
    return np.quantile(finite, (0, 0.25, 0.75, 1)) if finite else np.full(4, math.nan)


def _finite(values: Any) -> list[float]:
    return [float(v) for v in values if _is_number(v)] if isinstance(values, list) else []


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and math.isfinite(value)


def _short(value: float) -> str:
    """Write 1500 as 1.5k and 2000000 as 2M."""
    for unit, name in ((1e6, "M"), (1e3, "k")):
        if abs(value) >= unit:
            return f"{value / unit:g}{name}"
    return f"{value:g}"
