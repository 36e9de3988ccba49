"""The candidates of a search: configurations that are drawn from a space once, before anything is tried.

A space is one of
    a ``ConfigSpace.ConfigurationSpace``, with its conditions and forbidden combinations,
    a list of configurations, which are the candidates themselves,
    a mapping of names to what each may be: a list of values, a pair ``(low, high)`` or ``(low, high, "log")``, or the
        same as ``{"low": 1e-5, "high": 0.1, "log": true}`` in a file.

Axis letters here: N candidates, F features.
"""

import itertools
import json
import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from synthenv.core.errors import UserError
from synthenv.selection.tables import columns as columns_
from synthenv.selection.tables.columns import Column
from synthenv.selection.tables.space import SearchSpace, read_space, search_space
from synthenv.selection.tables.text_files import read_json

SIZE = 256  # candidates that are drawn from a space, unless it has fewer
_TRIES = 20  # times as many draws as candidates, before a space counts as exhausted


class Range(NamedTuple):
    """Numbers from ``low`` to ``high``; whole ones if both ends are."""

    low: float
    high: float
    log: bool = False

    def draw(self, generator: np.random.Generator) -> float:
        """One of them, at random."""
        is_whole = isinstance(self.low, int) and isinstance(self.high, int)
        low, high = self.low, self.high + is_whole * (1 - 1e-9)
        ends = (math.log(low), math.log(high)) if self.log else (low, high)
        value = float(generator.uniform(*ends))
        value = math.exp(value) if self.log else value
        return math.floor(value) if is_whole else min(max(value, low), high)


class Pool(NamedTuple):
    """Candidates.

    Attributes:
        configs: their hyperparameters. [N]
        columns: of the hyperparameters that surrogates see.
        features: what surrogates see. float32 [N, F]
    """

    configs: tuple[dict[str, Any], ...]
    columns: tuple[Column, ...]
    features: np.ndarray


def make_pool(space: Any, size: int = SIZE, seed: int = 0, columns: Sequence[Column] | None = None) -> Pool:
    """Draw the candidates of a search.

    Args:
        space: see above.
        size: how many to draw; a list is taken whole, and so is a space of lists with no more combinations.
        seed: of the draws.
        columns: of the past runs that a surrogate has learnt from; a hyperparameter that they do not have is not shown
            to it. Found out from the candidates unless they are passed.

    Raises:
        UserError: the space is none, or has a value that the columns do not have; the message names it.
    """
    if size < 1:
        raise UserError(f"a pool of {size} candidates is empty: pass 1 or more")
    configs = tuple(_configs(space, size, seed))
    if columns is None:
        columns = columns_.columns_of(configs)
    else:
        _check_known(configs, columns)
    rows = columns_.stored(columns, configs)
    return Pool(configs, tuple(columns), columns_.features(columns, rows))


def read_any_space(path: Path) -> Any:
    """A space in a file of JSON: as ConfigSpace writes it, a list, or a mapping.

    Raises:
        UserError: the file cannot be read.
    """
    found = read_json(path)
    if isinstance(found, dict) and "hyperparameters" in found and "conditions" in found:
        return read_space(path).source
    return found


def _configs(space: Any, size: int, seed: int) -> list[dict[str, Any]]:
    if isinstance(space, SearchSpace):
        space = space.source
    if isinstance(space, Mapping) and not hasattr(space, "sample_configuration"):
        return _of_mapping(space, size, seed)
    if isinstance(space, list | tuple):
        return _of_list(space)
    if not hasattr(space, "sample_configuration"):
        raise UserError(
            f"a {type(space).__name__} is no search space: pass a ConfigurationSpace, a list of configurations, or a"
            " mapping of names to lists and ranges"
        )
    return _different(_draws(search_space(space), size, seed), size)


def _draws(space: SearchSpace, size: int, seed: int) -> Iterator[dict[str, Any]]:
    for i in range(_TRIES):
        yield from space.sample(size, seed + i * 1_000_003)


def _different(drawn: Iterator[dict[str, Any]], size: int) -> list[dict[str, Any]]:
    """The first few that differ."""
    found: dict[str, dict[str, Any]] = {}
    for config in drawn:
        found.setdefault(_text(config), config)
        if len(found) == size:
            break
    return list(found.values())


def _text(config: Mapping[str, Any]) -> str:
    return json.dumps(config, sort_keys=True, default=str)


def _of_list(space: Sequence[Any]) -> list[dict[str, Any]]:
    if not space:
        raise UserError("the list of configurations is empty: there is nothing to choose from")
    seen: dict[str, int] = {}
    for i, config in enumerate(space):
        if not isinstance(config, Mapping) or not all(isinstance(name, str) for name in config):
            raise UserError(f"configuration {i} is {config!r}: write a mapping of names to values")
        _check_values(f"configuration {i}", config)
        first = seen.setdefault(_text(config), i)
        if first != i:
            raise UserError(f"configurations {first} and {i} are the same: leave one of them out")
    return [dict(config) for config in space]


def _check_values(where: str, config: Mapping[str, Any]) -> None:
    """See that a configuration can be written down and read again."""
    for name, value in config.items():
        is_number = isinstance(value, int | float)
        if not (is_number and math.isfinite(value)) and not isinstance(value, str | None):
            raise UserError(
                f"{where} has {name} = {value!r}: a hyperparameter is a finite number, a text, a truth or None"
            )


def _of_mapping(space: Mapping[str, Any], size: int, seed: int) -> list[dict[str, Any]]:
    if not space:
        raise UserError(
            "the search space is empty: name a hyperparameter, such as {'lr': (1e-4, 0.1, 'log')}"
        )
    axes = {name: _axis(str(name), values) for name, values in space.items()}
    lists = {name: values for name, values in axes.items() if isinstance(values, list)}
    if len(lists) == len(axes) and math.prod(map(len, lists.values())) <= size:
        return [dict(zip(lists, values, strict=True)) for values in itertools.product(*lists.values())]
    generator = np.random.default_rng(seed)

    def draw() -> dict[str, Any]:
        return {
            name: axis.draw(generator) if isinstance(axis, Range) else axis[generator.integers(len(axis))]
            for name, axis in axes.items()
        }

    return _different((draw() for _ in range(_TRIES * size)), size)


def _axis(name: str, values: Any) -> Range | list[Any]:
    """What one hyperparameter may be."""
    if isinstance(values, tuple) and not isinstance(values, Range):
        is_log = len(values) == 3 and values[2] == "log"
        if len(values) != 2 and not is_log:
            raise UserError(f"{name} is {values!r}: a range is (low, high) or (low, high, 'log')")
        values = Range(values[0], values[1], is_log)
    if isinstance(values, Mapping):
        if not {"low", "high"} <= set(values) <= {"low", "high", "log"}:
            raise UserError(
                f"{name} has {', '.join(map(str, values))}: a range has low and high, and may have log"
            )
        values = Range(values["low"], values["high"], bool(values.get("log", False)))
    if isinstance(values, Range):
        _check_range(name, values)
        return values
    if not isinstance(values, list) or not values:
        raise UserError(f"{name} is {values!r}: pass a list of values, or a range (low, high)")
    for i, value in enumerate(values):
        _check_values("the search space", {name: value})
        if any(value == other and type(value) is type(other) for other in values[:i]):
            raise UserError(f"{name} has the value {value!r} twice: name each once")
    return values


def _check_range(name: str, values: Range) -> None:
    for end in values[:2]:
        if isinstance(end, bool) or not isinstance(end, int | float) or not math.isfinite(end):
            raise UserError(f"{name} ranges to {end!r}: the ends of a range are finite numbers")
    if values.low >= values.high:
        raise UserError(
            f"{name} ranges from {values.low} to {values.high}: the first has to be the smaller one"
        )
    if values.log and values.low <= 0:
        raise UserError(f"{name} is logarithmic and begins at {values.low}: begin above 0, or drop log")


def _check_known(configs: Sequence[Mapping[str, Any]], columns: Sequence[Column]) -> None:
    names = {name for config in configs for name in config}
    if not names & {column.name for column in columns}:
        raise UserError(
            f"the past runs know none of {', '.join(sorted(names))}, but {', '.join(c.name for c in columns)}: name"
            " the hyperparameters as they do"
        )
