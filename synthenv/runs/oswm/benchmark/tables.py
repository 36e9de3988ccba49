"""Rows of a benchmark as tables beside the paper's numbers: CSV for programs, Markdown and the terminal for people."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from synthenv.core.files import plain, write_atomic
from synthenv.runs.oswm.benchmark.arguments import Row
from synthenv.runs.oswm.benchmark.paper_numbers import TABLE1, TABLE2, Return
from synthenv.runs.storage.csv_tables import write_csv

RETURNS = {
    "final_return": "at the end",
    "last_evaluations_return": "last ten tests",
    "best_return": "best checkpoint",
    "untrained_control": "best untrained",
}
_HEAD = ("", *RETURNS.values(), "real steps", "paper")
_ABOUT = (
    "mean real return [95 % CI over seeds], real steps of context or training + of tests on the way;"
    " paper: best checkpoint ± std over 3 seeds"
)
TITLES = {
    "1": f"Table 1: agents trained in dreams by world models, and baselines; {_ABOUT}",
    "2": f"Table 2: agents trained in dreams of several contexts; {_ABOUT}",
    "3": "Table 3: mean squared error in raw units over the paper's 14 columns, unused ones at 0; mean over contexts",
}


def row_of(table: str, row: Row, result: Mapping[str, Any]) -> dict[str, Any]:
    """Return what ``benchmark.json`` says of a row: who, its result, and the paper's number or None."""
    paper = paper_return(table, row)
    said = {"method": row.method, "strategy": row.strategy, "paper": paper and paper._asdict()}
    return plain(said | {key: value for key, value in result.items() if key != "out"})


def paper_return(table: str, row: Row) -> Return | None:
    """Return the paper's counterpart of a row, if it has one."""
    if row.task not in TABLE1:
        return None
    of_task = TABLE1[row.task]
    if table == "2":
        improved = TABLE2[row.task]
        by_strategy = {improved.strategy: improved.improved, "random": of_task.dream}
        return by_strategy.get(row.strategy)
    if row.strategy is not None:
        return of_task.dream
    return {"random": of_task.random, "zero": None}.get(row.method, of_task.real)


def label(table: str, row: Mapping[str, Any]) -> str:
    """Name a row as its table does."""
    return f"{row['method']}: {row['strategy']}" if table == "2" else row["method"]


def interval(row: Mapping[str, Any], name: str) -> tuple[float, float]:
    """Return the 95 % interval of a mean; NaN where there is none."""
    low, high = row["ci95_return" if name == "final_return" else f"ci95_{name}"]
    return number(low), number(high)


def number(value: float | None) -> float:
    """Turn JSON's null into NaN."""
    return np.nan if value is None else float(value)


def trained_on(row: Mapping[str, Any]) -> float:
    """Return the real steps that the final policy needed: of the context, its expert or the training."""
    steps = row["real_steps"]
    return steps["context"] + steps["expert"] + steps.get("training", 0)


def cells(table: str, row: Mapping[str, Any], between: str) -> list[str]:
    """Return a line of a table for people; ``between`` parts a mean from its interval, and numbers of steps."""
    told = []
    for name in RETURNS:
        mean, (low, high) = number(row[name]), interval(row, name)
        spread = f"{between}[{short(low)}, {short(high)}]" if row["num_seeds"] > 1 else ""
        told.append("–" if np.isnan(mean) else short(mean) + spread)
    paper = row["paper"]
    steps = f"{trained_on(row):,.0f}{between}+ {row['real_steps']['evaluation']:,.0f}"
    return [label(table, row), *told, steps, "–" if paper is None else str(Return(**paper))]


def short(number: float) -> str:
    """Write three digits or more, at most two of them behind the point."""
    return f"{number:.{0 if abs(number) >= 100 else 1 if abs(number) >= 10 else 2}f}"


def listings(table: str, by_task: Mapping[str, Any], between: str = " ") -> Iterator[tuple[str, tuple, list]]:
    """Yield title, head and lines of what is shown of a table, one listing for each task."""
    for task, rows in by_task.items():
        if table == "3":
            models = list(dict.fromkeys(name for models in rows.values() for name in models))
            lines = [
                [strategy, *(_error(own.get(name)) for name in models)] for strategy, own in rows.items()
            ]
            yield task, ("context", *models), lines
        else:
            yield task, _HEAD, [cells(table, row, between) for row in rows]


def _error(of_model: Mapping[str, Any] | None) -> str:
    raw = number(of_model["raw"] if of_model else None)
    return "–" if np.isnan(raw) else f"{raw:.2g}"


def flat_returns(by_task: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """Yield the lines of the CSV file of table 1 or 2."""
    for task, rows in by_task.items():
        for row in rows:
            line = {"task": task, "method": row["method"], "strategy": row["strategy"] or ""}
            for name in RETURNS:
                low, high = interval(row, name)
                numbers = {name: number(row[name]), f"{name}_low": low, f"{name}_high": high}
                line |= {key: "" if np.isnan(value) else f"{value:.6g}" for key, value in numbers.items()}
            paper = row["paper"] or {"mean": "", "std": ""}
            yield line | {
                "real_steps": trained_on(row),
                "test_steps": row["real_steps"]["evaluation"],
                "train_steps": row["train_steps"],
                "seeds": row["num_seeds"],
                "paper_mean": paper["mean"],
                "paper_std": paper["std"],
            }


def flat_errors(by_task: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """Yield the lines of the CSV file of table 3."""
    for task, strategies in by_task.items():
        for strategy, models in strategies.items():
            for name, own in models.items():
                low, high = own.get("ci95_raw", ("", ""))
                errors = {"raw": own["raw"], "raw_low": low, "raw_high": high}
                yield {"task": task, "strategy": strategy, "model": name, **errors}


def markdown(table: str, by_task: Mapping[str, Any]) -> str:
    """Return the whole table."""
    parts = [f"# {TITLES[table]}\n"]
    for title, head, lines in listings(table, by_task):
        parts.append(f"\n## {title}\n\n{_bars(head)}{_bars(['---'] * len(head))}")
        parts += [_bars(line) for line in lines]
    return "".join(parts)


def _bars(words: Sequence[str]) -> str:
    """Write a line of a table; a bar that is part of a word, such as a model's path, does not end its column."""
    return f"| {' | '.join(word.replace('|', chr(92) + '|') for word in words)} |\n"


def write(table: str, by_task: Mapping[str, Any], out: Path) -> None:
    """Write ``tableN.csv`` and ``tableN.md``.

    Raises:
        UserError: if the disk is full or the place cannot be written.
    """
    flat = flat_errors if table == "3" else flat_returns
    write_csv(out / f"table{table}.csv", list(flat(by_task)))
    write_atomic(out / f"table{table}.md", markdown(table, by_task).encode())
