"""The pictures of what a proxy shows its agents; of heavy packages only matplotlib is imported.

References:
    Ferreira et al. (2022), figures 3 (densities), 4 and 8 (histograms) and 11 (rewards of a gridworld).
"""

from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import PolyCollection
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from synthenv.runs.display.figures import BLUE, GREEN, INK, ORANGE, QUIET, RED, dress, new_figure, panels
from synthenv.runs.display.terminal import counted
from synthenv.runs.statistics.distributions import Histogram, density

ROWS = {"proxy": ORANGE, "chosen": GREEN, "real": BLUE, "untrained": QUIET}
LABELS = {
    "proxy": "trained in proxies",
    "chosen": "trained in the chosen proxies",
    "real": "trained on the real task",
    "untrained": "untrained",
}
SERIES = (BLUE, ORANGE, GREEN)
SMALLEST_SHARE = 3e-4
CLIFF_REWARD = -50.0  # rewards down to here hide the others: the right panels of figure 11 leave them white
# Corners of the triangle of each action of a gridworld (right, left, down, up); rows grow downwards.
SIDES = (((1, 0), (1, 1)), ((0, 0), (0, 1)), ((0, 1), (1, 1)), ((0, 0), (1, 0)))


def draw_histograms(histograms: Sequence[Histogram], title: str) -> Figure:
    """Draw figure 4: one panel for each quantity, one colour for each series."""
    columns = min(len(histograms), 5 if len(histograms) <= 5 else 4)
    num_rows = -(-len(histograms) // columns)
    figure = new_figure(max(3.3 * columns, 7.0), 3.1 * num_rows + 0.8, title)
    drawn = panels(figure, len(histograms), columns, sharey=True)
    for axes, found in zip(drawn, histograms, strict=True):
        draw_histogram(axes, found)
    for axes in drawn[::columns]:
        axes.set_ylabel("share of steps", color=INK)
    legend(figure, histograms[-1])
    return figure


def draw_histogram(axes: Axes, found: Histogram) -> None:
    """Draw the shares of all series of one quantity, on a logarithmic scale."""
    dress(axes, found.name, "", "")
    axes.set_yscale("log")
    axes.tick_params(which="both", length=0)
    axes.set_ylim(SMALLEST_SHARE, 1.5)
    for color, (series, shares) in zip(SERIES, found.shares.items(), strict=False):
        axes.stairs(shares, found.edges, fill=True, color=color, alpha=0.32)
        axes.stairs(np.maximum(shares, SMALLEST_SHARE), found.edges, color=color, linewidth=1.1, label=series)


def legend(figure: Figure, found: Histogram) -> None:
    """Draw one legend for all panels, below them."""
    handles = [Rectangle((0, 0), 1, 1, color=color, alpha=0.6) for color in SERIES]
    handles.append(Rectangle((0, 0), 1, 1, visible=False))
    labels = [*found.shares, "(the outermost bars of a panel hold what lies beyond)"]
    figure.legend(handles, labels, loc="outside lower left", ncols=4, frameon=False)


def draw_returns(
    returns: Mapping[str, np.ndarray], rows: Mapping[str, Mapping[str, Any]], solved: float, title: str
) -> Figure:
    """Draw figure 3: densities of the returns of all test episodes."""
    figure = new_figure(7.5, 4.6, title)
    draw_densities(figure.subplots(), "single test episodes", returns, rows, solved)
    figure.legend(loc="outside lower left", ncols=1, frameon=False, fontsize=9)
    return figure


def draw_densities(
    axes: Axes,
    title: str,
    returns: Mapping[str, np.ndarray],
    rows: Mapping[str, Mapping[str, Any]],
    solved: float,
) -> None:
    """Draw kernel densities over histograms of the returns of each row's test episodes.

    Args:
        axes: the panel.
        title: of the panel.
        returns: of test episodes by row, [A, E] each.
        rows: the rows' summaries.
        solved: return from which on the task counts as solved.
    """
    dress(axes, title, "return", "density")
    flat = {row: returns[row].ravel() for row in ROWS if row in returns}
    values = np.concatenate(list(flat.values()))
    low, high = min(values.min(), solved), max(values.max(), solved)
    margin = 0.05 * (high - low) + 1
    grid = np.linspace(low - margin, high + margin, 500)
    for row, color in ((row, ROWS[row]) for row in flat):
        interval = "{:.1f}, {:.1f}".format(*rows[row]["ci95_return"])
        agents = counted(rows[row]["num_agents"], "agent")
        label = f"{LABELS[row]}: {rows[row]['mean_return']:.1f} [{interval}], {agents}"
        axes.hist(flat[row], bins=40, range=(low, high), density=True, color=color, alpha=0.16)
        axes.plot(grid, density(flat[row], grid), color=color, linewidth=2, label=label)
    axes.axvline(solved, color=RED, linestyle="--", linewidth=1.2, label=f"solved: {solved:g}")


def draw_grids(grids: Mapping[str, np.ndarray], cells: np.ndarray, title: str) -> Figure:
    """Draw figure 11: for each name a row of two panels, all rewards and those above -50.

    Args:
        grids: rewards of every action in every cell, [rows, columns, 4] each.
        cells: the map, as ``GridWorld.cells``.
        title: of the figure.
    """
    num_rows, num_cols = cells.shape
    width = np.clip(0.55 * num_cols + 1.6, 4.8, 8.0)
    figure = new_figure(2 * width, len(grids) * (width * 0.86 * num_rows / num_cols + 0.6) + 0.4, title)
    panels = figure.subplots(len(grids), 2, squeeze=False)
    for (name, rewards), (left, right) in zip(grids.items(), panels, strict=True):
        draw_grid(left, rewards, cells, f"{name}: all rewards")
        draw_grid(right, shaped_only(rewards), cells, f"{name}: rewards above {CLIFF_REWARD:g}")
    return figure


def shaped_only(rewards: np.ndarray) -> np.ndarray:
    """Return the rewards with NaN in place of those of falling off a cliff."""
    return np.where(rewards > CLIFF_REWARD, rewards, np.nan)


def draw_grid(axes: Axes, rewards: np.ndarray, cells: np.ndarray, title: str) -> None:
    """Draw every cell as four triangles, one for each action, red to green from the lowest to the highest reward."""
    corners, values = [], []
    for (row, column), kind in np.ndenumerate(cells):
        for side, reward in zip(SIDES, rewards[row, column], strict=True):
            if np.isfinite(reward) and kind != "#":
                corners.append([(column + 0.5, row + 0.5), *((column + x, row + y) for x, y in side)])
                values.append(reward)
    colors = matplotlib.colormaps["RdYlGn"]
    low, high = (min(values), max(values)) if values else (0.0, 0.0)
    spread = Normalize(low, high) if high > low else Normalize(low - 1, high + 1)
    triangles = PolyCollection(corners, cmap=colors, norm=spread, edgecolor="white", linewidth=0.3)
    triangles.set_array(np.array(values))
    axes.add_collection(triangles)
    _draw_map(axes, cells)
    axes.set_title(title, loc="left", fontsize=11, color=INK)
    bar = axes.figure.colorbar(triangles, ax=axes, shrink=0.9, aspect=14, pad=0.02)
    bar.outline.set_visible(False)  # type: ignore[operator]
    bar.ax.tick_params(colors=INK, length=0, labelsize=8)


def _draw_map(axes: Axes, cells: np.ndarray) -> None:
    """Draw lines between cells, letters on start and goal, and dark crosses on cells of the cliff."""
    num_rows, num_cols = cells.shape
    for (row, column), kind in np.ndenumerate(cells):
        frame = Rectangle((column, row), 1, 1, edgecolor=INK, linewidth=0.7)
        frame.set(fill=kind == "#", facecolor=QUIET)
        axes.add_patch(frame)
        letter = {"S": "S", "G": "G", "H": "×"}.get(kind)
        if letter:
            badge = {"boxstyle": "circle,pad=0.18", "facecolor": "white", "edgecolor": INK, "linewidth": 0.6}
            axes.text(
                column + 0.5, row + 0.5, letter, ha="center", va="center", fontsize=8, color=INK, bbox=badge
            )
    axes.set(
        xlim=(-0.05, num_cols + 0.05), ylim=(num_rows + 0.05, -0.05), aspect="equal", xticks=[], yticks=[]
    )
    axes.spines[:].set_visible(False)


def draw_rewards(
    found: Histogram,
    title: str,
    phi: tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray] | None = None,
    names: Sequence[str] = (),
) -> Figure:
    """Draw learned and real rewards of a real-valued task, and the network's values where a state is two numbers.

    Args:
        found: histogram of both rewards.
        title: of the figure.
        phi: axes and values of the network, and the states that were visited in tests [N, 2].
        names: of the two axes.
    """
    figure = new_figure(12.5 if phi else 6.5, 4.6, title)
    left, *right = np.atleast_1d(figure.subplots(1, 2 if phi else 1))
    draw_histogram(left, found)
    left.set_ylabel("share of steps", color=INK)
    left.legend(loc="upper center", bbox_to_anchor=(0.5, -0.08), ncols=2, frameon=False)
    if phi:
        _draw_phi(right[0], *phi, names)
    return figure


def _draw_phi(
    axes: Axes, x: np.ndarray, y: np.ndarray, values: np.ndarray, visited: np.ndarray, names: Sequence[str]
) -> None:
    dress(axes, "the network's value of every state; dots: states of test episodes", names[0], names[1])
    axes.grid(visible=False)
    mesh = axes.pcolormesh(x, y, values, cmap="RdYlGn", shading="gouraud")
    dots = visited[:: -(-len(visited) // 600)]
    axes.scatter(*dots.T, s=4, color=INK, alpha=0.5, linewidths=0)
    axes.set(xlim=(x[0], x[-1]), ylim=(y[0], y[-1]))
    bar = axes.figure.colorbar(mesh, ax=axes, pad=0.02)
    bar.outline.set_visible(False)  # type: ignore[operator]
    bar.ax.tick_params(colors=INK, length=0, labelsize=8)
