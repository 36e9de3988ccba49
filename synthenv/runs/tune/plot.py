"""The pictures of a study: which parameters mattered, and how the best value came about."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from synthenv.proxies.config import PROXIES
from synthenv.runs.display.figures import BLUE, INK, ORANGE, QUIET, RED, dress, new_figure, save
from synthenv.runs.display.terminal import counted

VALUES = {  # by whether the proxy shapes rewards
    False: "generations until solved, summed over searches",
    True: "minus the best mean score of an incumbent's agents",
}


def draw_importances(shares: Mapping[str, float], num_completed: int, num_trials: int) -> Figure:
    """Draw a bar for each parameter, the most important one on top.

    Args:
        shares: importance by parameter; may be empty.
        num_completed: trials that they were computed from.
        num_trials: all trials.
    """
    figure = new_figure(8.5, 1.9 + 0.32 * max(3, len(shares)), "Which hyperparameters mattered")
    axes = figure.subplots()
    title = (
        f"{num_completed} completed of {counted(num_trials, 'trial')}: survivors of pruning only\n"
        "PED-ANOVA, the best quarter against all of them"
    )
    dress(axes, title, "share of importance", "")
    axes.grid(visible=False)
    if not shares:
        axes.text(
            0.5,
            0.5,
            "too few completed trials, or all equally good",
            transform=axes.transAxes,
            ha="center",
            color=QUIET,
        )
        axes.set_yticks([])
        return figure
    names = sorted(shares, key=lambda name: shares[name])
    axes.barh(range(len(names)), [shares[name] for name in names], color=BLUE, height=0.66)
    for place, name in enumerate(names):
        axes.text(shares[name], place, f" {shares[name]:.0%}", va="center", fontsize=9, color=INK)
    axes.set_yticks(range(len(names)), names)
    axes.set_xlim(0, 1.15 * max(shares.values()))
    return figure


def draw_history(trials: Sequence[tuple[int, str, float | None]], form: str) -> Figure:
    """Draw the values of the trials in their order, the best so far, and which trials had no value.

    Args:
        trials: number, state and value.
        form: name of the proxy, which says what the value is.
    """
    figure = new_figure(8.5, 4.6, "How the best configuration was found")
    axes = figure.subplots()
    dress(axes, f"value: {VALUES[PROXIES.find(form).shapes_rewards]}", "trial", "value")
    completed = [
        (number, value) for number, state, value in trials if state == "complete" and value is not None
    ]
    if completed:
        numbers, values = np.array(completed).T
        axes.scatter(numbers, values, s=26, color=BLUE, label="completed", zorder=3)
        best = np.minimum.accumulate(values)
        last = max(number for number, _, _ in trials)
        axes.step(
            [*numbers, last], [*best, best[-1]], where="post", color=INK, linewidth=1.4, label="best so far"
        )
    for states, color, marker, label in (
        (("pruned",), ORANGE, "|", "pruned"),
        (("failed", "interrupted"), RED, "x", "failed"),
    ):
        found = [number for number, state, _ in trials if state in states]
        if found:  # without a value: on the frame
            axes.plot(
                found,
                np.full(len(found), 0.02),
                transform=axes.get_xaxis_transform(),
                linestyle="",
                marker=marker,
                markersize=8,
                color=color,
                label=label,
            )
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    figure.legend(loc="outside lower left", ncols=4, frameon=False)
    return figure


def write_importances(shares: Mapping[str, float], num_completed: int, num_trials: int, file: Path) -> None:
    """Write ``draw_importances`` as a PNG."""
    save(draw_importances(shares, num_completed, num_trials), file)


def write_history(trials: Sequence[tuple[int, str, float | None]], form: str, file: Path) -> None:
    """Write ``draw_history`` as a PNG."""
    save(draw_history(trials, form), file)
