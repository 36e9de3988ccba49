"""Our own layout, in which any meta-data set can be written; what is read is what was written, to the bit.

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

import csv
import io
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from synthenv.core.errors import UserError
from synthenv.core.files import make_directory, remove, to_json, write_atomic
from synthenv.selection.columns import Column
from synthenv.selection.meta_dataset import MetaDataset
from synthenv.selection.readers.tables import Row, Table, read_json, read_table

FORMAT, VERSION = "synthenv meta-data set", 1


def recognises(path: Path) -> bool:
    """Whether a directory looks like one."""
    return (path / "meta_dataset.json").is_file()


def write_meta_dataset(meta: MetaDataset, path: str | Path) -> None:
    """Write a meta-data set into a directory, which is made unless it is there.

    Raises:
        UserError: the place cannot be written, or a name cannot be told from others in a csv file.
    """
    path = Path(path)
    names = (*meta.datasets, *meta.config_names, *meta.meta_names, *(column.name for column in meta.columns))
    for name in names:
        if not name or name != name.strip() or not name.isprintable():
            raise UserError(
                f"{name!r} cannot be a name in a csv file: give it letters, and no blanks at its ends"
            )
    make_directory(path)
    texts = [_texts(column, meta.configs[:, h]) for h, column in enumerate(meta.columns)]
    config_rows = zip(meta.config_names, *(column for column, _ in texts), strict=True)
    _write(path / "configs.csv", ("", *(column.name for column in meta.columns)), config_rows)
    _write_numbers(path / "datasets.csv", meta.datasets, meta.meta_names, meta.meta_features)
    runs = zip(meta.dataset_of, meta.config_of, meta.crashed, strict=True)
    rows = ((meta.datasets[d], meta.config_names[m], int(crashed)) for d, m, crashed in runs)
    _write(path / "runs.csv", ("dataset", "config", "crashed"), rows)
    steps, numbers = [str(t + 1) for t in range(meta.num_steps)], [str(i) for i in range(len(meta.curves))]
    _write_numbers(path / "curves.csv", numbers, steps, meta.curves, "run")
    for name in ("costs.csv", "tuned_on.csv"):  # of what was written here before
        remove(path / name)
    if not np.isnan(meta.costs).all():
        _write_numbers(path / "costs.csv", numbers, steps, meta.costs, "run")
    if meta.tuned_on is not None:
        pairs = (
            (meta.config_names[m], meta.datasets[d] if d >= 0 else "") for m, d in enumerate(meta.tuned_on)
        )
        _write(path / "tuned_on.csv", ("config", "dataset"), pairs)
    columns = [
        {**column._asdict(), "as_stored": as_stored}
        for column, (_, as_stored) in zip(meta.columns, texts, strict=True)
    ]
    head = {
        "format": FORMAT,
        "version": VERSION,
        "score_name": meta.score_name,
        "score_range": meta.score_range,
    }
    write_atomic(path / "meta_dataset.json", to_json({**head, "columns": columns}, indent=1).encode())


def read(path: Path) -> MetaDataset:
    """Read one.

    Raises:
        UserError: a file is missing or damaged; the message names it and the line.
    """
    head = read_json(path / "meta_dataset.json")
    if not isinstance(head, dict) or head.get("format") != FORMAT or head.get("version") != VERSION:
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


def _texts(column: Column, values: np.ndarray) -> tuple[list[str], bool]:
    """How a column's values are written, and whether as they are stored: where the original ones are not exact."""
    known: dict[bytes, str] = {}
    said = [str(value) for value in column.values]
    exact = len(set(said)) == len(said) and all(
        text and text == text.strip() and text.isprintable() for text in said
    )
    for value in values:
        if np.isnan(value):
            known[value.tobytes()] = ""
        elif exact and value.tobytes() not in known:
            text = _original_text(column, float(value))
            exact = text is not None and _stored(column, text).tobytes() == value.tobytes()
            known[value.tobytes()] = text or ""
    if not exact:
        known = {value.tobytes(): "" if np.isnan(value) else str(value) for value in values}
    return [known[value.tobytes()] for value in values], not exact


def _original_text(column: Column, value: float) -> str | None:
    if column.kind != "number":
        place = value if column.kind == "choice" else value * (len(column.values) - 1)
        return str(column.values[round(place)]) if 0 <= round(place) < len(column.values) else None
    try:
        return repr(column.original(value))
    except (OverflowError, ValueError):
        return None


def _stored(column: Column, text: str) -> np.float32:
    """The stored value of what :func:`_original_text` writes.

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


def _write(path: Path, header: Sequence[str], rows: Iterable[Iterable[Any]]) -> None:
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(header)
    writer.writerows(rows)
    write_atomic(path, text.getvalue().encode())


def _write_numbers(
    path: Path, names: Sequence[str], header: Sequence[str], values: np.ndarray, first: str = ""
) -> None:
    texts = np.where(np.isnan(values), "", values.astype(np.float32).astype(str)).tolist()
    _write(path, (first, *header), ((name, *row) for name, row in zip(names, texts, strict=True)))


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
                    known[text] = _stored(column, text)
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
