"""The picture of the prior's ablation: what each model adds to the experts, and how sure it is, task by task."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes

from experiments.one_shot_world_model.prior_measures import ALL_TASKS
from synthenv.runs.display.figures import BLUE, CYCLE, INK, QUIET, dress, new_figure, save

Results = Sequence[Mapping[str, Any]]
_KINDS = {"held_out": "held-out tasks of all ten families", "real": "real tasks"}
_NUMBERS = {
    "gain": "ln(experts' / model's rms error): right of 0 the model is better",
    "calibration": "rms of error over predicted deviation: 1 is calibrated",
}


def draw(results: Results, file: Path) -> None:
    """Write the picture.

    Args:
        results: the summary of ``prior_ablation.csv``.
        file: a PNG.
    """
    kinds = [kind for kind in _KINDS if any(each["kind"] == kind for each in results)]
    models = list(dict.fromkeys(each["model"] for each in results))
    heights = [len({each["task"] for each in results if each["kind"] == kind}) for kind in kinds]
    height = 1.6 + 0.5 * len(kinds) + 0.12 * (2 + len(models)) * sum(heights)
    figure = new_figure(13.0, height, "What priors contribute to the small world model")
    panels = figure.subplots(len(kinds), 2, squeeze=False, height_ratios=heights)
    for row, kind in zip(panels, kinds, strict=True):
        own = [each for each in results if each["kind"] == kind]
        for axes, (name, label) in zip(row, _NUMBERS.items(), strict=True):
            dress(axes, _KINDS[kind], label if kind == kinds[-1] else "", "")
            _draw_points(axes, own, models, name)
    handles, labels = panels[0, 1].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower left", ncols=5, frameon=False, fontsize=9)
    save(figure, file)


def _draw_points(axes: Axes, results: Results, models: Sequence[str], name: str) -> None:
    """A point with its interval for each model, tasks from top to bottom, their mean last."""
    tasks = [task for task in dict.fromkeys(each["task"] for each in results) if task != ALL_TASKS]
    tasks.append(ALL_TASKS)
    place = {task: -float(i) for i, task in enumerate(tasks)}
    step = 0.8 / (len(models) + 1)
    for i, model in enumerate(models):
        own = [each for each in results if each["model"] == model]
        _draw_series(axes, own, place, -0.3 + step * i, name, (BLUE, *CYCLE)[i % 7], model)
    if name == "calibration":
        first = [each for each in results if each["model"] == models[0]]
        _draw_series(
            axes, first, place, -0.3 + step * len(models), f"experts_{name}", INK, "the experts alone"
        )
        axes.set_xscale("log")
    axes.axvline(float(name == "calibration"), color=QUIET, linewidth=1.0)
    axes.set_yticks(list(place.values()), tasks)
    axes.set_ylim(-len(tasks) + 0.4, 0.6)
    axes.grid(visible=False)


def _draw_series(
    axes: Axes,
    results: Results,
    place: Mapping[str, float],
    offset: float,
    name: str,
    colour: str,
    label: str,
) -> None:
    mean = np.array([each[name] for each in results])
    low, high = np.array([each[f"ci95_{name}"] for each in results]).T
    heights = [place[each["task"]] - offset for each in results]
    errors = np.maximum([mean - low, high - mean], 0)
    axes.errorbar(
        mean, heights, xerr=errors, fmt="o", color=colour, markersize=3.5, linewidth=1.2, label=label
    )
