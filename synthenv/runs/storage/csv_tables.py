"""Results as CSV files, small enough to be committed."""

import csv
import io
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from synthenv.core.errors import UserError
from synthenv.core.files import disk_error, make_directory, write_atomic


def write_csv(file: Path, rows: Iterable[dict[str, Any]]) -> None:
    """Write a table of at least one row, with the keys of its first row as its head.

    Raises:
        UserError: as ``write_table``.
    """
    rows = list(rows)
    head = list(rows[0])
    write_table(file, head, ([row[name] for name in head] for row in rows))


def write_table(file: Path, head: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
    """Write a table, whole or not at all.

    Raises:
        UserError: if the disk is full or the place cannot be written.
    """
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(head)
    writer.writerows(rows)
    make_directory(file.parent)
    write_atomic(file, text.getvalue().encode())


def read_csv(file: Path) -> list[dict[str, str]]:
    """Read the rows of a table.

    Raises:
        UserError: if it cannot be read or is no text.
    """
    try:
        with file.open(newline="") as stream:
            return list(csv.DictReader(stream))
    except OSError as error:
        raise disk_error(error, file) from error
    except (UnicodeDecodeError, csv.Error):
        raise UserError(f"{file} is damaged: remove it, and its lines will be measured again") from None
