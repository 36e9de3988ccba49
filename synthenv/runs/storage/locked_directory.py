"""Directories whose numbers come one by one, from one process at a time and always with the same flags.

``run_directory`` is for runs with checkpoints and metrics; this is for everything that only adds lines to a table.
"""

import contextlib
import fcntl
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from synthenv.core.errors import MachineError, UserError
from synthenv.core.files import (
    check_place,
    disk_error,
    make_directory,
    plain,
    remove_leftovers,
    sync_directory,
)
from synthenv.runs.storage import stored_config
from synthenv.runs.storage.stored_config import CONFIG

RESULT, LOCK = "result.json", ".lock"


@contextlib.contextmanager
def claimed(stem: str) -> Iterator[Path]:
    """Make a new directory: ``runs/stem``, or the first of ``runs/stem-2``, ``-3``, ... that does not exist.

    It is made at once, so two commands that are started together get two directories. If it is empty at the end, it is
    removed.

    Args:
        stem: its name; a slash, which tasks may have, does not make a directory.

    Raises:
        MachineError: if it cannot be made.
    """
    made = make_directory(Path("runs"))
    path = _new(Path("runs"), stem.replace("/", "-"))
    try:
        yield path
    finally:
        with contextlib.suppress(OSError):  # it is in use
            if [entry.name for entry in path.iterdir()] == [LOCK]:
                (path / LOCK).unlink()
            for directory in (path, *made):
                directory.rmdir()


def _new(parent: Path, name: str) -> Path:
    path, number = parent / name, 1
    while True:
        try:
            path.mkdir()
            sync_directory(parent)
            return path
        except FileExistsError:
            number += 1
            path = parent / f"{name}-{number}"
        except OSError as error:
            raise disk_error(error, path) from error


@contextlib.contextmanager
def output(path: Path | None, stem: str) -> Iterator[Path]:
    """Yield where a command writes at its end: ``path``, which is tried before the work, or else ``claimed(stem)``.

    Raises:
        MachineError: if nothing can be written there.
    """
    if path is None:
        with claimed(stem) as own:
            yield own
    else:
        check_place(path)
        yield path


def is_begun(path: Path) -> bool:
    """Return whether a directory holds more than a command leaves that was stopped while it began."""
    try:
        return any(entry.name != LOCK and not entry.name.endswith(".tmp") for entry in path.iterdir())
    except OSError:
        return path.exists()


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
            raise MachineError(
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
        clear(path)
        yield
    finally:
        os.close(descriptor)


def clear(path: Path) -> None:
    """Delete what killed writers left half written, in a locked directory and below it.

    Directories below it with a lock of their own are left to those who hold that.

    Raises:
        MachineError: if something cannot be removed.
    """
    for place, below, _ in os.walk(path):
        remove_leftovers(Path(place))
        below[:] = [name for name in below if not Path(place, name, LOCK).exists()]


@contextlib.contextmanager
def held(path: Path, asked: Mapping[str, Any]) -> Iterator[None]:
    """Lock a directory, and check the flags that it was begun with, which its ``config.json`` keeps.

    Args:
        path: made if it is missing.
        asked: whatever decides the numbers of a line, but not which lines there are. In a mapping, only the keys that
            are on record already have to be the same; new ones are added.

    Raises:
        UserError: the directory holds numbers of other flags, or as ``lock``.
    """
    with locked(path):
        wanted = plain(asked)
        stored = stored_config.read(path)["config"] if (path / CONFIG).exists() else _nothing(path)
        before, now = _merged(wanted, stored), _merged(stored, wanted)
        stored_config.check_same(f"the numbers in {path} were", before, now)
        if now != stored:
            stored_config.write(path, now)
        yield


def _merged(under: dict[str, Any], over: dict[str, Any]) -> dict[str, Any]:
    """Merge two mappings and the mappings in them; ``over`` wins where they differ."""
    within = {key: _merged(under[key], over[key]) for key in over if isinstance(under.get(key), dict)}
    return under | over | within


def _nothing(path: Path) -> dict[str, Any]:
    """Return no flags, or refuse a directory that holds a table though no flags are on record."""
    if tables := sorted(file.name for file in path.glob("*.csv")):
        raise UserError(f"{path} holds {tables[0]}, and no {CONFIG} says of what: choose another --out")
    return {}
