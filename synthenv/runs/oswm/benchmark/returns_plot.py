"""The picture of a benchmark's table 1 or 2: a panel for each task, a line for each row, returns from left to right."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from matplotlib.axes import Axes

from synthenv.runs.display.figures import (
    BLUE,
    INK,
    ORANGE,
    QUIET,
    RED,
    dress,
    literal,
    new_figure,
    panels,
    save,
)
from synthenv.runs.oswm.benchmark.tables import interval, label, number

_TITLES = {"1": "Table 1: real returns by world model", "2": "Table 2: real returns by context"}
_LEVELS = {"random": QUIET, "ppo-real-large": BLUE}  # these rows have a line through the whole panel
_BEST = {"marker": "o", "markersize": 7, "markerfacecolor": "none", "markeredgecolor": ORANGE}


def write(table: str, by_task: Mapping[str, Sequence[Mapping[str, Any]]], out: Path) -> Path:
    """Write ``tableN.png``; returns the file.

    Args:
        table: 1 or 2.
        by_task: rows of ``tables.row_of``.
        out: the directory.

    Raises:
        UserError: if the disk is full or the place cannot be written.
    """
    num_lines = -(-len(by_task) // 2)
    num_rows = max(len(rows) for rows in by_task.values())
    figure = new_figure(12, num_lines * (1.2 + 0.3 * num_rows) + 0.9, _TITLES[table])
    drawn = panels(figure, len(by_task))
    for axes, (task, rows) in zip(drawn, by_task.items(), strict=True):
        _panel(axes, table, task, rows)
    marks = dict(zip(*reversed(drawn[0].get_legend_handles_labels()), strict=True))
    figure.legend(marks.values(), marks, loc="outside lower left", ncols=len(marks), frameon=False)
    return save(figure, out / f"table{table}.png")


def _panel(axes: Axes, table: str, task: str, rows: Sequence[Mapping[str, Any]]) -> None:
    dress(axes, task, "mean real return, 95 % interval over seeds", "")
    axes.grid(visible=False, axis="y")
    for place, row in enumerate(rows):
        mean, (low, high) = number(row["final_return"]), interval(row, "final_return")
        axes.plot([low, high], [place, place], color=INK, linewidth=1.8)
        axes.plot(mean, place, "o", color=INK, markersize=5, label="at the end of training")
        axes.plot(number(row["best_return"]), place, linestyle="", label="best checkpoint", **_BEST)
        axes.plot(
            number(row["untrained_control"]), place, "|", color=QUIET, markersize=9, label="best untrained"
        )
        paper = number(row["paper"] and row["paper"]["mean"])
        axes.plot(paper, place, "x", color=RED, markersize=6, label="paper (best checkpoint)")
        if row["method"] in _LEVELS:
            color = _LEVELS[row["method"]]
            axes.axvline(mean, color=color, linewidth=1.1, linestyle=":", label=f"level of {row['method']}")
    axes.set_yticks(range(len(rows)), [literal(label(table, row)) for row in rows])
    axes.invert_yaxis()
    axes.margins(x=0.06, y=0.08)
