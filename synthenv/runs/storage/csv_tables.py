"""Results as CSV files, small enough to be committed."""

import csv
import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from synthenv.core.errors import UserError
from synthenv.core.files import disk_error, write_atomic


def write_csv(file: Path, rows: Sequence[dict[str, Any]]) -> None:
    """A table with the keys of its first row as its head, written whole or not at all.

    Raises:
        UserError: if the disk is full or the place cannot be written.
    """
    text = io.StringIO()
    writer = csv.DictWriter(text, fieldnames=list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    write_atomic(file, text.getvalue().encode())


def read_csv(file: Path) -> list[dict[str, str]]:
    """The rows of a table.

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
