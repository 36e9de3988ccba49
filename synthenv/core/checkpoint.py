"""Pytrees of arrays on disk: one self-checking safetensors file each, and a directory that keeps the newest few."""

import re
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from synthenv.core.errors import UserError
from synthenv.core.files import disk_error, make_directory, remove_leftovers, replace
from synthenv.core.sealed_file import DamagedFileError, read_sealed, write_sealed

PyTree = Any


def save_tree(path: str | Path, tree: PyTree, metadata: dict[str, Any]) -> None:
    """Write a pytree of arrays, atomically.

    Args:
        path: file to write.
        tree: arrays, typed keys and numbers; leaves are named by their path in the tree.
        metadata: anything that ``plain`` can turn into JSON.

    Raises:
        UserError: if the disk is full or the place cannot be written.
    """
    arrays: dict[str, np.ndarray] = {}
    key_impls: dict[str, str] = {}
    for name, leaf in _named_leaves(tree):
        if name in arrays:
            raise ValueError(f"two leaves are called {name}")
        if _is_key(leaf):
            key_impls[name] = str(jax.random.key_impl(leaf))
            leaf = jax.random.key_data(leaf)
        arrays[name] = np.asarray(leaf)
    write_sealed(path, arrays, {"metadata": metadata, "keys": key_impls})


def load_tree(path: str | Path, like: PyTree) -> tuple[PyTree, dict[str, Any]]:
    """Read a pytree that ``save_tree`` wrote.

    Args:
        path: file to read.
        like: a tree of the expected structure, shapes and dtypes; its values are ignored. Where the caller computes
            in double precision (``jax_enable_x64``) a leaf that was saved in single precision stays in it.

    Returns:
        the tree, its leaves of the same kinds as those of ``like`` (JAX or NumPy arrays, typed keys, numbers), and
        the metadata.

    Raises:
        DamagedFileError: if the file is truncated, empty or altered.
        UserError: if it is missing, or its first unfitting leaf shows that it belongs to another configuration.
    """
    arrays, fields = read_sealed(Path(path))
    expected = _named_leaves(like)
    leaves = []
    for name, leaf in expected:
        if name not in arrays:
            raise _foreign(path, f"leaf {name} ({_describe(leaf)}) is missing")
        value = arrays.pop(name)
        if name in fields["keys"]:
            value = jax.random.wrap_key_data(jnp.array(value), impl=fields["keys"][name])
        if _describe(value) not in (_describe(leaf), _describe_single(leaf)):
            raise _foreign(path, f"leaf {name} is {_describe(value)}, not {_describe(leaf)}")
        leaves.append(_of_kind(value, leaf))
    if arrays:
        raise _foreign(path, f"leaf {min(arrays)} is not expected")
    return jax.tree.unflatten(jax.tree.structure(like), leaves), fields["metadata"]


def load_arrays(path: str | Path) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """Read the arrays by leaf name (typed keys as their data) and the metadata of a file, checksum verified.

    Raises:
        UserError: as ``load_tree``, except that any leaf is welcome.
    """
    arrays, fields = read_sealed(Path(path))
    return arrays, fields["metadata"]


class Restored(NamedTuple):
    """What a store gave back; ``skipped`` has one line for every damaged file that was passed over."""

    step: int
    tree: PyTree
    metadata: dict[str, Any]
    skipped: list[str]


class CheckpointStore:
    """The newest few checkpoints of one run.

    Args:
        directory: where they live; made at the first save.
        keep: how many to keep. Older ones are what a damaged newest one is replaced with.
        owner: identity of the run, e.g. a hash of its config and seed. A sound checkpoint of another owner is
            refused even if all its shapes fit.
        former_owner: another name of the same run, under which older versions wrote its checkpoints.
    """

    def __init__(
        self, directory: str | Path, keep: int = 3, owner: str = "", former_owner: str | None = None
    ):
        self.directory = Path(directory)
        self.keep = keep
        self.owner = owner
        self.former_owner = former_owner

    def save(self, step: int, tree: PyTree, metadata: dict[str, Any]) -> None:
        """Write the checkpoint of ``step`` and drop the oldest; raises UserError as ``save_tree``."""
        make_directory(self.directory)
        remove_leftovers(self.directory)
        stored = {"step": step, "owner": self.owner, "metadata": metadata}
        save_tree(self.directory / f"step_{step:08d}.safetensors", tree, stored)
        try:
            for _, path in self._newest_first()[self.keep :]:
                path.unlink(missing_ok=True)
        except OSError as error:
            raise disk_error(error, self.directory) from error

    def restore(self, like: PyTree) -> Restored | None:
        """Read the newest sound checkpoint.

        Damaged ones on the way are kept under the suffix ``.damaged``, unless no sound one is found.

        Args:
            like: see ``load_tree``.

        Returns:
            the checkpoint, or None if there is none at all.

        Raises:
            UserError: if every checkpoint is damaged, or the newest sound one belongs to another run.
        """
        damaged: list[Path] = []
        for step, path in self._newest_first():
            try:
                tree, stored = load_tree(path, like)
            except DamagedFileError:
                damaged.append(path)
                continue
            if stored.get("step") != step or stored.get("owner") not in (self.owner, self.former_owner):
                raise _foreign(path, "it was written by another run")
            return Restored(step, tree, stored["metadata"], [self._set_aside(path, step) for path in damaged])
        if damaged:
            raise UserError(
                f"all {len(damaged)} checkpoints in {self.directory} are damaged: put back a copy of one, or start"
                " again with another --out"
            )
        return None

    def _newest_first(self) -> list[tuple[int, Path]]:
        if not self.directory.is_dir():
            return []
        named = ((re.fullmatch(r"step_(\d+)\.safetensors", p.name), p) for p in self.directory.iterdir())
        return sorted(((int(match[1]), path) for match, path in named if match), reverse=True)

    def _set_aside(self, path: Path, sound_step: int) -> str:
        aside = path.with_name(f"{path.name}.damaged")
        replace(path, aside)
        return f"checkpoint {path.name} is damaged (kept as {aside.name}): going on from step {sound_step}"


def _named_leaves(tree: PyTree) -> list[tuple[str, Any]]:
    return [(jax.tree_util.keystr(path), leaf) for path, leaf in jax.tree_util.tree_leaves_with_path(tree)]


def _is_key(leaf: Any) -> bool:
    return hasattr(leaf, "dtype") and jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key)


def _describe(leaf: Any) -> str:
    """Dtype and shape, for example ``float32[2, 3]`` or ``key<fry>[]``."""
    array = leaf if hasattr(leaf, "dtype") else np.asarray(leaf)
    return f"{array.dtype}{list(array.shape)}"


def _describe_single(leaf: Any) -> str:
    """What JAX would have made of a leaf without ``jax_enable_x64``."""
    double = jax.config.jax_enable_x64  # pyright: ignore[reportAttributeAccessIssue]
    if not double or isinstance(leaf, np.ndarray | np.generic) or _is_key(leaf):
        return _describe(leaf)
    with jax.enable_x64(False):
        dtype = jax.dtypes.canonicalize_dtype(getattr(leaf, "dtype", np.asarray(leaf).dtype))
    return f"{dtype}{list(np.shape(leaf))}"


def _of_kind(value: Any, like: Any) -> Any:
    """An array as the kind of thing that ``like`` is."""
    if _is_key(value):
        return value
    if isinstance(like, bool | int | float) and not isinstance(like, np.generic):
        return value.item()
    if isinstance(like, np.ndarray | np.generic):
        return value.copy() if isinstance(like, np.ndarray) else value[()]
    return jnp.array(value)


def _foreign(path: str | Path, why: str) -> UserError:
    return UserError(
        f"{path} is a foreign checkpoint: {why}; use the config it was written with, or move it away"
    )
