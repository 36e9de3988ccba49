"""The pictures of figures 3 and 5: a histogram of each shape that a prior draws, and episodes of its environments."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes

from synthenv.runs.display.figures import BLUE, BROWN, CYCLE, INK, QUIET, dress, new_figure, save

Lines = Sequence[Mapping[str, str]]
_DRAWN = ("peaked", "wide", "multimodal", "sparse")
_NUM_COLUMNS = 5


def draw(lines: Lines, results: Mapping[str, Any], file: Path) -> None:
    """A row for each prior, a panel for each shape: the first column that has it, and how many have.

    Args:
        lines: of ``figure3.csv``.
        results: its summary.
        file: a PNG.
    """
    title = "Figures 3 and 5: how values of state columns are distributed (share of columns, 95 % interval)"
    figure = new_figure(12.5, 2.5 * len(results) + 0.5, title)
    grid = figure.subplots(len(results), len(_DRAWN), squeeze=False)
    for row, (prior, summary) in zip(grid, results.items(), strict=True):
        for axes, shape in zip(row, _DRAWN, strict=True):
            low, high = summary["ci95_shares"][shape]
            title = f"{shape}: {summary['shares'][shape]:.0%} [{low:.0%}, {high:.0%}]"
            found = [line for line in lines if (line["prior"], line["shape"]) == (prior, shape)]
            _draw_histogram(axes, found, title)
        row[0].set_ylabel(f"{prior}\n({summary['shares']['constant']:.0%} constant)\nrows", color=INK)
    save(figure, file)


def _draw_histogram(axes: Axes, found: Lines, title: str) -> None:
    """The first one, if there is any."""
    dress(axes, title, "", "")
    if not found:
        axes.text(0.5, 0.5, "none", transform=axes.transAxes, ha="center", color=QUIET)
        axes.set(xticks=[], yticks=[])
        return
    counts = np.array(found[0]["counts"].split(), int)
    edges = np.linspace(float(found[0]["low"]), float(found[0]["high"]), len(counts) + 1)
    axes.stairs(counts, edges, fill=True, color=BLUE)
    axes.set_xlabel(found[0]["kind"], color=INK)


def draw_episodes(lines: Lines, file: Path) -> None:
    """A panel for each environment: its columns over one episode, standardised."""
    worlds: dict[tuple[str, str], list[Mapping[str, str]]] = {}
    for line in lines:
        worlds.setdefault((line["prior"], line["world"]), []).append(line)
    num_rows = -(-len(worlds) // _NUM_COLUMNS)
    title = "Episodes of environments that the priors draw; columns standardised by all rows of theirs"
    figure = new_figure(13, 1.9 * num_rows + 0.6, title)
    panels = figure.subplots(num_rows, _NUM_COLUMNS, squeeze=False).ravel()
    for axes, ((prior, world), own) in zip(panels, worlds.items(), strict=False):
        kinds = {line["kind"] for line in own}
        what = f", {kinds.pop()}" if len(kinds) == 1 else ""
        dress(axes, f"{prior} {world}{what}", "", "")
        for line, colour in zip(own, 2 * (BLUE, *CYCLE, BROWN), strict=False):
            axes.plot(np.array(line["values"].split(), float), color=colour, linewidth=0.9)
        axes.title.set_fontsize(8.5)
    for axes in panels[len(worlds) :]:
        axes.set_axis_off()
    save(figure, file)
