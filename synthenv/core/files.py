"""Files that survive: written whole or not at all, and JSON that any reader accepts."""

import contextlib
import dataclasses
import errno
import json
import math
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from synthenv.core.errors import MachineError, UserError

_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
_DENIED = {errno.EACCES, errno.EPERM, errno.EROFS}
_CANNOT_SYNC = {errno.EINVAL, errno.ENOTSUP}  # some network file systems know this of files only


def disk_error(error: OSError, path: Path) -> MachineError:
    """Turn what the operating system says about ``path`` into a cause with its remedy."""
    cause = f"cannot use {path} ({error.strerror or error})"
    if error.errno in _FULL:
        return MachineError(
            f"{cause}: free some space and start again, a run with --resume: what was saved before is intact"
        )
    if error.errno in _DENIED:
        return MachineError(f"{cause}: change its permissions or choose another place")
    return MachineError(f"{cause}: check the path and the disk")


def make_directory(path: Path) -> list[Path]:
    """Make a directory and those above it, unless it is there; they outlive a power cut when this returns.

    Returns:
        the directories that were made, the deepest one first.

    Raises:
        MachineError: if it cannot be made.
    """
    missing = []
    try:
        for place in (path, *path.parents):
            if place.is_dir():
                break
            missing.append(place)
        path.mkdir(parents=True, exist_ok=True)
        for place in missing:
            sync_directory(place.parent)
    except OSError as error:
        raise disk_error(error, path) from error
    return missing


def check_place(path: Path) -> None:
    """See that a file or a directory could be written at ``path``, before anything is done for what goes there.

    Tries a temporary file in the nearest directory that exists already. Nothing stays behind.

    Raises:
        MachineError: if nothing can be written there.
    """
    if is_special(path):
        if not os.access(path, os.W_OK):
            raise disk_error(PermissionError(errno.EACCES, os.strerror(errno.EACCES)), path)
        return
    nearest = next(place for place in (path, *path.parents) if os.path.lexists(place))
    if nearest == path and not path.is_dir():  # a file that would be replaced
        nearest = path.parent
    temporary = _temporary(nearest / "trial")
    try:
        _write_new(temporary, b"\0")
    except OSError as error:
        raise disk_error(error, path) from error
    finally:
        with contextlib.suppress(OSError):  # where nothing can be written, there is nothing to remove either
            temporary.unlink()


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
    temporary = _temporary(path)
    try:
        _write_new(temporary, data)
        os.replace(temporary, path)
        sync_directory(path.parent)
    except OSError as error:
        raise disk_error(error, path) from error
    finally:
        # After a rename there is nothing left to remove. On a file system that has turned read-only this fails as the
        # writing did, and that error is the one to tell.
        with contextlib.suppress(OSError):
            temporary.unlink()


def replace(old: Path, new: Path) -> None:
    """Rename a file within its directory; the new name outlives a power cut when this returns.

    Raises:
        MachineError: if it cannot be renamed.
    """
    try:
        os.replace(old, new)
        sync_directory(new.parent)
    except OSError as error:
        raise disk_error(error, old) from error


def remove(path: Path) -> None:
    """Remove a file, if it is there; it does not come back after a power cut.

    Raises:
        MachineError: if it cannot be removed.
    """
    try:
        path.unlink(missing_ok=True)
        sync_directory(path.parent)
    except OSError as error:
        raise disk_error(error, path) from error


def is_special(path: Path) -> bool:
    """Whether there is something at ``path`` that is written to rather than replaced, such as /dev/stdout."""
    return path.exists() and not path.is_file() and not path.is_dir()


def _temporary(path: Path) -> Path:
    """Where a file is written before it gets its name.

    The process id keeps two writers apart; leftovers of killed ones go with ``remove_leftovers``.
    """
    return path.with_name(f".{path.name}.{os.getpid()}.tmp")


def _write_new(path: Path, data: bytes) -> None:
    with open(path, "wb", buffering=0) as file:
        write_all(file.fileno(), data)
        os.fsync(file.fileno())


def write_all(descriptor: int, data: bytes) -> None:
    """Write every byte: ``os.write`` may stop short when the disk is nearly full."""
    view = memoryview(data)
    while view:
        view = view[os.write(descriptor, view) :]


def remove_leftovers(directory: Path) -> None:
    """Delete the temporary files of killed writers. Only for a directory that nobody else writes.

    Raises:
        MachineError: if one cannot be removed.
    """
    for leftover in directory.glob(".*.tmp"):
        try:
            leftover.unlink(missing_ok=True)
        except OSError as error:
            raise disk_error(error, leftover) from error


def sync_directory(directory: Path) -> None:
    """Make what was made, renamed or removed in a directory outlive a power cut."""
    try:
        descriptor = os.open(directory, os.O_RDONLY)
    except PermissionError:  # one may be allowed to write in a directory and not to read it
        return
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno not in _CANNOT_SYNC:
            raise
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
