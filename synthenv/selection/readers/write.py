"""Meta-data sets are written in a layout of ours, which ``readers/ours.py`` describes and reads back to the bit."""

import csv
import io
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from synthenv.core.errors import UserError
from synthenv.core.files import make_directory, remove, to_json, write_atomic
from synthenv.selection.readers.ours import FORMAT, VERSION, stored_value
from synthenv.selection.tables.columns import Column
from synthenv.selection.tables.meta_dataset import MetaDataset


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
            exact = text is not None and stored_value(column, text).tobytes() == value.tobytes()
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
