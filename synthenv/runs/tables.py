"""The terminal: its console, the columns of its progress bars, its tables."""

import sys
from collections.abc import Sequence
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn
from rich.table import Table

# Piped output should not be squeezed into 80 columns.
console = Console(width=None if sys.stdout.isatty() else 120)
COLUMNS = (
    TextColumn("{task.description}"),
    BarColumn(),
    MofNCompleteColumn(),
    TextColumn("{task.fields[numbers]}"),
    TimeElapsedColumn(),
)


def return_table(title: str, rows: dict[str, dict[str, Any]]) -> None:
    """Returns and costs, a row for each summary of ``evaluate``."""
    table = Table(title=title, title_justify="left")
    for column in ("trained in", "mean return [95 % CI]", "median", "training steps", "episodes", "agents"):
        table.add_column(column, justify="left" if column == "trained in" else "right")
    for name, row in rows.items():
        table.add_row(
            name,
            with_interval(row),
            f"{row['median_return']:.0f}",
            f"{row['mean_train_steps']:.0f}",
            f"{row['mean_train_episodes']:.0f}",
            str(row["num_agents"]),
        )
    console.print(table)


def curve_table(summary: dict[str, Any]) -> None:
    """Steps to solve and the return at the end, a table for each agent of a summary of ``evaluate_curves``."""
    for agent, kinds in summary["agents"].items():
        title = f"{agent}: training steps until ten real tests in a row reach {summary['solved_return']:g}"
        columns = (
            "trained in",
            "steps to solve [95 % CI]",
            "solved",
            "return at the end [95 % CI]",
            "agents",
        )
        rows = []
        for kind, prefix in (("proxies", ""), ("baselines", "baseline: ")):
            for row, numbers in kinds.get(kind, {}).items():
                steps, (low, high) = numbers["steps_to_solve"], numbers["ci95_steps_to_solve"]
                end, (end_low, end_high) = numbers["final_return"], numbers["ci95_final_return"]
                rows.append(
                    (
                        prefix + row,
                        f"{steps:,.0f} [{low:,.0f}, {high:,.0f}]",
                        f"{numbers['solved_share']:.0%}",
                        f"{end:.1f} [{end_low:.1f}, {end_high:.1f}]",
                        str(numbers["num_agents"]),
                    )
                )
        listing(title, columns, rows)


def with_interval(row: dict[str, Any]) -> str:
    """A mean return as people read it."""
    low, high = row["ci95_return"]
    return f"{row['mean_return']:.1f} [{low:.1f}, {high:.1f}]"


def listing(title: str, columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Any table."""
    table = Table(*columns, title=title, title_justify="left")
    for row in rows:
        table.add_row(*row)
    console.print(table)
