"""The layout of Quick-Tune-Tool's meta-data sets: four csv files with a row for each run, which the first column names.

config.csv
    its hyperparameters; an empty cell is an inactive one.
curve.csv
    its score in % after each epoch, from the second column on; empty where it was stopped.
cost.csv
    a column ``cost`` with the seconds of the whole run, which we spread evenly over its epochs.
meta.csv
    its data set in a column ``dataset`` and meta-features of that. Words become marks, as ``modality=MRI``.

Tables that were published have their stopped runs filled up with the last score; such a flat tail is cut off, unless
``flat_tails`` says that it is what was measured.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from synthenv.core.errors import UserError
from synthenv.selection.readers.from_runs import Run, from_runs
from synthenv.selection.tables.meta_dataset import MetaDataset
from synthenv.selection.tables.text_files import Row, Table, read_table, value

FILES = ("config.csv", "curve.csv", "cost.csv", "meta.csv")
_DATASET = "dataset"


def recognises(path: Path) -> bool:
    """Whether a directory looks like one."""
    return (path / "config.csv").is_file() and (path / "curve.csv").is_file()


def read(path: Path, flat_tails: bool = False) -> MetaDataset:
    """Read one.

    Args:
        path: its directory.
        flat_tails: whether equal scores at the end of a curve were measured, rather than filled in.

    Raises:
        UserError: a file is missing or damaged, or lacks a run; the message names it.
    """
    config, curve, cost, meta = (read_table(path / name) for name in FILES)
    by_run = {table.path.name: table.by_name(table.header[0]) for table in (config, curve, cost, meta)}
    for table, column in ((cost, "cost"), (meta, _DATASET)):
        if column not in table.header:
            raise UserError(f"{table.path} has no column {column!r}: its first line must name the columns")
    for name, rows in by_run.items():
        for run in by_run["curve.csv"]:
            if run not in rows:
                raise UserError(f"{path / name} has no run {run}, as curve.csv has: add it")
    names = [name for name in config.header[1:] if name != _DATASET]
    configs = {
        run: {name: value(by_run["config.csv"][run].cells[name]) for name in names}
        for run in by_run["curve.csv"]
    }
    runs = []
    for run, row in by_run["curve.csv"].items():
        scores = _measured(row, curve, flat_tails)
        seconds = by_run["cost.csv"][run].number("cost") / max(len(scores), 1)
        runs.append(Run(by_run["meta.csv"][run].cells[_DATASET], run, scores, np.full(len(scores), seconds)))
    return from_runs(runs, configs, _about(meta), score_range=(0.0, 100.0), score_name="score in %")


def _measured(row: Row, curve: Table, flat_tails: bool) -> np.ndarray:
    """The curve of a run without what comes after its end."""
    scores = row.numbers(curve.header[1:])
    there = np.flatnonzero(~np.isnan(scores))
    scores = scores[: there[-1] + 1] if len(there) else scores[:0]
    if flat_tails or not len(scores):
        return scores
    different = np.flatnonzero(scores != scores[-1])
    return scores[: different[-1] + 2] if len(different) else scores[:1]


def _about(meta: Table) -> dict[str, dict[str, float]]:
    names = [name for name in meta.header[1:] if name != _DATASET]
    cells: dict[str, Mapping[str, Any]] = {}
    for row in meta.rows:
        found = {name: value(row.cells[name]) for name in names}
        known = cells.setdefault(row.cells[_DATASET], found)
        if known != found:
            different = next(name for name in names if known[name] != found[name])
            raise UserError(
                f"{row.where} has another {different} for {row.cells[_DATASET]} than the lines before: meta-features"
                " belong to the data set"
            )
    words = {
        name: sorted({str(row[name]) for row in cells.values() if isinstance(row[name], str)})
        for name in names
    }
    return {dataset: _numbers(row, words) for dataset, row in cells.items()}


def _numbers(row: Mapping[str, Any], words: Mapping[str, list[str]]) -> dict[str, float]:
    """Meta-features as numbers: a mark for each word where there are any."""
    found: dict[str, float] = {}
    for name, cell in row.items():
        if words[name]:
            found |= {f"{name}={word}": float(cell == word) for word in words[name]}
        else:
            found[name] = np.nan if cell is None else float(cell)
    return found
