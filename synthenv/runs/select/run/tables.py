"""What a person reads of a search: its trials as a table, and its summary."""

from pathlib import Path
from typing import Any

import numpy as np

from synthenv.runs.storage.csv_tables import write_table
from synthenv.selection.tuner.search import Search

TRIALS = "trials.csv"
HEAD = ("trial", "state", "steps", "best_score", "last_score", "seconds", "reason")


def directory_of(out: Path, candidate: int, step: int) -> Path:
    """Where the job wrote that trained a candidate up to a step."""
    return out / "trials" / f"{candidate:04d}" / f"to-{step:04d}"


def best_of(search: Search, out: Path) -> dict[str, Any] | None:
    """The best trial so far; None if none has a score."""
    best = search.best()
    if best is None:
        return None
    kept = directory_of(out, best.candidate, int(search.steps[best.candidate]))
    return {
        "trial": best.candidate,
        "score": best.score,
        "step": best.step,
        "config": search.pool.configs[best.candidate],
        "directory": str(kept) if kept.is_dir() else None,
    }


def summary(search: Search, out: Path, clock: float) -> dict[str, Any]:
    """The best trial, and how many there were of each kind."""
    states = [search.state_of(candidate) for candidate in range(len(search.pool.configs))]
    counts = {state: states.count(state) for state in ("finished", "paused", "crashed", "running")}
    return {
        "best": best_of(search, out),
        **counts,
        "candidates": len(states),
        "evaluations": search.num_jobs,
        "steps": int(search.steps.sum()),
        "seconds": clock,
    }


def write_trials(search: Search, out: Path) -> None:
    """Write ``trials.csv``: a line for each trial that was begun, the best one first.

    Raises:
        MachineError: the disk is full.
    """
    names = list(dict.fromkeys(name for config in search.pool.configs for name in config))
    rows = []
    for candidate, config in enumerate(search.pool.configs):
        if (state := search.state_of(candidate)) == "new":
            continue
        scores = search.curves[candidate][~np.isnan(search.curves[candidate])]
        best = (scores.min() if search.minimise else scores.max()) if len(scores) else None
        row = (
            candidate,
            state,
            search.steps[candidate],
            best,
            scores[-1] if len(scores) else None,
            round(float(np.nansum(search.costs[candidate])), 3),
            search.reasons.get(candidate, ""),
        )
        rows.append((*row, *(config.get(name) for name in names)))
    sign = 1 if search.minimise else -1
    rows.sort(key=lambda row: (row[3] is None, sign * row[3] if row[3] is not None else 0, row[0]))
    write_table(out / TRIALS, (*HEAD, *names), rows)
