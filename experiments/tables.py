"""Results as CSV files, small enough to be committed."""

import csv
from collections.abc import Sequence
from pathlib import Path
from typing import Any


def write_csv(file: Path, rows: Sequence[dict[str, Any]]) -> None:
    """A table with the keys of its first row as its head."""
    with file.open("w", newline="") as stream:
        writer = csv.DictWriter(stream, fieldnames=list(rows[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)


def read_csv(file: Path) -> list[dict[str, str]]:
    """The rows of a table."""
    with file.open(newline="") as stream:
        return list(csv.DictReader(stream))
