"""Tables of data sets by pipelines, as ZAP and the AutoDL challenge have them: one score for each pair.

perf_matrix.csv
    a row for each data set, which the first column names, and a column for each pipeline; empty where it was not run.
    The path may also be that of the csv file itself. A folder may hold one other ``perf_matrix*.csv`` instead.
pipelines*.csv
    beside it; a row of hyperparameters for each pipeline, which the first column names. Without them, the only
    hyperparameter is which pipeline it is.
meta_features*.csv
    beside it or in the folder above; a row of meta-features for each data set. Of several the one is taken that knows
    most of the data sets. A resolution below 0 means that it varies, and counts as unknown.

A pipeline that is called as a data set was tuned on it. AutoDL's scores are areas under the learning curve (ALC), which
lie between -1 and 1, and 0.0 stands for a crash there: such tables are known by the hyperparameter ``score_type`` of
AutoDL's pipelines, or ``metric="alc"`` says so. In any other table 0.0 is a score.
"""

from pathlib import Path
from typing import Any, Literal

import numpy as np

from synthenv.core.errors import UserError
from synthenv.selection.readers.from_runs import Run, from_runs
from synthenv.selection.tables.meta_dataset import MetaDataset
from synthenv.selection.tables.text_files import Row, read_table, value

_AUTODL = "score_type"
_RANGES = ((0.0, 1.0), (-1.0, 1.0), (0.0, 100.0))


def recognises(path: Path) -> bool:
    """Whether a path looks like one."""
    return path.suffix == ".csv" if path.is_file() else any(path.glob("perf_matrix*.csv"))


def read(path: Path, metric: Literal["alc", "score"] | None = None) -> MetaDataset:
    """Read one.

    Args:
        path: the folder or the matrix itself.
        metric: "alc" for AutoDL's area under the learning curve, "score" for anything else; told from the pipelines'
            hyperparameters unless it is passed.

    Raises:
        UserError: a file is missing or damaged, or no usual range holds the scores; the message names it.
    """
    file = path if path.is_file() else _matrix_in(path)
    table = read_table(file)
    by_dataset = table.by_name(table.header[0])
    scores = {dataset: row.numbers(table.header[1:]) for dataset, row in by_dataset.items()}
    hyperparameters = _pipelines(file.parent)
    metric = metric or ("alc" if any(_AUTODL in config for config in hyperparameters.values()) else "score")
    if metric not in ("alc", "score"):
        raise UserError(f"metric cannot be {metric!r}: pass alc or score")
    pipelines = table.header[1:]
    runs = [
        Run(dataset, pipeline, [np.nan if (crashed := metric == "alc" and x == 0.0) else x], crashed=crashed)
        for dataset, row in scores.items()
        for pipeline, x in zip(pipelines, row, strict=True)
        if not np.isnan(x)
    ]
    own = {pipeline: {"pipeline": pipeline} for pipeline in pipelines}
    configs = {name: hyperparameters.get(name, {}) for name in pipelines} if hyperparameters else own
    return from_runs(
        runs,
        configs,
        _meta_features(file.parent, set(by_dataset)),
        score_range=(-1.0, 1.0) if metric == "alc" else _range(file, scores),
        score_name="area under the learning curve" if metric == "alc" else "score",
        tuned_on={pipeline: pipeline for pipeline in pipelines if pipeline in by_dataset},
    )


def _matrix_in(path: Path) -> Path:
    found = sorted(path.glob("perf_matrix*.csv"))
    plain = path / "perf_matrix.csv"
    if plain in found or len(found) == 1:
        return plain if plain in found else found[0]
    what = f"{len(found)} files perf_matrix*.csv" if found else "no perf_matrix.csv"
    raise UserError(f"{path} has {what}: pass the path of the one to read")


def _pipelines(folder: Path) -> dict[str, dict[str, Any]]:
    """Hyperparameters by pipeline; where two files know one, the first has the word."""
    found: dict[str, dict[str, Any]] = {}
    for file in sorted(folder.glob("pipelines*.csv")):
        table = read_table(file)
        for name, row in table.by_name(table.header[0]).items():
            found.setdefault(name, {column: value(row.cells[column]) for column in table.header[1:]})
    return found


def _meta_features(folder: Path, datasets: set[str]) -> dict[str, dict[str, float]]:
    best: dict[str, Row] = {}
    names: tuple[str, ...] = ()
    for file in [
        *sorted(folder.glob("meta_features*.csv")),
        *sorted(folder.parent.glob("meta_features*.csv")),
    ]:
        table = read_table(file)
        known = {name: row for name, row in table.by_name(table.header[0]).items() if name in datasets}
        if len(known) > len(best):
            best, names = known, table.header[1:]
    return {dataset: {name: _meta_feature(row, name) for name in names} for dataset, row in best.items()}


def _meta_feature(row: Row, name: str) -> float:
    found = row.number(name)
    return np.nan if name.startswith("resolution") and found < 0 else found


def _range(file: Path, scores: dict[str, np.ndarray]) -> tuple[float, float]:
    least = min(np.nanmin(row, initial=np.inf) for row in scores.values())
    greatest = max(np.nanmax(row, initial=-np.inf) for row in scores.values())
    for low, high in _RANGES:
        if low <= least and greatest <= high:
            return low, high
    known = ", ".join(f"{low:g} to {high:g}" for low, high in _RANGES)
    raise UserError(
        f"{file} has scores from {least:g} to {greatest:g}, and scores lie within one of {known}: divide them"
    )
