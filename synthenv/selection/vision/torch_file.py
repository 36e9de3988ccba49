"""Read tensors from a file that ``torch.save`` has written, without torch and without running anything in it.

Such a file names Python callables that its reader shall call. This one knows five names and refuses the rest. Both
layouts are read: a row of pickles with the raw numbers behind them (torch before 1.6), and a zip file.
"""

import io
import pickle
import zipfile
from collections import OrderedDict
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from synthenv.core.errors import UserError
from synthenv.core.files import disk_error

_MAGIC, _VERSION = 0x1950A86A20F9469CFC6C, 1001
_DTYPES = {
    "FloatStorage": np.dtype("<f4"),
    "HalfStorage": np.dtype("<f2"),
    "DoubleStorage": np.dtype("<f8"),
    "LongStorage": np.dtype("<i8"),
}


class _Storage(NamedTuple):
    key: str
    dtype: np.dtype
    size: int


class _Tensor(NamedTuple):
    """A view of a storage that is not read yet."""

    storage: _Storage
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]


def read_torch_file(path: str | Path) -> dict[str, np.ndarray]:
    """The tensors of a saved state dictionary by their names.

    Raises:
        UserError: it cannot be read, is damaged, or holds anything but tensors by name.
    """
    path = Path(path)
    try:
        data = path.read_bytes()
    except OSError as error:
        raise disk_error(error, path) from error
    try:
        read = _from_zip if zipfile.is_zipfile(io.BytesIO(data)) else _from_pickles
        tensors, storages = read(data)
        return {str(name): _array(tensor, storages) for name, tensor in tensors.items()}
    except _RefusedError as error:
        raise UserError(f"{path} is refused: {error}") from None
    except (  # whatever bytes that are none of torch's lead to
        pickle.UnpicklingError,
        zipfile.BadZipFile,
        EOFError,
        ValueError,
        KeyError,
        IndexError,
        TypeError,
        AttributeError,
    ) as error:
        raise UserError(
            f"{path} is no file of tensors by torch, or a part of one ({error!r}): copy it again"
        ) from None


class _RefusedError(Exception):
    """The file asks for something that tensors do not need."""


class _Reader(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        if (module, name) == ("collections", "OrderedDict"):
            return OrderedDict
        if (module, name) == ("torch._utils", "_rebuild_tensor_v2"):
            return _rebuilt
        if module == "torch" and name in _DTYPES:
            return _DTYPES[name]
        raise _RefusedError(f"it asks for {module}.{name}, which tensors do not need")

    def persistent_load(self, pid: Any) -> _Storage:
        kind, dtype, key, _, size, *view = pid
        if kind != "storage" or any(view) or not isinstance(dtype, np.dtype):
            raise _RefusedError(f"it holds a {kind!r} that is no plain storage")
        return _Storage(str(key), dtype, int(size))


def _rebuilt(
    storage: _Storage, offset: int, shape: tuple[int, ...], strides: tuple[int, ...], *_: Any
) -> _Tensor:
    return _Tensor(storage, offset, tuple(shape), tuple(strides))


def _from_pickles(data: bytes) -> tuple[dict[str, _Tensor], dict[str, np.ndarray]]:
    file = io.BytesIO(data)
    magic, version, system, tensors, keys = (_Reader(file).load() for _ in range(5))
    if magic != _MAGIC or version != _VERSION or not system["little_endian"]:
        raise ValueError("it does not begin as torch's files do")
    dtypes = {tensor.storage.key: tensor.storage.dtype for tensor in tensors.values()}
    storages = {}
    for key in keys:
        size = int.from_bytes(file.read(8), "little")
        raw = file.read(size * dtypes[key].itemsize)
        storages[key] = np.frombuffer(raw, dtypes[key], size)
    return tensors, storages


def _from_zip(data: bytes) -> tuple[dict[str, _Tensor], dict[str, np.ndarray]]:
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        root = next(name for name in archive.namelist() if name.endswith("/data.pkl")).removesuffix(
            "data.pkl"
        )
        tensors = _Reader(io.BytesIO(archive.read(f"{root}data.pkl"))).load()
        found = {tensor.storage.key: tensor.storage for tensor in tensors.values()}
        storages = {
            key: np.frombuffer(archive.read(f"{root}data/{key}"), storage.dtype, storage.size)
            for key, storage in found.items()
        }
    return tensors, storages


def _array(tensor: _Tensor, storages: dict[str, np.ndarray]) -> np.ndarray:
    storage = storages[tensor.storage.key]
    last = tensor.offset + sum((n - 1) * step for n, step in zip(tensor.shape, tensor.strides, strict=True))
    if min((tensor.offset, *tensor.shape, *tensor.strides)) < 0 or last >= len(storage):
        raise ValueError("a tensor reaches beyond its storage")
    strides = [step * storage.itemsize for step in tensor.strides]
    view = np.lib.stride_tricks.as_strided(storage[tensor.offset :], tensor.shape, strides, writeable=False)
    return view.copy()
