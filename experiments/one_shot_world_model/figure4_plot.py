"""The picture of figures 4 and 7: real and dreamt rewards, triangles in GridWorld, curves over an angle elsewhere."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes

from experiments.one_shot_world_model.reward_questions import is_standing
from synthenv.envs.oswm_toys import GOAL_X, MOVES, SIZE
from synthenv.runs.display.figures import CYCLE, INK, dress, new_figure, save
from synthenv.runs.evaluate.proxy_contents_plot import draw_grid

Lines = Sequence[Mapping[str, str]]
_GRID = "GridWorld"
_ANGLE = {"CartPole-v0": "angle of the pole, rad", "Pendulum-v1": "angle, 0 is upright, rad"}


def draw(lines: Lines, results: Mapping[str, Any], file: Path) -> None:
    """Write the picture.

    Args:
        lines: of ``figure4.csv``.
        results: its summary.
        file: a PNG.
    """
    models = list(dict.fromkeys(line["model"] for line in lines))
    angles = [task for task in results if task != _GRID]
    with_grid = _GRID in results
    num_rows = bool(angles) + with_grid
    figure = new_figure(12.5, 4.4 * num_rows + 0.5, "Figures 4 and 7: rewards of the task and of its dreams")
    rows = list(figure.subfigures(num_rows, 1, squeeze=False).ravel())
    if with_grid:
        panels = rows.pop(0).subplots(1, 1 + len(models), squeeze=False)[0]
        _draw_grids(panels, [line for line in lines if line["task"] == _GRID], models, results[_GRID])
    if angles:
        panels = rows.pop(0).subplots(1, len(angles), squeeze=False)[0]
        for axes, task in zip(panels, angles, strict=True):
            _draw_curves(axes, [line for line in lines if line["task"] == task], models, results[task], task)
    save(figure, file)


def _draw_grids(panels: Sequence[Axes], lines: Lines, models: list[str], results: Mapping[str, Any]) -> None:
    """Every cell's four actions, of the first context; × and G are where no step of an episode begins."""
    cells = np.full((SIZE, SIZE), "H")
    x, y = np.meshgrid(np.arange(SIZE), np.arange(SIZE))
    cells[is_standing(np.stack([x.ravel(), y.ravel()], 1)).reshape(x.shape)] = " "
    cells[1:-1, GOAL_X] = "G"
    first = [line for line in lines if line["context"] == lines[0]["context"]]
    real = _grid_of(first, models[0], "real")
    draw_grid(panels[0], real, cells, f"{_GRID}, the task")
    for axes, model in zip(panels[1:], models, strict=True):
        title = f"one dream of {_GRID}, {model}\nof all {_told(results[model])}"
        dreamt = np.clip(_grid_of(first, model, "dreamt"), real.min(), real.max())  # for the same colours
        draw_grid(axes, dreamt, cells, title)


def _grid_of(lines: Lines, model: str, name: str) -> np.ndarray:
    """Rewards [y, x, action] of one model."""
    rewards = np.full((SIZE, SIZE, len(MOVES)), np.nan)
    for line in lines:
        if line["model"] == model:
            x, y, action = (int(float(word)) for word in line["place"].split())
            rewards[y, x, action] = float(line[name])
    return rewards


def _draw_curves(axes: Axes, lines: Lines, models: list[str], results: Mapping[str, Any], task: str) -> None:
    """Mean reward in every bin of an angle: the task's, and a thin line for each context of each model."""
    dress(axes, task, _ANGLE[task], "mean reward of a step")
    for model, colour in zip(models, CYCLE, strict=False):
        contexts = dict.fromkeys(line["context"] for line in lines if line["model"] == model)
        for number, context in enumerate(contexts):
            own = [line for line in lines if (line["model"], line["context"]) == (model, context)]
            places = [float(line["place"]) for line in own]
            if (model, number) == (models[0], 0):
                real = [float(line["real"]) for line in own]
                axes.plot(places, real, color=INK, linewidth=1.8, label="the task")
            label = f"{model}: {_told(results[model])}" if number == 0 else None
            axes.plot(
                places, [float(line["dreamt"]) for line in own], color=colour, linewidth=1.0, label=label
            )
    axes.legend(frameon=False, fontsize=9)


def _told(summary: Mapping[str, Any]) -> str:
    return f"error {summary['relative_error']:.2g} of the variance"
