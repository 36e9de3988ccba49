"""How all figures look. Nothing here needs a display."""

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
    """A figure of its own, which pyplot knows nothing of, and which a notebook shows all the same."""

    def _repr_png_(self) -> bytes:
        return png_of(self, dpi=100)


def png_of(figure: Figure, dpi: int) -> bytes:
    """The bytes of a PNG."""
    png = io.BytesIO()
    figure.savefig(png, format="png", dpi=dpi)
    return png.getvalue()


def new_figure(width: float, height: float, title: str) -> Figure:
    """An empty figure of so many inches."""
    figure = Picture(figsize=(width, height), layout="constrained", facecolor="white")
    FigureCanvasAgg(figure)
    figure.get_layout_engine().set(h_pad=0.1, w_pad=0.12)  # type: ignore[union-attr, call-arg]
    figure.suptitle(literal(title), fontsize=13, fontweight="bold", color=INK, x=0.01, ha="left")
    return figure


def dress(axes: Axes, title: str, xlabel: str, ylabel: str, title_pad: float | None = None) -> None:
    """Label a panel and quieten its frame."""
    axes.set_title(literal(title), loc="left", fontsize=11, color=INK, pad=title_pad)
    axes.set_xlabel(xlabel, color=INK)
    axes.set_ylabel(ylabel, color=INK)
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines[["bottom", "left"]].set_color(QUIET)
    axes.grid(axis="y", color=GRID, linewidth=0.9)
    axes.set_axisbelow(True)
    axes.tick_params(colors=INK, length=0)


def literal(name: str) -> str:
    """A name that somebody chose, drawn as it is: no formula between dollars, and no label that legends leave out."""
    escaped = name.replace("$", r"\$")
    return f" {escaped}" if escaped.startswith("_") else escaped


_kept: contextvars.ContextVar[dict[str, Figure] | None] = contextvars.ContextVar("kept", default=None)


@contextlib.contextmanager
def kept() -> Iterator[dict[str, Figure]]:
    """The figures that are saved meanwhile, by the stems of their files: for those who want to show them, too."""
    figures: dict[str, Figure] = {}
    before = _kept.set(figures)
    try:
        yield figures
    finally:
        _kept.reset(before)


def panels(figure: Figure, num: int, columns: int = 2, **sharing: Any) -> list[Axes]:
    """So many panels, row by row; what is left of the last row stays empty."""
    every = figure.subplots(-(-num // columns), columns, squeeze=False, **sharing).ravel()
    for axes in every[num:]:
        axes.set_axis_off()
    return list(every[:num])


def thousands(axes: Axes, num_ticks: int = 5) -> None:
    """Few ticks along the steps, that long numbers may not run into each other."""
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
