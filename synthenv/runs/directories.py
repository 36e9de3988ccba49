"""Directories whose numbers come one by one: written by one process at a time, and all of them with the same flags.

``rundir`` is for runs with checkpoints and metrics; this is for everything that only adds lines to a table.
"""

import contextlib
import fcntl
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from synthenv.core.errors import UserError
from synthenv.core.files import (
    disk_error,
    make_directory,
    plain,
    read_json,
    remove_leftovers,
    to_json,
    write_atomic,
)

CONFIG, LOCK = "config.json", ".lock"


def lock(path: Path) -> int:
    """Make a directory, if it is missing, and lock it for this process.

    Returns:
        a descriptor that holds the lock until it is closed. The kernel lets go when the process dies, whatever kills
        it.

    Raises:
        UserError: another process has it, or it cannot be written.
    """
    make_directory(path)
    try:
        descriptor = os.open(path / LOCK, os.O_RDWR | os.O_CREAT, 0o644)
    except OSError as error:
        raise disk_error(error, path) from error
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        os.close(descriptor)
        if isinstance(error, BlockingIOError):
            raise UserError(
                f"another process is writing {path}: wait for it, stop it, or choose another --out"
            ) from None
        raise disk_error(error, path) from error
    return descriptor


@contextlib.contextmanager
def locked(path: Path) -> Iterator[None]:
    """Keep other processes from writing a directory, and clear away what a killed one left half written.

    Raises:
        UserError: as ``lock``.
    """
    descriptor = lock(path)
    try:
        remove_leftovers(path)
        yield
    finally:
        os.close(descriptor)


@contextlib.contextmanager
def held(path: Path, asked: Mapping[str, Any]) -> Iterator[None]:
    """Lock a directory, and hold it to the flags that it was begun with, which its ``config.json`` keeps.

    Args:
        path: made if it is missing.
        asked: whatever decides the numbers of a line, but not which lines there are. Of a mapping only the keys that
            are on record already have to be the same; new ones are added.

    Raises:
        UserError: the directory holds numbers of other flags, or as ``lock``.
    """
    with locked(path):
        wanted, file = plain(asked), path / CONFIG
        stored = _read(file) if file.exists() else _nothing(path)
        for name, value in wanted.items():
            before = stored.get(name, value)
            for key, (was, now) in _pairs(name, before, value):
                if was != now:
                    raise UserError(
                        f"the numbers in {path} were begun with {key} = {to_json(was)}, not {to_json(now)}: pass the"
                        " old value to go on, or choose another --out"
                    )
            if isinstance(value, dict):
                wanted[name] = before | value
        if wanted != stored:
            write_atomic(file, to_json({"config": wanted}, indent=1).encode())
        yield


def _pairs(name: str, before: Any, now: Any) -> Iterator[tuple[str, tuple[Any, Any]]]:
    """What has to be equal, by the name under which it is told."""
    if isinstance(before, dict) and isinstance(now, dict):
        yield from ((f"{name} {key}", (before[key], now[key])) for key in now if key in before)
    else:
        yield name, (before, now)


def _nothing(path: Path) -> dict[str, Any]:
    """No flags are on record: fine where there is no table either."""
    if tables := sorted(file.name for file in path.glob("*.csv")):
        raise UserError(f"{path} holds {tables[0]}, and no {CONFIG} says of what: choose another --out")
    return {}


def _read(file: Path) -> dict[str, Any]:
    remedy = "put back a copy of it, or choose another --out"
    try:
        return dict(read_json(file, remedy)["config"])
    except (KeyError, TypeError):
        raise UserError(f"{file} is damaged: {remedy}") from None
