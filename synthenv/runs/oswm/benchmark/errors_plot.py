"""The picture of table 3: a panel for each task, with bars on a logarithmic scale and the paper's own numbers."""

from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes

from synthenv.runs.display.figures import BLUE, CYCLE, INK, QUIET, dress, literal, new_figure, panels, save
from synthenv.runs.storage.metrics import column

_FLOOR = 1e-12  # bars of exact predictions begin here


def draw(results: dict[str, Any], file: Path) -> None:
    """Write the picture.

    Args:
        results: by task, strategy and model: ``raw``, its interval ``ci95_raw``; the model "paper" has no interval.
        file: a PNG.
    """
    names = list(dict.fromkeys(n for task in results.values() for models in task.values() for n in models))
    own = [name for name in names if name != "paper"]
    colours: dict[str, str] = dict(zip(own, (QUIET, *CYCLE, BLUE), strict=False)) | {"paper": INK}
    num_rows = -(-len(results) // 2)
    figure = new_figure(
        11, 3.0 * num_rows + 0.8, "Table 3: one-step errors (raw units, over 14 columns, unused ones at 0)"
    )
    drawn = panels(figure, len(results))
    for axes, (task, strategies) in zip(drawn, results.items(), strict=True):
        for index, name in enumerate(names):
            _bars(axes, strategies, name, colours[name], index, len(names))
        axes.set_yscale("log")
        axes.set_xticks(range(len(strategies)), list(strategies))
        dress(axes, task, "", "mean squared error")
    handles, labels = drawn[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=len(names), frameon=False, fontsize=9)
    save(figure, file)


def _bars(axes: Axes, strategies: dict[str, Any], name: str, colour: str, index: int, count: int) -> None:
    """Draw one model's bars, one for each strategy; those without a number are left out."""
    width = 0.84 / count
    places = np.arange(len(strategies)) + (index - (count - 1) / 2) * width
    found = [models.get(name, {}) for models in strategies.values()]
    heights = column(found, "raw")
    ends = [one.get("ci95_raw") or [height, height] for one, height in zip(found, heights, strict=True)]
    heights, ends = np.maximum(heights, _FLOOR), np.maximum(np.array(ends, float), _FLOOR)
    whiskers = np.clip(np.abs(ends.T - heights), 0.0, None)
    axes.bar(
        places, heights, width, color=colour, label=literal(name), yerr=whiskers, error_kw={"elinewidth": 0.8}
    )
