"""Files that survive: written whole or not at all, and JSON that any reader accepts."""

import dataclasses
import errno
import json
import math
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from synthenv.core.errors import UserError

_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
_DENIED = {errno.EACCES, errno.EPERM, errno.EROFS}


def disk_error(error: OSError, path: Path) -> UserError:
    """Turn what the operating system says about ``path`` into a cause with its remedy."""
    cause = f"cannot use {path} ({error.strerror or error})"
    if error.errno in _FULL:
        return UserError(f"{cause}: free some space and go on with --resume; what was saved before is intact")
    if error.errno in _DENIED:
        return UserError(f"{cause}: change its permissions or choose another place")
    return UserError(f"{cause}: check the path and the disk")


def make_directory(path: Path) -> None:
    """Make a directory and those above it, unless it is there.

    Raises:
        UserError: if it cannot be made.
    """
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise disk_error(error, path) from error


def read_json(path: Path, remedy: str) -> Any:
    """What a file of JSON holds.

    Args:
        path: the file.
        remedy: what to do if it is damaged.

    Raises:
        UserError: it cannot be read, or is no JSON.
    """
    try:
        return json.loads(path.read_bytes())
    except OSError as error:
        raise disk_error(error, path) from error
    except ValueError:
        raise UserError(f"{path} is damaged: {remedy}") from None


def write_atomic(path: str | Path, data: bytes) -> None:
    """Replace a file such that a reader, now or after a crash, finds the old content or the new, never a mixture.

    Args:
        path: file to write; its directory exists.
        data: new content.

    Raises:
        UserError: if the disk is full or the place cannot be written; an old file is untouched then.
    """
    path = Path(path)
    # The process id keeps two writers apart; leftovers of killed ones go with ``remove_leftovers``.
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with open(temporary, "wb", buffering=0) as file:
            write_all(file.fileno(), data)
            os.fsync(file.fileno())
        os.replace(temporary, path)
        _sync_directory(path.parent)
    except OSError as error:
        raise disk_error(error, path) from error
    finally:
        temporary.unlink(missing_ok=True)


def write_all(descriptor: int, data: bytes) -> None:
    """Write every byte: ``os.write`` may stop short when the disk is nearly full."""
    view = memoryview(data)
    while view:
        view = view[os.write(descriptor, view) :]


def remove_leftovers(directory: Path) -> None:
    """Delete the temporary files of killed writers. Only for a directory that nobody else writes."""
    for leftover in directory.glob(".*.tmp"):
        leftover.unlink(missing_ok=True)


def _sync_directory(directory: Path) -> None:
    """Make a rename outlive a power cut."""
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def plain(value: Any) -> Any:
    """Reduce a value to what strict JSON can say.

    NamedTuples and dataclasses become objects (``json`` alone would write a NamedTuple as a nameless list), arrays
    lists, paths strings, NaN and infinities null.
    """
    if hasattr(value, "_asdict"):
        value = value._asdict()
    elif dataclasses.is_dataclass(value) and not isinstance(value, type):
        value = {field.name: getattr(value, field.name) for field in dataclasses.fields(value)}
    if isinstance(value, Mapping):
        return {str(name): plain(item) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    if isinstance(value, Path):
        return str(value)
    tolist = getattr(value, "tolist", None)
    if tolist is not None:  # NumPy and JAX arrays and scalars
        return plain(tolist())
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    return value


def to_json(value: Any, indent: int | None = None) -> str:
    """JSON text of ``plain(value)``, in the order of its fields."""
    return json.dumps(plain(value), indent=indent, allow_nan=False, ensure_ascii=False)
