"""Selectors by name, and what they have learnt from past runs, in a file of its own.

A file holds the arrays of any pytree of named tuples of this package, and the tuples' names: nothing in it is run when
it is read.
"""

import importlib
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from synthenv.core.errors import UserError
from synthenv.core.sealed_file import read_sealed, write_sealed
from synthenv.selection.readers.registry import read_meta_dataset
from synthenv.selection.search.methods import METHODS, SearchMethod
from synthenv.selection.tables.columns import Column
from synthenv.selection.tables.meta_dataset import MetaDataset

_OURS = "synthenv."
_FORMAT = "synthenv fitted selector 1"


class Fitted(NamedTuple):
    """A selector that is ready to search.

    Attributes:
        name: of its ``SearchMethod``.
        params: of its policy; None if it learns nothing.
        columns: hyperparameters of the past runs; none if it learns nothing.
        meta_names: names of their meta-features. [K]
        score_range: the least and the greatest score of the past runs, None if it learns nothing.
        num_steps: of the past runs, 0 if it learns nothing.
    """

    name: str
    params: Any = None
    columns: tuple[Column, ...] = ()
    meta_names: tuple[str, ...] = ()
    score_range: tuple[float, float] | None = None
    num_steps: int = 0

    @property
    def method(self) -> SearchMethod:
        """How it searches."""
        return METHODS.find(self.name)


def fit(name: str, meta: MetaDataset, seed: int) -> Fitted:
    """Let a selector learn from past runs.

    Raises:
        UserError: there is no selector of this name, or it learns nothing.
    """
    method = METHODS.find(name)
    if method.fit is None:
        raise UserError(f"{name} learns nothing from past runs: drop data, or pass another selector")
    params = method.fit(jax.random.key(seed), meta)
    return Fitted(name, params, meta.columns, meta.meta_names, meta.score_range, meta.num_steps)


def ready(
    name: str,
    data: str | Path | None,
    seed: int,
    check: Callable[[tuple[Column, ...]], Any] = lambda columns: None,
) -> Fitted:
    """A selector by name.

    Args:
        name: one of ``METHODS``.
        data: a directory of past runs, or a file that ``save`` has written; needed by those that learn.
        seed: of what it learns.
        check: told the hyperparameters of past runs before anything is learnt, which may take minutes.

    Raises:
        UserError: the name is unknown, it needs past runs and has none or the other way round, or a file is damaged.
    """
    method = METHODS.find(name)
    if method.sees_truth:
        raise UserError(f"{name} is a bound that only simulations know: pass another selector")
    if method.fit is None:
        if data is not None:
            raise UserError(f"{name} learns nothing from past runs: drop data, or pass another selector")
        return Fitted(name)
    if data is None:
        raise UserError(f"{name} learns from past runs: pass their directory, or a fitted file, as data")
    if not Path(data).is_file() or Path(data).suffix != ".safetensors":
        meta = read_meta_dataset(data)
        check(meta.columns)
        return fit(name, meta, seed)
    fitted = load(Path(data))
    if fitted.name != name:
        raise UserError(f"{data} is of the selector {fitted.name}, not {name}: pass that one")
    return fitted


def save(fitted: Fitted, path: Path) -> None:
    """Write a fitted selector; equal ones make equal files.

    Raises:
        UserError: the disk is full or the place cannot be written.
    """
    arrays: dict[str, np.ndarray] = {}
    head = fitted._replace(params=None)._asdict() | {"columns": [list(column) for column in fitted.columns]}
    described = _described(fitted.params, arrays)
    write_sealed(path, arrays, {"format": _FORMAT, "head": head, "params": described})


def load(path: Path) -> Fitted:
    """Read what ``save`` wrote, arrays to the bit.

    Raises:
        UserError: the file is missing, damaged, or something else.
    """
    arrays, fields = read_sealed(path)
    if fields.get("format") != _FORMAT:
        raise UserError(f"{path} holds no fitted selector: pass a directory of past runs instead")
    head = fields["head"]
    columns = tuple(Column(*[*values[:-1], tuple(values[-1])]) for values in head.pop("columns"))
    score_range = head["score_range"] and tuple(head["score_range"])
    params = _built(fields["params"], arrays)
    return Fitted(
        **head
        | {"params": params, "columns": columns, "score_range": score_range}
        | {"meta_names": tuple(head["meta_names"])}
    )


def _described(tree: Any, arrays: dict[str, np.ndarray]) -> Any:
    """A tree as JSON, its arrays put aside under the numbers that stand for them."""
    if isinstance(tree, tuple):
        items = [_described(item, arrays) for item in tree]
        kind = type(tree)
        if not hasattr(tree, "_fields"):
            return {"tuple": items}
        if not kind.__module__.startswith(_OURS):
            raise TypeError(f"{kind} is no named tuple of this package")
        return {"of": f"{kind.__module__}:{kind.__name__}", "tuple": items}
    if tree is None or isinstance(tree, bool | int | float | str):
        return {"value": tree}
    name = str(len(arrays))
    arrays[name] = np.asarray(tree)
    return {"array": name}


def _built(described: Any, arrays: dict[str, np.ndarray]) -> Any:
    if "array" in described:
        return jnp.asarray(arrays[described["array"]])
    if "value" in described:
        return described["value"]
    items = [_built(item, arrays) for item in described["tuple"]]
    if "of" not in described:
        return tuple(items)
    module, _, name = described["of"].partition(":")
    if not module.startswith(_OURS):
        raise UserError(
            f"a fitted selector holds a {name} of {module}, which is none of ours: write it again"
        )
    return getattr(importlib.import_module(module), name)(*items)
