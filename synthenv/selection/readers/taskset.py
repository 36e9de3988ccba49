"""Runs on tasks of TaskSet (Metz et al., 2020), as DyHPO and DPL publish them.

A folder with a JSON file for each task, which is a list of runs: ``{"hp": {name: value}, "train": {"loss": [...]},
"valid": {"loss": [...]}, "test": {"loss": [...]}}``. The i-th run of every file is of the i-th configuration if the
files agree about it; other configurations get names of their own.

Losses differ from task to task, and what diverges has losses without bound. A score is ``start / (start + loss)``: 1
for no loss, one half for the loss at the start (the median of the task's runs), and towards 0 for anything worse; its
range is 0 to 1 for every task. A run whose loss is NaN, infinite or a hundred times that at the start has crashed, and
its curve ends before that point. Costs are unknown.
"""

import re
from pathlib import Path
from typing import Any

import numpy as np

from synthenv.core.errors import UserError
from synthenv.selection.readers.from_runs import Run, ended_by_nan, from_runs
from synthenv.selection.tables.meta_dataset import MetaDataset
from synthenv.selection.tables.text_files import numbers, read_json

MOST = 100.0  # times the loss at the start
_BEGINNING = re.compile(r'\s*\[\s*\{\s*"(hp|train|valid|test)"\s*:')


def recognises(path: Path) -> bool:
    """Whether a folder looks like one."""
    file = next(iter(sorted(path.glob("*.json"))), None)
    if file is None:
        return False
    with open(file, errors="replace") as text:
        return bool(_BEGINNING.match(text.read(200)))


def read(path: Path, split: str = "valid") -> MetaDataset:
    """Read a folder of them.

    Args:
        path: the folder.
        split: of which losses to take: "train", "valid" or "test".

    Raises:
        UserError: a file is damaged or has a loss below 0; the message names it and the run.
    """
    configs: dict[str, dict[str, Any]] = {}
    runs: list[Run] = []
    for file in sorted(path.glob("*.json")):
        listed = read_json(file)
        losses = [_losses(file, i, run, split) for i, run in enumerate(listed)]
        with np.errstate(invalid="ignore"):
            first = np.array([loss[0] for loss in losses if len(loss) and np.isfinite(loss[0])])
        if not len(first) or not np.median(first) > 0:
            raise UserError(f"{file} has no run with a {split} loss above 0 at its start: leave the file out")
        start = float(np.median(first))
        for i, (run, loss) in enumerate(zip(listed, losses, strict=True)):
            name = (
                f"run {i}" if configs.setdefault(f"run {i}", run["hp"]) == run["hp"] else f"{file.stem} {i}"
            )
            configs[name] = run["hp"]
            with np.errstate(invalid="ignore"):
                score = np.where(loss <= MOST * start, start / (start + loss), np.nan)
            runs.append(ended_by_nan(file.stem, name, score, None))
    return from_runs(runs, configs, score_name=f"start / (start + {split} loss)")


def _losses(file: Path, i: int, run: Any, split: str) -> np.ndarray:
    try:
        hyperparameters, values = run["hp"], run[split]["loss"]
    except (KeyError, TypeError):
        raise UserError(
            f"{file}, run {i} has no hp or no {split} loss: leave it out, or choose another split"
        ) from None
    if not isinstance(hyperparameters, dict) or not isinstance(values, list):
        raise UserError(f"{file}, run {i} must have hp {{name: value}} and a list of losses")
    try:
        found = np.array(values, np.float64)
    except (TypeError, ValueError):
        found = numbers(values, f"{file}, run {i}")
    if (found < 0).any():
        raise UserError(
            f"{file}, run {i} has a loss below 0, and the score that we make of losses needs positive ones"
        )
    return found
