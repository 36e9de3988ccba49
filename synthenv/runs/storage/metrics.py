"""``metrics.jsonl``: one line of JSON per generation, whole lines only, readable while a run writes it."""

import json
import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from synthenv.core.files import disk_error, sync_directory, to_json, write_all, write_atomic

METRICS = "metrics.jsonl"


def append(run: Path, line: Mapping[str, Any]) -> None:
    """Add a line, or leave the file as it was; the line is on disk when this returns.

    Args:
        run: the run directory.
        line: fields for ``plain``; NaN and infinities are written as null.

    Raises:
        UserError: if the disk is full; the lines before are intact.
    """
    file = run / METRICS
    try:
        is_new = not file.exists()
        descriptor = os.open(file, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
        try:
            _append_text(descriptor, to_json(line))
        finally:
            os.close(descriptor)
        if is_new:
            sync_directory(run)
    except OSError as error:
        raise disk_error(error, file) from error


def truncate(run: Path, generation: int) -> None:
    """Drop the lines of ``generation`` and later, and any that cannot be read, so that they can come again.

    Raises:
        UserError: if the disk is full; the file is as it was then.
    """
    file = run / METRICS
    kept = [text for text, line in _lines(file) if line["generation"] < generation]
    content = "".join(f"{text}\n" for text in kept).encode()
    if file.exists() and file.read_bytes() != content:
        write_atomic(file, content)


def read(run: Path) -> list[dict[str, Any]]:
    """Read all whole lines so far, by generation; there are none if there is no file yet."""
    return sorted((line for _, line in _lines(run / METRICS)), key=lambda line: line["generation"])


def column(lines: Sequence[Mapping[str, Any]], name: str) -> np.ndarray:
    """Return a field of all lines [N], NaN where it is missing or null."""
    return np.array([line.get(name) for line in lines], float)


def num_generations(lines: Sequence[Mapping[str, Any]]) -> int:
    """Count the generations that are done by lines of ``read``, including those whose line was damaged."""
    return lines[-1]["generation"] + 1 if lines else 0


def missing(run: Path, num: int) -> list[int]:
    """Return which of the generations, or seeds, from 0 to ``num`` - 1 have no whole line."""
    done = {line["generation"] for line in read(run)}
    return [number for number in range(num) if number not in done]


def damaged(run: Path) -> list[int]:
    """Return the numbers, from 1 on, of lines that cannot be read, except a last one that was half written."""
    lines = _parsed(run / METRICS)
    return [number for number, text, line in lines if line is None and text.endswith(b"\n") and text.strip()]


def _append_text(descriptor: int, text: str) -> None:
    size = os.fstat(descriptor).st_size
    try:
        write_all(descriptor, f"{text}\n".encode())
        os.fsync(descriptor)
    except BaseException:  # half a line would spoil the next one
        os.ftruncate(descriptor, size)
        raise


def _lines(file: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield lines as text and as what they say; unreadable ones are left out."""
    return ((text.decode().rstrip("\n"), line) for _, text, line in _parsed(file) if line is not None)


def _parsed(file: Path) -> Iterator[tuple[int, bytes, dict[str, Any] | None]]:
    """Yield number, bytes with their line break, and content of every line; None if it cannot be read."""
    try:
        content = file.read_bytes()
    except FileNotFoundError:
        return
    except OSError as error:
        raise disk_error(error, file) from error
    for number, text in enumerate(content.splitlines(keepends=True), start=1):
        try:
            line = json.loads(text.decode())
        except ValueError:
            line = None
        is_whole = isinstance(line, dict) and isinstance(line.get("generation"), int)
        yield number, text, line if is_whole else None
