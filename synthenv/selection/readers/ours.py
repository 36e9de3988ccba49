"""Our own layout, which ``selection/readers/write.py`` writes; what is read is what was written, to the bit.

meta_dataset.json
    ``format``, ``version``, ``score_name``, ``score_range`` and ``columns``: the hyperparameters with their kinds,
    bounds and values, see ``columns.py``. A column that is ``as_stored`` has stored values in configs.csv, not original
    ones.
configs.csv
    a row for each configuration, which the first column names; an empty cell is an inactive hyperparameter.
datasets.csv
    a row for each data set, which the first column names, with its meta-features; an empty cell is an unknown one.
runs.csv
    a row for each run: ``dataset``, ``config``, and ``crashed``, which is 1 or 0.
curves.csv, costs.csv
    a row for each run in the same order, which the first column numbers from 0: the score and the seconds of each step,
    empty where there is none. Without costs.csv all costs are unknown.
tuned_on.csv
    ``config, dataset``: on which data set a configuration was tuned. Not there if nothing is known about it.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from synthenv.core.errors import UserError
from synthenv.selection.tables.columns import Column
from synthenv.selection.tables.meta_dataset import MetaDataset
from synthenv.selection.tables.text_files import Row, Table, read_object, read_table

FORMAT, VERSION = "synthenv meta-data set", 1


def recognises(path: Path) -> bool:
    """Whether a directory looks like one."""
    return (path / "meta_dataset.json").is_file()


def read(path: Path) -> MetaDataset:
    """Read one.

    Raises:
        UserError: a file is missing or damaged; the message names it and the line.
    """
    head = read_object(path / "meta_dataset.json")
    if head.get("format") != FORMAT or head.get("version") != VERSION:
        raise UserError(
            f"{path / 'meta_dataset.json'} is of no version that we know: write the data set again"
        )
    try:
        columns, low, high = _columns(head["columns"]), *map(float, head["score_range"])
        score_name = str(head["score_name"])
    except (KeyError, TypeError, ValueError) as error:
        raise UserError(
            f"{path / 'meta_dataset.json'} is damaged ({error!r}): write the data set again"
        ) from None
    configs = read_table(path / "configs.csv", ("", *(column.name for column, _ in columns)))
    datasets = read_table(path / "datasets.csv", ("",))
    runs = read_table(path / "runs.csv", ("dataset", "config", "crashed"))
    place_of_config, place_of_dataset = (
        {name: i for i, name in enumerate(table.by_name(""))} for table in (configs, datasets)
    )
    curves = _numbers(path / "curves.csv", len(runs.rows))
    costs = path / "costs.csv"
    tuned_on = path / "tuned_on.csv"
    return MetaDataset(
        datasets=tuple(place_of_dataset),
        columns=tuple(column for column, _ in columns),
        config_names=tuple(place_of_config),
        configs=_configs(columns, configs),
        dataset_of=_places(runs, "dataset", place_of_dataset),
        config_of=_places(runs, "config", place_of_config),
        curves=curves,
        costs=_numbers(costs, len(runs.rows)) if costs.is_file() else np.full_like(curves, np.nan),
        crashed=np.array([_is_marked(row) for row in runs.rows], bool),
        meta_names=datasets.header[1:],
        meta_features=_array(datasets.rows, datasets.header[1:]),
        score_range=(low, high),
        score_name=score_name,
        tuned_on=_tuned_on(tuned_on, place_of_config, place_of_dataset) if tuned_on.is_file() else None,
    )


def stored_value(column: Column, text: str) -> np.float32:
    """The stored value of what configs.csv says.

    Raises:
        UserError: it is none of the column's.
    """
    if column.kind == "number":
        return np.float32(column.stored(text))
    said = [str(value) for value in column.values]
    if text not in said:
        raise UserError(f"{column.name} has no value {text!r}: it takes {', '.join(said)}")
    place = said.index(text)
    return np.float32(place if column.kind == "choice" else place / max(len(said) - 1, 1))


def _columns(entries: Sequence[dict[str, Any]]) -> list[tuple[Column, bool]]:
    return [
        (
            Column(
                entry["name"],
                entry["kind"],
                float(entry["lower"]),
                float(entry["upper"]),
                bool(entry["is_log"]),
                tuple(entry["values"]),
            ),
            bool(entry["as_stored"]),
        )
        for entry in entries
    ]


def _configs(columns: Sequence[tuple[Column, bool]], table: Table) -> np.ndarray:
    rows = np.full((len(table.rows), len(columns)), np.nan, np.float32)
    for h, (column, as_stored) in enumerate(columns):
        if as_stored:
            rows[:, h] = _array(table.rows, (column.name,))[:, 0]
            continue
        known: dict[str, np.float32] = {"": np.float32(np.nan)}
        for i, row in enumerate(table.rows):
            text = row.cells[column.name]
            if text not in known:
                try:
                    known[text] = stored_value(column, text)
                except UserError as error:
                    raise UserError(f"{row.where}: {error}") from None
            rows[i, h] = known[text]
    return rows


def _array(rows: Sequence[Row], names: Sequence[str]) -> np.ndarray:
    return np.array([row.numbers(names) for row in rows], np.float32).reshape(len(rows), len(names))


def _numbers(path: Path, num_runs: int) -> np.ndarray:
    table = read_table(path, ("run",))
    if len(table.rows) != num_runs:
        raise UserError(
            f"{path} has {len(table.rows)} runs, where runs.csv has {num_runs}: give each a row in both"
        )
    for i, row in enumerate(table.rows):
        if row.cells["run"] != str(i):
            raise UserError(
                f"{row.where} is of run {row.cells['run']}, where {i} belongs: keep the order of runs.csv"
            )
    return _array(table.rows, table.header[1:])


def _places(table: Table, name: str, known: dict[str, int]) -> np.ndarray:
    for row in table.rows:
        if row.cells[name] not in known:
            raise UserError(
                f"{row.where} has a {name} {row.cells[name]!r} that {name}s.csv does not have: add it there"
            )
    return np.array([known[row.cells[name]] for row in table.rows], np.int32)


def _is_marked(row: Row) -> bool:
    if row.cells["crashed"] not in ("0", "1"):
        raise UserError(f"{row.where} has crashed {row.cells['crashed']!r}: write 1 or 0")
    return row.cells["crashed"] == "1"


def _tuned_on(path: Path, configs: dict[str, int], datasets: dict[str, int]) -> np.ndarray:
    found = np.full(len(configs), -1, np.int32)
    for row in read_table(path, ("config", "dataset")).rows:
        config, dataset = row.cells["config"], row.cells["dataset"]
        if config not in configs or (dataset and dataset not in datasets):
            raise UserError(f"{row.where} has a configuration or a data set that is not there: mend the line")
        found[configs[config]] = datasets.get(dataset, -1)
    return found
