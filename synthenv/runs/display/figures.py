"""The look of all figures. Nothing here needs a display."""

import contextlib
import contextvars
import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, StrMethodFormatter

from synthenv.core.files import make_directory, write_atomic

INK, QUIET, GRID = "#1f2933", "#7b8794", "#e4e7eb"
BLUE, ORANGE, GREEN, RED = "#2563a8", "#d9730d", "#2f855a", "#b83280"
PURPLE, TEAL, BROWN = "#6b46c1", "#0e7490", "#8a5a2b"
CYCLE = (ORANGE, GREEN, PURPLE, TEAL, RED, BROWN)


class Picture(Figure):
    """A figure that pyplot does not know of, but that a notebook shows."""

    def _repr_png_(self) -> bytes:
        return png_of(self, dpi=100)


def png_of(figure: Figure, dpi: int) -> bytes:
    """Return the bytes of a figure as a PNG."""
    png = io.BytesIO()
    figure.savefig(png, format="png", dpi=dpi)
    return png.getvalue()


def new_figure(width: float, height: float, title: str) -> Figure:
    """Make an empty figure; width and height are in inches."""
    figure = Picture(figsize=(width, height), layout="constrained", facecolor="white")
    FigureCanvasAgg(figure)
    figure.get_layout_engine().set(h_pad=0.1, w_pad=0.12)  # type: ignore[union-attr, call-arg]
    figure.suptitle(literal(title), fontsize=13, fontweight="bold", color=INK, x=0.01, ha="left")
    return figure


def dress(axes: Axes, title: str, xlabel: str, ylabel: str, title_pad: float | None = None) -> None:
    """Label a panel and quieten its frame.

    Args:
        axes: the panel.
        title: stands above it, at the left.
        xlabel: what the horizontal axis shows.
        ylabel: what the vertical axis shows.
        title_pad: distance of the title from the panel, in points; matplotlib's if None.
    """
    axes.set_title(literal(title), loc="left", fontsize=11, color=INK, pad=title_pad)
    axes.set_xlabel(xlabel, color=INK)
    axes.set_ylabel(ylabel, color=INK)
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines[["bottom", "left"]].set_color(QUIET)
    axes.grid(axis="y", color=GRID, linewidth=0.9)
    axes.set_axisbelow(True)
    axes.tick_params(which="both", colors=INK, length=0)


def literal(name: str) -> str:
    """Escape a name that somebody chose: dollars make no formula, and legends leave out no label."""
    escaped = name.replace("$", r"\$")
    return f" {escaped}" if escaped.startswith("_") else escaped


_kept: contextvars.ContextVar[dict[str, Figure] | None] = contextvars.ContextVar("kept", default=None)


@contextlib.contextmanager
def kept() -> Iterator[dict[str, Figure]]:
    """Collect the figures that are saved within a ``with`` block, by the stems of their files, to show them as well."""
    figures: dict[str, Figure] = {}
    before = _kept.set(figures)
    try:
        yield figures
    finally:
        _kept.reset(before)


def panels(figure: Figure, num: int, columns: int = 2, **sharing: Any) -> list[Axes]:
    """Make so many panels, row by row; what is left of the last row stays empty."""
    every = figure.subplots(-(-num // columns), columns, squeeze=False, **sharing).ravel()
    for axes in every[num:]:
        axes.set_axis_off()
    return list(every[:num])


def thousands(axes: Axes, num_ticks: int = 5) -> None:
    """Put few ticks along the steps, so that long numbers do not run into each other."""
    axes.xaxis.set_major_locator(MaxNLocator(num_ticks, integer=True))
    axes.xaxis.set_major_formatter(StrMethodFormatter("{x:,.0f}"))


def save(figure: Figure, file: Path, dpi: int = 140) -> Path:
    """Write a PNG, whole or not at all; returns the file.

    Raises:
        UserError: if the disk is full or the directory cannot be written.
    """
    make_directory(file.parent)
    if (figures := _kept.get()) is not None:
        figures[file.stem] = figure
    write_atomic(file, png_of(figure, dpi))
    return file
