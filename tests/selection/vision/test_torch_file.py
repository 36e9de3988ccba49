"""Tensors from files of torch, and files that want more than that."""

import io
import pickle
import sys
import types
import zipfile

import numpy as np
import pytest

from synthenv.core.errors import UserError
from synthenv.selection.vision.torch_file import read_torch_file


class FloatStorage:
    """Stands in for torch's class of the same name in pickles."""


class LongStorage:
    """The same for whole numbers."""


def _rebuild_tensor_v2(*_):
    raise AssertionError("nobody may call what a file names")


class Tensor:
    """Pickles as torch's do: as a call that rebuilds it from a storage."""

    def __init__(self, key, array, offset=0, shape=None, strides=None):
        kind = LongStorage if array.dtype == np.int64 else FloatStorage
        self.storage = ("storage", kind, key, "cpu", array.size, None)
        shape = array.shape if shape is None else shape
        self.view = (
            offset,
            shape,
            tuple(s // array.itemsize for s in array.strides) if strides is None else strides,
        )

    def __reduce__(self):
        return _rebuild_tensor_v2, (Stored(self.storage), *self.view, False, {})


class Stored(tuple):
    """A storage, which a pickle only refers to."""

    def __new__(cls, pid):
        return super().__new__(cls, pid)


class Writer(pickle.Pickler):
    def persistent_id(self, obj):
        return tuple(obj) if isinstance(obj, Stored) else None


@pytest.fixture(autouse=True)
def _torch(monkeypatch):
    """Names by which pickles refer to torch; torch itself is not needed."""
    for kind in (FloatStorage, LongStorage):
        monkeypatch.setattr(kind, "__module__", "torch")
    monkeypatch.setattr(_rebuild_tensor_v2, "__module__", "torch._utils")
    torch, inner = types.ModuleType("torch"), types.ModuleType("torch._utils")
    monkeypatch.setattr(torch, "FloatStorage", FloatStorage, raising=False)
    monkeypatch.setattr(torch, "LongStorage", LongStorage, raising=False)
    monkeypatch.setattr(inner, "_rebuild_tensor_v2", _rebuild_tensor_v2, raising=False)
    monkeypatch.setitem(sys.modules, "torch", torch)
    monkeypatch.setitem(sys.modules, "torch._utils", inner)


def pickled(value) -> bytes:
    stream = io.BytesIO()
    Writer(stream, 2).dump(value)
    return stream.getvalue()


def old_layout(tensors, storages) -> bytes:
    """Torch before 1.6: five pickles, then the numbers."""
    system = {"protocol_version": 1001, "little_endian": True, "type_sizes": {}}
    heads = (0x1950A86A20F9469CFC6C, 1001, system, tensors, list(storages))
    raw = (len(a).to_bytes(8, "little") + a.tobytes() for a in storages.values())
    return b"".join(map(pickled, heads)) + b"".join(raw)


def new_layout(tensors, storages) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        archive.writestr("model/data.pkl", pickled(tensors))
        for key, array in storages.items():
            archive.writestr(f"model/data/{key}", array.tobytes())
    return stream.getvalue()


FLAT = np.arange(12, dtype=np.float32)


@pytest.mark.parametrize("layout", [old_layout, new_layout])
def test_tensors_come_back(layout, tmp_path):
    counts = np.array([7], np.int64)
    tensors = {
        "weight": Tensor("0", FLAT, shape=(3, 4), strides=(4, 1)),
        "turned": Tensor("0", FLAT, offset=4, shape=(4, 2), strides=(1, 4)),
        "number": Tensor("1", counts, shape=(), strides=()),
    }
    (tmp_path / "a.pth").write_bytes(layout(tensors, {"0": FLAT, "1": counts}))
    read = read_torch_file(tmp_path / "a.pth")
    np.testing.assert_array_equal(read["weight"], FLAT.reshape(3, 4))
    np.testing.assert_array_equal(read["turned"], FLAT[4:].reshape(2, 4).T)
    assert read["number"] == 7


class Evil:
    def __reduce__(self):
        return sys.exit, ()


@pytest.mark.parametrize("layout", [old_layout, new_layout])
def test_a_file_that_calls_something_else_is_refused(layout, tmp_path):
    (tmp_path / "a.pth").write_bytes(layout({"weight": Evil()}, {}))
    with pytest.raises(UserError, match=r"a\.pth is refused: it asks for .*exit"):
        read_torch_file(tmp_path / "a.pth")


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"PK\x03\x04 no zip",
        pickle.dumps({"weight": 1}),
        lambda: old_layout({"w": Tensor("0", FLAT, shape=(3, 4), strides=(4, 1))}, {"0": FLAT})[:-1],
        lambda: old_layout({"w": Tensor("0", FLAT, shape=(4, 4), strides=(4, 1))}, {"0": FLAT}),
        lambda: old_layout({"w": Tensor("0", FLAT, shape=(2, 2), strides=(-1, 1))}, {"0": FLAT}),
        lambda: new_layout({"w": 3}, {}),
    ],
)
def test_damaged_files_are_named(data, tmp_path):
    (tmp_path / "a.pth").write_bytes(data() if callable(data) else data)
    with pytest.raises(UserError, match=r"a\.pth is no file of tensors by torch"):
        read_torch_file(tmp_path / "a.pth")
