"""Scenarios of the algorithm selection library ASlib: instances are the data sets, algorithms the configurations.

description.txt
    YAML, of which we need ``performance_type``, ``maximize`` and ``algorithm_cutoff_time``.
algorithm_runs.arff
    ``instance_id, repetition, algorithm, <measure>, runstatus``; only the first repetition counts.
feature_values.arff
    meta-features of the instances, ``?`` where unknown; optional.
cv.arff
    the folds of the instances, see :func:`read_folds`; optional.

Where the measure is a runtime, a score is minus PAR10: minus the seconds of a run that came to its end, and minus ten
times the cutoff of one that ran out of time or memory. Other measures keep their value, minus it if it is minimised. A
run with the status "crash" has crashed: it has no score. Runtimes are the costs.
"""

import csv
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from synthenv.core.errors import UserError
from synthenv.selection.readers.from_runs import Run, from_runs
from synthenv.selection.tables.meta_dataset import MetaDataset
from synthenv.selection.tables.text_files import Row, number, read_text

_TIMES_CUTOFF = 10.0
_NAMES = ("instance_id", "repetition")


def recognises(path: Path) -> bool:
    """Whether a directory looks like one."""
    return (path / "algorithm_runs.arff").is_file()


def read(path: Path) -> MetaDataset:
    """Read one.

    Raises:
        UserError: a file is missing or damaged; the message names it and the line.
    """
    about = _description(path / "description.txt")
    rows = read_arff(path / "algorithm_runs.arff", needs=(*_NAMES, "algorithm", "runstatus"))
    measures = [name for name in rows[0].cells if name not in (*_NAMES, "algorithm", "runstatus")]
    if not measures:
        raise UserError(f"{path / 'algorithm_runs.arff'} has no measure: add an attribute such as runtime")
    is_runtime = about.get("performance_type", "runtime") == "runtime"
    sign = 1.0 if not is_runtime and about.get("maximize", "false").lower() == "true" else -1.0
    cutoff = number(about.get("algorithm_cutoff_time"), f"{path / 'description.txt'}, algorithm_cutoff_time")
    if is_runtime and not cutoff > 0:
        raise UserError(
            f"{path / 'description.txt'} has no algorithm_cutoff_time, which PAR10 needs: fill it in"
        )
    runs = []
    for row in _first_repetition(rows):
        status, measured = row.cells["runstatus"].lower(), row.number(measures[0])
        score = sign * measured
        if is_runtime and status != "ok":
            score = -_TIMES_CUTOFF * cutoff
        crashed = status == "crash"
        costs = [measured if is_runtime else np.nan]
        run = Run(
            row.cells["instance_id"], row.cells["algorithm"], [np.nan if crashed else score], costs, crashed
        )
        runs.append(run)
    algorithms = dict.fromkeys(run.config for run in runs)
    scores = [score for run in runs for score in run.curve if not np.isnan(score)]
    low = min(scores, default=0.0)
    return from_runs(
        runs,
        {name: {"algorithm": name} for name in algorithms},
        _meta_features(path / "feature_values.arff"),
        score_range=(-_TIMES_CUTOFF * cutoff, 0.0) if is_runtime else (low, max(scores, default=1.0)),
        score_name="minus PAR10 seconds" if is_runtime else measures[0],
    )


def read_folds(path: Path) -> dict[str, int]:
    """The fold of each instance, as cv.arff of a scenario has it.

    Raises:
        UserError: the file is missing or damaged.
    """
    rows = read_arff(path / "cv.arff", needs=(*_NAMES, "fold"))
    return {row.cells["instance_id"]: int(row.number("fold")) for row in _first_repetition(rows)}


def read_arff(path: Path, needs: tuple[str, ...] = ()) -> list[Row]:
    """The lines of an ARFF file, whose cells go by the names of its attributes; sparse ones are not understood.

    Raises:
        UserError: it cannot be read, an attribute is missing, or a line has more or fewer cells than attributes.
    """
    names: list[str] = []
    rows: list[Row] = []
    in_data = False
    for count, line in enumerate(read_text(path).splitlines(), 1):
        line = line.strip()
        if not line or line.startswith("%"):
            continue
        if in_data:
            cells = [cell.strip() for cell in next(csv.reader([line], quotechar="'", skipinitialspace=True))]
            if len(cells) != len(names):
                raise UserError(
                    f"{path}, line {count} has {len(cells)} cells, where there are {len(names)} attributes: mend that"
                    " line"
                )
            rows.append(Row(f"{path}, line {count}", dict(zip(names, cells, strict=True))))
        elif line.lower().startswith("@attribute"):
            names.append(
                next(csv.reader([line[10:].strip().replace("\t", " ")], delimiter=" ", quotechar="'"))[0]
            )
        in_data = in_data or line.lower() == "@data"
    for name in needs:
        if name not in names:
            raise UserError(f"{path} has no attribute {name!r}: an ASlib scenario needs it")
    if not rows:
        raise UserError(f"{path} has no data: pass a scenario with at least one run")
    return rows


def _description(path: Path) -> dict[str, str]:
    """The entries of a YAML file that have one value; of a list the first one."""
    found: dict[str, str] = {}
    key = ""
    for line in read_text(path).splitlines():
        if line.startswith("- ") and key:
            found.setdefault(key, line[2:].strip().strip("'\""))
        elif ":" in line and not line.startswith(" "):
            key, _, said = (part.strip() for part in line.partition(":"))
            if said := said.strip("[]'\""):
                found[key] = said
    return found


def _first_repetition(rows: list[Row]) -> Iterator[Row]:
    return (row for row in rows if row.number("repetition") == 1)


def _meta_features(path: Path) -> dict[str, dict[str, float]]:
    if not path.is_file():
        return {}
    rows = read_arff(path, needs=_NAMES)
    names = [name for name in rows[0].cells if name not in _NAMES]
    return {
        row.cells["instance_id"]: dict(zip(names, row.numbers(names).tolist(), strict=True))
        for row in _first_repetition(rows)
    }
