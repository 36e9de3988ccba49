"""The picture of learning curves: real test return against training steps, and steps to solve."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from synthenv.runs.display.figures import (
    BLUE,
    CYCLE,
    INK,
    QUIET,
    RED,
    dress,
    literal,
    new_figure,
    save,
    thousands,
)
from synthenv.runs.evaluate.learning_curves import BASELINES, Learned, at_steps
from synthenv.runs.statistics.intervals import bootstrap_band
from synthenv.runs.storage.csv_tables import read_csv, write_table

_COLORS = dict(zip(BASELINES, (BLUE, QUIET, QUIET), strict=True))
POINTS = 200
COLUMNS: Sequence[str] = ("agent", "row", "steps", "mean_return", "low", "high")
Bands = Mapping[
    str, tuple[np.ndarray, ...]
]  # by row: training steps [G], and there mean, low and high return


def grid_of(curves: Mapping[str, Learned]) -> np.ndarray:
    """Return the training steps at which curves are compared, [G]."""
    budget = max(learned.budget for learned in curves.values())
    return np.linspace(0, budget, POINTS + 1)[1:]


def band_of(learned: Learned, grid: np.ndarray) -> tuple[np.ndarray, ...]:
    """Return the steps of ``grid`` at which every agent has been tested, and there the mean return and its band."""
    returns = at_steps(learned, grid)
    tested = ~np.isnan(returns).any(axis=0)
    return grid[tested], *bootstrap_band(returns[:, tested])


def bands_of(curves: Mapping[str, Learned]) -> Bands:
    """Return what the picture shows of each curve."""
    grid = grid_of(curves)
    return {name: band_of(learned, grid) for name, learned in curves.items()}


def read_bands(out: Path) -> Bands:
    """Read the bands that ``write`` left in a directory; they are equal up to rounding."""
    found: dict[str, list[list[float]]] = {}
    for line in read_csv(out / "curves.csv"):
        numbers = [float(line[name]) for name in COLUMNS[2:]]
        found.setdefault(f"{line['agent']}: {line['row']}", []).append(numbers)
    return {name: tuple(np.array(rows).T) for name, rows in found.items()}


def draw_curves(summary: Mapping[str, Any], bands: Bands, title: str) -> Figure:
    """Draw one column per agent: its curves above, and below its steps to solve, or mean returns where none solves.

    Args:
        summary: of ``learning_curves.evaluate_curves``.
        bands: by "agent: row"; one without a test before its end may be missing.
        title: of the figure.
    """
    agents = summary["agents"]
    figure = new_figure(6.2 * len(agents) + 0.4, 7.4, title)
    panels = figure.subplots(2, len(agents), height_ratios=(1.7, 1), squeeze=False)
    proxies = dict.fromkeys(row for kinds in agents.values() for row in kinds["proxies"])
    colors: dict[str, str] = {**dict(zip(proxies, CYCLE * 9, strict=False)), **_COLORS}
    solved = [
        row["solved_share"] for kinds in agents.values() for rows in kinds.values() for row in rows.values()
    ]
    draw_bars = _draw_steps if any(solved) else _draw_means
    for (agent, kinds), above, below in zip(agents.items(), panels[0], panels[1], strict=True):
        rows = kinds["proxies"] | kinds.get("baselines", {})
        shown = {row: bands[f"{agent}: {row}"] for row in rows if f"{agent}: {row}" in bands}
        _draw_returns(above, agent, shown, summary.get("solved_return"), colors)
        draw_bars(below, rows, colors)
    figure.legend(*panels[0, 0].get_legend_handles_labels(), loc="outside lower left", ncols=6, frameon=False)
    return figure


def write(
    summary: Mapping[str, Any], curves: Mapping[str, Learned], out: Path, title: str | None = None
) -> None:
    """Write ``curves.png`` and ``curves.csv`` (mean and band on a grid of steps) to the directory ``out``.

    Raises:
        UserError: if the disk is full or the directory cannot be written.
    """
    bands = bands_of(curves)
    rows = [
        (*name.split(": ", 1), f"{steps:.0f}", *(f"{number:.4g}" for number in numbers))
        for name, band in bands.items()
        for steps, *numbers in zip(*band, strict=True)
    ]
    save(draw_curves(summary, bands, title or str(summary["tested_on"])), out / "curves.png", dpi=130)
    write_table(out / "curves.csv", COLUMNS, rows)


def _draw_returns(
    axes: Axes, agent: str, bands: Bands, threshold: float | None, colors: Mapping[str, str]
) -> None:
    dress(axes, f"{agent}: mean real test return, 95 % band", "training steps", "return")
    for row, (steps, mean, low, high) in bands.items():
        axes.plot(steps, mean, color=colors[row], linewidth=1.8, label=_short(row))
        axes.fill_between(steps, low, high, color=colors[row], alpha=0.2, linewidth=0)
    thousands(axes, 4)
    if threshold is not None:
        axes.axhline(threshold, color=RED, linewidth=1.1, linestyle="--")


def _short(row: str, length: int = 28) -> str:
    """Shorten a path at its beginning, since its end tells it apart."""
    return literal(row if len(row) <= length else f"…{row[1 - length :]}")


def _draw_steps(axes: Axes, rows: Mapping[str, Any], colors: Mapping[str, str]) -> None:
    dress(axes, "training steps to solve, mean with 95 % interval", "training steps", "")
    for place, (row, summary) in enumerate(rows.items()):
        missed = round((1 - summary["solved_share"]) * summary["num_agents"])
        note = f"  ({missed} of {summary['num_agents']} never)" if missed else ""
        _draw_bar(axes, place, summary["steps_to_solve"], summary["ci95_steps_to_solve"], colors[row], note)
    axes.set_xlim(0, 1.35 * max(summary["ci95_steps_to_solve"][1] for summary in rows.values()))
    _finish_bars(axes, rows)


def _draw_means(axes: Axes, rows: Mapping[str, Any], colors: Mapping[str, str]) -> None:
    dress(axes, "mean return in training, with 95 % interval", "return", "")
    for place, (row, summary) in enumerate(rows.items()):
        mean, interval = summary["mean_return_in_training"], summary["ci95_return_in_training"]
        _draw_bar(axes, place, mean, interval, colors[row], "")
    axes.margins(x=0.25)
    _finish_bars(axes, rows)


def _draw_bar(
    axes: Axes, place: int, mean: float, interval: tuple[float, float], color: str, note: str
) -> None:
    axes.barh(place, mean, color=color, height=0.62)
    axes.plot(interval, [place, place], color=INK, linewidth=1.6)
    axes.text(max(*interval, 0), place, f"  {mean:,.0f}{note}", va="center", fontsize=9, color=INK)


def _finish_bars(axes: Axes, rows: Mapping[str, Any]) -> None:
    axes.set_yticks(range(len(rows)), [_short(row) for row in rows])
    thousands(axes, 4)
    axes.invert_yaxis()
    axes.grid(visible=False)
