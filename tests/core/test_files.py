"""Files and directories on disks that are full, read-only, or lose their power."""

import builtins
import errno
import os

import pytest

from synthenv.core import files
from synthenv.core.checkpoint import CheckpointStore
from synthenv.core.errors import MachineError

OPEN, UNLINK = builtins.open, os.unlink


def failing(number):
    """An operating-system call that always fails in this way."""

    def call(*args, **kwargs):
        raise OSError(number, os.strerror(number))

    return call


@pytest.fixture
def synced(monkeypatch):
    """The names of the directories that are synced while a test runs."""
    names = []
    monkeypatch.setattr(files, "sync_directory", lambda directory: names.append(directory.name))
    return names


@pytest.mark.parametrize(
    ("number", "remedy"),
    [
        (errno.EROFS, "choose another place"),
        (errno.EACCES, "change its permissions"),
        (errno.ENOSPC, "free some"),
    ],
)
def test_the_cause_is_told_where_nothing_can_be_removed_either(tmp_path, monkeypatch, number, remedy):
    """A read-only file system refuses to remove the temporary file as it refused to write it."""
    (tmp_path / "x").write_bytes(b"old")
    monkeypatch.setattr(os, "fsync", failing(number))
    monkeypatch.setattr(os, "unlink", failing(errno.EROFS))
    monkeypatch.setattr("pathlib.Path.unlink", failing(errno.EROFS))
    for act in (
        lambda: files.write_atomic(tmp_path / "x", b"new"),
        lambda: files.check_place(tmp_path / "y"),
    ):
        with pytest.raises(MachineError, match=f"{os.strerror(number)}.*{remedy}"):
            act()
    assert (tmp_path / "x").read_bytes() == b"old"


def test_leftovers_that_cannot_be_removed_are_told(tmp_path, monkeypatch):
    (tmp_path / ".x.1.tmp").touch()
    monkeypatch.setattr("pathlib.Path.unlink", failing(errno.EROFS))
    for act in (files.remove_leftovers, files.remove):
        with pytest.raises(MachineError, match="Read-only file system"):
            act(tmp_path / ".x.1.tmp" if act is files.remove else tmp_path)


def test_every_directory_that_is_made_outlives_a_power_cut(tmp_path, synced):
    made = files.make_directory(tmp_path / "a" / "b" / "c")
    assert [path.name for path in made] == ["c", "b", "a"]
    assert synced == ["b", "a", tmp_path.name], "a directory's name stands in the one above it"
    assert files.make_directory(tmp_path / "a" / "b") == []


def test_renamed_and_removed_files_outlive_a_power_cut(tmp_path, synced):
    (tmp_path / "x").touch()
    files.replace(tmp_path / "x", tmp_path / "y")
    files.remove(tmp_path / "y")
    assert synced == [tmp_path.name] * 2 and not list(tmp_path.iterdir())


def test_a_damaged_checkpoint_is_put_aside_for_good(tmp_path, synced):
    store = CheckpointStore(tmp_path / "checkpoints")
    for step in (1, 2):
        store.save(step, {"a": 1.0}, {})
    assert synced == [tmp_path.name, "checkpoints", "checkpoints"]
    (tmp_path / "checkpoints" / "step_00000002.safetensors").write_bytes(b"half")
    restored = store.restore({"a": 0.0})
    assert restored is not None and restored.step == 1 and len(restored.skipped) == 1
    assert synced[3:] == ["checkpoints"]


@pytest.mark.parametrize("number", [errno.EINVAL, errno.ENOTSUP])
def test_a_file_system_that_cannot_sync_directories_is_no_fault(tmp_path, monkeypatch, number):
    monkeypatch.setattr(os, "fsync", failing(number))
    files.sync_directory(tmp_path)
    monkeypatch.setattr(os, "fsync", failing(errno.EIO))
    with pytest.raises(OSError, match="Input/output error"):
        files.sync_directory(tmp_path)


def test_a_place_is_tried_and_left_as_it_was(tmp_path):
    (tmp_path / "file").write_text("x")
    for name in (".", "new", "new/deep", "file"):
        files.check_place(tmp_path / name)
    assert [path.name for path in tmp_path.iterdir()] == ["file"]
    with pytest.raises(MachineError, match=r"cannot use .*file/below"):
        files.check_place(tmp_path / "file" / "below")
    files.check_place(tmp_path / "/dev/null")
    assert files.is_special(tmp_path / "/dev/null")
