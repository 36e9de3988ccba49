"""The picture of an ``oswm pretrain``: loss, what the model adds to the experts, and its errors on real tasks."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from synthenv.runs.display.figures import (
    BLUE,
    CYCLE,
    GREEN,
    INK,
    ORANGE,
    QUIET,
    dress,
    new_figure,
    save,
    thousands,
)
from synthenv.runs.storage.metrics import column

FILE = "pretraining.png"
Lines = Sequence[Mapping[str, Any]]


def draw(lines: Lines, name: str) -> Figure:
    """Draw three panels against gradient steps, fewer if the lines lack what they show.

    Args:
        lines: of ``metrics.jsonl``.
        name: of the preset.
    """
    panels = [_draw_loss]
    panels += [_draw_added] if "held_out_gain" in lines[0] else []
    panels += [_draw_real] if "real" in lines[0] else []
    figure = new_figure(8.4, 0.6 + 2.9 * len(panels), f"pretraining of {name}")
    for panel, axes in zip(
        panels, figure.subplots(len(panels), sharex=True, squeeze=False)[:, 0], strict=True
    ):
        panel(axes, lines)
        thousands(axes)
        axes.legend(frameon=False, fontsize=8, loc="center left", bbox_to_anchor=(1.0, 0.5))
    figure.axes[-1].set_xlabel("gradient steps", color=INK)
    return figure


def _draw_loss(axes: Axes, lines: Lines) -> None:
    dress(axes, "loss", "", "loss")
    steps = column(lines, "step")
    axes.plot(steps, column(lines, "train_loss"), color=QUIET, linewidth=1.2, label="in training")
    held_out = column(lines, "held_out_loss")
    axes.plot(steps, held_out, color=ORANGE, linewidth=2.0, marker=".", label="held-out tasks")


def _draw_added(axes: Axes, lines: Lines) -> None:
    dress(axes, "what the model adds to the experts, above 0 is better", "", "nats")
    steps = column(lines, "step")
    rows = (
        ("held_out_nats", BLUE, "log-likelihood, held out"),
        ("held_out_gain", ORANGE, "ln of error ratio, held out"),
        ("real_gain", GREEN, "ln of error ratio, real tasks"),
    )
    for key, color, label in rows:
        if key in lines[0]:
            axes.plot(steps, column(lines, key), color=color, linewidth=2.0, marker=".", label=label)
    axes.axhline(0.0, color=QUIET, linewidth=1.1)


def _draw_real(axes: Axes, lines: Lines) -> None:
    dress(axes, "one-step error on real tasks; dashed: the experts alone", "", "share of the variance")
    steps = column(lines, "step")
    for task, color in zip(lines[0]["real"], CYCLE, strict=False):
        said = [line["real"][task] for line in lines]
        axes.plot(steps, column(said, "model"), color=color, linewidth=1.8, marker=".", label=task)
        experts = column(said, "experts")
        axes.plot(steps, experts, color=color, linewidth=1.1, linestyle="--")
    axes.set_yscale("log")


def write(lines: Lines, directory: Path, name: str) -> Path:
    """Write ``pretraining.png`` to a directory; returns the file, raises as ``save``."""
    return save(draw(lines, name), directory / FILE)
