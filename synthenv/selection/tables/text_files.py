"""Csv and JSON files as people have them, with errors that name the file and the line."""

import csv
import io
import json
import math
from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from synthenv.core.errors import UserError
from synthenv.core.files import disk_error

_MISSING = {"", "nan", "na", "n/a", "null", "?"}
_TRUTHS = {"True": True, "False": False, "true": True, "false": False}


class Row(NamedTuple):
    """A line of a table: where it stands, and its cells by the name of their column."""

    where: str
    cells: dict[str, str]

    def number(self, name: str) -> float:
        """A cell as a number, NaN for an empty one.

        Raises:
            UserError: it is no number, or infinite.
        """
        try:
            found = float(self.cells[name])
        except ValueError:
            found = math.inf
        return number(self.cells[name], f"{self.where}, column {name}") if math.isinf(found) else found

    def numbers(self, names: Iterable[str]) -> np.ndarray:
        """Some cells as numbers, NaN for empty ones. float64 [T]

        Raises:
            UserError: one is no number, or infinite.
        """
        names = list(names)
        try:
            found = np.array([float(self.cells[name] or "nan") for name in names], np.float64)
        except ValueError:
            found = np.array([np.inf])
        return np.array([self.number(name) for name in names]) if np.isinf(found).any() else found


class Table(NamedTuple):
    """What a csv file holds: the names of its columns, and its lines."""

    path: Path
    header: tuple[str, ...]
    rows: list[Row]

    def by_name(self, column: str) -> dict[str, Row]:
        """The lines by what stands in one column.

        Raises:
            UserError: two lines have the same name there, or one has none.
        """
        found: dict[str, Row] = {}
        for row in self.rows:
            name = row.cells[column]
            if not name:
                raise UserError(f"{row.where} has no name in its column {column!r}: give it one")
            if name in found:
                raise UserError(f"{row.where} is there twice, as {name}: keep one line of it")
            found[name] = row
        return found


def read_text(path: Path) -> str:
    """The text of a file.

    Raises:
        UserError: it cannot be read, is empty, or is not UTF-8.
    """
    try:
        text = path.read_bytes().decode("utf-8-sig")
    except OSError as error:
        raise disk_error(error, path) from error
    except UnicodeDecodeError as error:
        line = error.object[: error.start].count(b"\n") + 1
        raise UserError(f"{path}, line {line} is not UTF-8: save the file in that encoding") from None
    if not text.strip():
        raise UserError(f"{path} is empty: copy it again from where it came")
    return text


def read_table(path: Path, needs: Iterable[str] = ()) -> Table:
    """Read a csv file; the first line names the columns.

    Args:
        path: the file.
        needs: columns without which it is of no use.

    Raises:
        UserError: it cannot be read, a column is missing or there twice, or a line has more or fewer cells than the
            header.
    """
    lines = csv.reader(io.StringIO(read_text(path), newline=""), strict=True)
    try:
        header = tuple(name.strip() for name in next(lines))
        _check_header(path, header, needs)
        rows = []
        for cells in lines:
            if not cells:
                continue
            where = f"{path}, line {lines.line_num}"
            if len(cells) != len(header):
                raise UserError(
                    f"{where} has {len(cells)} cells, where the header has {len(header)}: mend that line"
                )
            rows.append(Row(where, dict(zip(header, map(str.strip, cells), strict=True))))
    except csv.Error as error:
        raise UserError(f"{path}, line {lines.line_num} is no csv ({error}): mend that line") from None
    if not rows:
        raise UserError(f"{path} has a header and no lines: pass a table with at least one")
    return Table(path, header, rows)


def _check_header(path: Path, header: tuple[str, ...], needs: Iterable[str]) -> None:
    for name in header:
        if header.count(name) > 1:
            raise UserError(f"{path} has two columns called {name!r}: give each a name of its own")
    for name in needs:
        if name not in header:
            called = repr(name) if name else "without a name"
            raise UserError(f"{path} has no column {called}: its first line must name the columns")


def read_json(path: Path) -> Any:
    """What a JSON file holds.

    Raises:
        UserError: it cannot be read, is no JSON, or has a key twice in one object.
    """

    def once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        found = dict(pairs)
        if len(found) < len(pairs):
            names = [name for name, _ in pairs]
            twice = next(name for i, name in enumerate(names) if name in names[:i])
            raise UserError(f"{path} has {twice} twice in one place: keep one of them")
        return found

    try:
        return json.loads(read_text(path), object_pairs_hook=once)
    except ValueError as error:
        raise UserError(
            f"{path} is no JSON ({error}): mend it, or copy it again from where it came"
        ) from None


def read_object(path: Path) -> dict[str, Any]:
    """What a JSON file holds that is one object.

    Raises:
        UserError: it cannot be read, or is no object.
    """
    found = read_json(path)
    if not isinstance(found, dict):
        raise UserError(f"{path} holds no object {{name: value}}: copy it again from where it came")
    return found


def number(cell: Any, where: str) -> float:
    """A cell as a number; NaN for an empty one.

    Raises:
        UserError: it is no number, or infinite.
    """
    if cell is None or (isinstance(cell, str) and cell.strip().lower() in _MISSING):
        return math.nan
    try:
        found = float(cell)
    except (TypeError, ValueError):
        raise UserError(
            f"{where} holds {cell!r}, where a number belongs: mend it or leave it empty"
        ) from None
    if math.isinf(found):
        raise UserError(f"{where} holds an infinite number: leave it empty if it is unknown")
    return found


def numbers(values: list[Any], where: str) -> np.ndarray:
    """A list of a JSON file as numbers, NaN for null. float64 [T]

    Raises:
        UserError: one is no number, or infinite.
    """
    try:
        found = np.array(values, np.float64)
    except (TypeError, ValueError):
        found = np.array([np.inf])
    if found.ndim != 1 or np.isinf(found).any():
        return np.array([number(value, where) for value in values])
    return found


def value(cell: str) -> Any:
    """A hyperparameter's value as a cell says it: a number, a truth, a text, or None for an empty cell."""
    if cell.lower() in _MISSING:
        return None
    if cell in _TRUTHS:
        return _TRUTHS[cell]
    try:
        found = float(cell)
    except ValueError:
        return cell
    return found if math.isfinite(found) else cell
