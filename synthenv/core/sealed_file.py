"""Self-checking safetensors files: named arrays and JSON fields, nothing pickled.

A file carries the sha256 of itself in its header, computed with the digest's own 64 characters set to zeros. So one
rename publishes data and checksum together: no crash can leave the one without the other.
"""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jax.numpy as jnp
import numpy as np
from safetensors import SafetensorError, deserialize
from safetensors.numpy import save

from synthenv.core.errors import UserError
from synthenv.core.files import disk_error, to_json, write_atomic

_DTYPES = {
    "BOOL": np.dtype(bool),
    "BF16": np.dtype(jnp.bfloat16),
    "F8_E4M3": np.dtype(jnp.float8_e4m3fn),
    "F8_E5M2": np.dtype(jnp.float8_e5m2),
    "C64": np.dtype(np.complex64),
    **{f"F{bits}": np.dtype(f"float{bits}") for bits in (16, 32, 64)},
    **{f"I{bits}": np.dtype(f"int{bits}") for bits in (8, 16, 32, 64)},
    **{f"U{bits}": np.dtype(f"uint{bits}") for bits in (8, 16, 32, 64)},
}
# A quote inside a JSON string is escaped, so a header holds this sequence where the digest is and nowhere else.
_MARK = b'"sha256":"'
_BLANK = "0" * 64


class DamagedFileError(UserError):
    """A file whose bytes are not those that were written."""


def write_sealed(path: str | Path, arrays: Mapping[str, np.ndarray], fields: Mapping[str, Any]) -> None:
    """Write arrays and fields, atomically; equal contents make equal files.

    Args:
        path: file to write.
        arrays: arrays by name.
        fields: anything that ``plain`` can turn into JSON, by name.

    Raises:
        UserError: if the disk is full or the place cannot be written.
    """
    # safetensors copies memory as it lies
    ordered = {name: np.asarray(array, order="C") for name, array in arrays.items()}
    header = {name: to_json(value) for name, value in fields.items()} | {"sha256": _BLANK}
    write_atomic(path, _seal(_in_order(save(ordered, header))))


def read_sealed(path: Path) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """Read the arrays and fields of a file whose seal is whole.

    Raises:
        DamagedFileError: if the file is truncated, empty or altered.
        UserError: if it is missing or unreadable.
    """
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        raise UserError(f"{path} does not exist: check the path") from None
    except OSError as error:
        raise disk_error(error, path) from error
    start = data.find(_MARK) + len(_MARK)
    if not data or start < len(_MARK):
        raise DamagedFileError(
            f"{path} is {'damaged or foreign' if data else 'empty'}: put back a copy of it"
        )
    blank = data[:start] + _BLANK.encode() + data[start + len(_BLANK) :]
    if hashlib.sha256(blank).hexdigest().encode() != data[start : start + len(_BLANK)]:
        raise DamagedFileError(f"{path} is damaged (its sha256 does not match): put back a copy of it")
    try:
        header = _split(data)[0]["__metadata__"]
        arrays = {
            name: np.frombuffer(entry["data"], _DTYPES[entry["dtype"]]).reshape(entry["shape"])
            for name, entry in deserialize(data)
        }
        return arrays, {name: json.loads(text) for name, text in header.items() if name != "sha256"}
    except (KeyError, ValueError, SafetensorError) as error:
        raise UserError(f"{path} is not a synthenv file ({error!r}): pass one that synthenv wrote") from error


def _seal(data: bytes) -> bytes:
    """Put the sha256 of ``data`` where its blank digest is."""
    start = data.index(_MARK) + len(_MARK)
    return data[:start] + hashlib.sha256(data).hexdigest().encode() + data[start + len(_BLANK) :]


def _in_order(data: bytes) -> bytes:
    """Sort the fields of the metadata, which safetensors shuffles, so that equal trees make equal files."""
    header, body = _split(data)
    header["__metadata__"] = dict(sorted(header["__metadata__"].items()))
    text = json.dumps(header, separators=(",", ":"), ensure_ascii=False).encode()
    text += b" " * (-len(text) % 8)  # the format aligns its data
    return len(text).to_bytes(8, "little") + text + body


def _split(data: bytes) -> tuple[dict[str, Any], bytes]:
    """Header and data of a safetensors file: eight bytes of length, JSON, arrays."""
    length = int.from_bytes(data[:8], "little")
    return json.loads(data[8 : 8 + length]), data[8 + length :]
