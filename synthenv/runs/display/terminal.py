"""The terminal, with its console, its progress bars and its tables.

Names and paths are shown as they are: nothing in brackets or between colons is taken for rich's markup.
"""

import contextlib
import functools
import importlib.util
import sys
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table
from rich.text import Text

# Piped output should not be squeezed into 80 columns.
console = Console(width=None if sys.stdout.isatty() else 120, markup=False, emoji=False)
COLUMNS = (
    TextColumn("{task.description}", markup=False),
    BarColumn(),
    MofNCompleteColumn(),
    TextColumn("{task.fields[numbers]}", markup=False),
    TimeElapsedColumn(),
)


def speak_once() -> None:
    """Let only the first of several processes write to the terminal."""
    import jax

    console.quiet = jax.process_index() > 0


def say(line: str, style: str | None = None) -> None:
    """Print a line whole, however long: a path that is broken in two cannot be copied."""
    console.print(line, style=style, soft_wrap=True)


def is_live() -> bool:
    """Return whether a bar can move: on a terminal, and in a notebook with ipywidgets.

    Elsewhere lines follow each other.
    """
    return console.is_terminal or (console.is_jupyter and importlib.util.find_spec("ipywidgets") is not None)


def busy(doing: str) -> contextlib.AbstractContextManager[Any]:
    """Show a spinner beside a few words in a ``with`` block, or the words alone where it could not turn."""
    if not is_live():
        say(f"{doing} ...")
        return contextlib.nullcontext()
    return console.status(Text(doing))


def counted(num: int, what: str) -> str:
    """``1 seed``, ``2 seeds``; of ``untrained policy`` ``2 untrained policies``."""
    if num == 1:
        return f"1 {what}"
    return f"{num} {what[:-1]}ies" if what.endswith("y") else f"{num} {what}s"


def text_of(show: Callable[..., None], *args: Any) -> str:
    """Return what a function would print, without colours."""
    with console.capture() as captured:
        show(*args)
    return Text.from_ansi(captured.get()).plain


class Bar:
    """A progress bar, or a line now and then where no bar can move."""

    def __init__(self, progress: Progress, what: str, total: int | None, numbers: str = "compiling"):
        self._progress = progress
        self._task = progress.add_task(what, total=total, numbers=numbers)

    def show(self, numbers: str, line: str | None = None, **moved: Any) -> None:
        """Say how it goes.

        Args:
            numbers: text beside the bar.
            line: text to print instead where no bar can move, if any.
            moved: how the bar moves: ``completed``, ``advance`` or ``total``.
        """
        self._progress.update(self._task, numbers=numbers, **moved)
        if line is not None and self._progress.disable:
            say(line)


@contextlib.contextmanager
def bars() -> Iterator[Callable[..., Bar]]:
    """Yield a function that makes bars below one another: (what, total, numbers) -> ``Bar``."""
    with Progress(*COLUMNS, console=console, disable=not is_live()) as progress:
        yield functools.partial(Bar, progress)


def return_table(title: str, rows: dict[str, dict[str, Any]]) -> None:
    """Returns and costs, a row for each summary of ``evaluate``."""
    columns = ("trained in", "mean return [95 % CI]", "median", "mean training steps", "episodes", "agents")
    told = [
        (
            name,
            bracketed(row, "return", "mean_"),
            f"{row['median_return']:.0f}",
            f"{row['mean_train_steps']:.0f}",
            f"{row['mean_train_episodes']:.0f}",
            str(row["num_agents"]),
        )
        for name, row in rows.items()
    ]
    listing(title, columns, told, justify="right")


def curve_table(summary: dict[str, Any]) -> None:
    """Print steps to solve and returns, a table for each agent of a summary of ``evaluate_curves``."""
    columns = (
        "trained in",
        "steps to solve",
        "ever solved",
        "return in training",
        "return at the end",
        "agents",
    )
    for agent, kinds in summary["agents"].items():
        title = (
            f"{agent}: training steps until ten real tests in a row reach {summary['solved_return']:g}; mean real"
            " test return over all of training, and at the end [95 % CI]"
        )
        rows = [
            (
                prefix + row,
                bracketed(numbers, "steps_to_solve", form=",.0f"),
                f"{numbers['solved_share']:.0%}",
                bracketed(numbers, "return_in_training", "mean_"),
                bracketed(numbers, "final_return"),
                str(numbers["num_agents"]),
            )
            for kind, prefix in (("proxies", ""), ("baselines", "baseline: "))
            for row, numbers in kinds.get(kind, {}).items()
        ]
        listing(title, columns, rows)


def bracketed(row: dict[str, Any], name: str, prefix: str = "", form: str = ".1f") -> str:
    """Write a number of a summary with its interval; a single seed has none."""
    if row.get("num_seeds") == 1:
        return f"{row[prefix + name]:{form}}"
    low, high = row[f"ci95_{name}"]
    return f"{row[prefix + name]:{form}} [{low:{form}}, {high:{form}}]"


def listing(title: str, columns: Sequence[str], rows: Sequence[Sequence[str]], justify: Any = "left") -> None:
    """Any table; ``justify`` is of all columns but the first."""
    table = Table(columns[0], title=title, title_justify="left")
    for column in columns[1:]:
        table.add_column(column, justify=justify)
    for row in rows:
        table.add_row(*row)
    console.print(table)


START = "collecting, encoding, compiling"
