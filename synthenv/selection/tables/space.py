"""A search space of ConfigSpace as columns: conditions, logarithms, ordered levels and choices.

ConfigSpace is an extra (``synthenv[select]``) and its objects are only touched here. A whole number with up to 16
values becomes levels, a constant no column. Stored values are float32, so that a number comes back to seven digits.
"""

import copy
import dataclasses
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from synthenv.core.errors import UserError
from synthenv.selection.tables import columns as columns_
from synthenv.selection.tables.columns import MOST_LEVELS, Column
from synthenv.selection.tables.text_files import read_text


@dataclasses.dataclass(frozen=True)
class SearchSpace:
    """What can be chosen.

    Attributes:
        source: the ``ConfigurationSpace``.
        columns: its hyperparameters. [H]
    """

    source: Any
    columns: tuple[Column, ...]

    def sample(self, num_configs: int, seed: int) -> list[dict[str, Any]]:
        """Draw configurations; conditions and forbidden combinations are respected."""
        source = copy.deepcopy(self.source)
        source.seed(seed)
        drawn = source.sample_configuration(num_configs)
        return [_plain(config) for config in (drawn if isinstance(drawn, list) else [drawn])]

    def encode(self, configs: Sequence[Mapping[str, Any]]) -> np.ndarray:
        """Configurations as rows, NaN where a hyperparameter is inactive. float32 [N, H]

        Constants may be left out.

        Raises:
            UserError: a configuration is none of the space's; the message has its number and what is wrong.
        """
        return columns_.stored(self.columns, [self._checked(config, i) for i, config in enumerate(configs)])

    def decode(self, row: np.ndarray) -> dict[str, Any]:
        """The configuration that a row [H] stands for, with constants, without inactive hyperparameters.

        Raises:
            UserError: the row stands for none of the space's.
        """
        values = columns_.original(self.columns, row)
        for name, value in values.items():
            hyperparameter = self.source[name]
            if isinstance(low := getattr(hyperparameter, "lower", None), int):
                values[name] = round(float(value))
            elif low is not None:
                values[name] = min(max(float(value), low), hyperparameter.upper)
        return self._checked(values, 0)

    def _checked(self, config: Mapping[str, Any], place: int) -> dict[str, Any]:
        from ConfigSpace import Configuration

        values = {
            **_constants(self.source),
            **{name: value for name, value in config.items() if value is not None},
        }
        try:
            return _plain(Configuration(self.source, values=values))
        except ValueError as error:
            said = "; ".join(line.strip() for line in str(error).splitlines())
            raise UserError(f"configuration {place} does not lie in the search space: {said}") from None


def search_space(source: Any) -> SearchSpace:
    """The columns of a ``ConfigurationSpace``.

    Raises:
        UserError: ConfigSpace is not installed, ``source`` is none of its spaces, or a hyperparameter has no bounds.
    """
    ConfigurationSpace = _library().ConfigurationSpace
    if not isinstance(source, ConfigurationSpace):
        raise UserError(f"a search space is a ConfigSpace.ConfigurationSpace, not a {type(source).__name__}")
    found = (_column(source[name]) for name in source)
    return SearchSpace(source, tuple(column for column in found if column is not None))


def read_space(path: str | Path) -> SearchSpace:
    """Read a space that ConfigSpace has written as JSON.

    Raises:
        UserError: the file cannot be read or is no such space.
    """
    path, library = Path(path), _library()
    read_text(path)  # for the errors that name what is wrong with a file
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of every hyperparameter in a file of an older version
            source = library.ConfigurationSpace.from_json(path)
    except Exception as error:  # the decoder raises whatever its dictionaries raise
        line = f"{type(error).__name__}: {error}".splitlines()[0]
        raise UserError(
            f"{path} is no space that ConfigSpace has written ({line}): write it with to_json"
        ) from None
    return search_space(source)


def _library() -> Any:
    try:
        import ConfigSpace
    except ImportError:
        raise UserError("search spaces need ConfigSpace: pip install 'synthenv[select]'") from None
    return ConfigSpace


def _constants(source: Any) -> dict[str, Any]:
    """Constants that are active in every configuration."""
    always = set(source.unconditional_hyperparameters)
    return {name: source[name].value for name in always if hasattr(source[name], "value")}


def _column(hyperparameter: Any) -> Column | None:
    name = str(hyperparameter.name)
    if hasattr(hyperparameter, "choices"):
        return Column(name, "choice", values=tuple(map(_scalar, hyperparameter.choices)))
    if hasattr(hyperparameter, "sequence"):
        return Column(name, "levels", values=tuple(map(_scalar, hyperparameter.sequence)))
    if hasattr(hyperparameter, "value"):
        return None
    low, high = hyperparameter.lower, hyperparameter.upper
    if low is None or high is None:
        raise UserError(f"{name} has no bounds: give it a lower and an upper one")
    if isinstance(low, int) and high - low < MOST_LEVELS:
        return Column(name, "levels", values=tuple(range(low, high + 1)))
    return Column(name, "number", float(low), float(high), is_log=bool(hyperparameter.log))


def _plain(config: Any) -> dict[str, Any]:
    return {name: _scalar(value) for name, value in dict(config).items()}


def _scalar(value: Any) -> Any:
    """A value without NumPy's types around it."""
    return value.item() if isinstance(value, np.generic) else value
