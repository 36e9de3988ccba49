"""Hyperparameters as columns of numbers: how configurations of any search space become rows of an array.

Every hyperparameter is a :class:`Column`. In the stored values a number lies in [0, 1] (linear, logarithmic, or by its
place among a few levels), a choice is its index, and an inactive or unknown hyperparameter is NaN. :func:`features`
spreads choices over one-hot columns for models that want numbers only.

Axis letters here: N configurations, H hyperparameters, F features.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Literal, NamedTuple

import numpy as np

from synthenv.core.errors import UserError

MOST_LEVELS = 16  # a number with as few different values is taken for a list of levels
_LOG_RATIO = (
    100.0  # of the largest to the smallest value, from which on a positive number is taken for logarithmic
)


class Column(NamedTuple):
    """One hyperparameter.

    Attributes:
        name: its name.
        kind: a "number" between bounds, one of a few ordered "levels", or a "choice" without order.
        lower: least value of a number.
        upper: greatest value of a number.
        is_log: whether a number counts by its logarithm.
        values: the levels in their order, or the choices.
    """

    name: str
    kind: Literal["number", "levels", "choice"]
    lower: float = 0.0
    upper: float = 1.0
    is_log: bool = False
    values: tuple[Any, ...] = ()

    @property
    def width(self) -> int:
        """How many features it becomes: one and a mark of absence for a number, one for each choice."""
        return len(self.values) if self.kind == "choice" else 2

    def stored(self, value: Any) -> float:
        """The number that stands for a value; NaN for None, which is an inactive or unknown one.

        Raises:
            UserError: the value is none of the column's, or no number.
        """
        if _is_missing(value) and not (self.kind != "number" and value in self.values):
            return math.nan
        if self.kind == "number":
            return self._scaled(value)
        if (place := _place(self.values, value)) is None:
            known = ", ".join(map(str, self.values))
            raise UserError(f"{self.name} has no value {value!r}: it takes {known}")
        return float(place) if self.kind == "choice" else place / max(len(self.values) - 1, 1)

    def original(self, stored: float) -> Any:
        """The value that a stored number stands for; None for NaN."""
        if math.isnan(stored):
            return None
        if self.kind == "number":
            low, high = (math.log(b) if self.is_log else b for b in (self.lower, self.upper))
            value = low + stored * (high - low)
            return math.exp(value) if self.is_log else value
        return self.values[round(stored if self.kind == "choice" else stored * (len(self.values) - 1))]

    def _scaled(self, value: Any) -> float:
        try:
            number = float(value)
        except (TypeError, ValueError):
            raise UserError(f"{self.name} is a number, not {value!r}") from None
        if not math.isfinite(number):
            raise UserError(
                f"{self.name} cannot be {value!r}: pass a finite number, or None if it is inactive"
            )
        low, high = self.lower, self.upper
        if self.is_log:
            if number <= 0:
                raise UserError(
                    f"{self.name} counts by its logarithm and cannot be {value!r}: pass a positive one"
                )
            number, low, high = math.log(number), math.log(low), math.log(high)
        return (number - low) / (high - low) if high > low else 0.5


def _is_missing(value: Any) -> bool:
    return value is None or value == "" or (isinstance(value, float) and math.isnan(value))


def _place(values: Sequence[Any], value: Any) -> int | None:
    """Where a value stands in a list; numbers are equal to their texts, as csv files have them."""
    for place, known in enumerate(values):
        if known == value and isinstance(known, bool) == isinstance(value, bool):
            return place
    said = str(value)
    return next((place for place, known in enumerate(values) if str(known) == said), None)


def columns_of(configs: Iterable[Mapping[str, Any]]) -> tuple[Column, ...]:
    """Tell the columns of configurations for which no space was written down.

    Numbers with at most 16 different values are levels; other numbers are logarithmic if all are positive and the
    greatest is 100 times the least; everything else is a choice. A hyperparameter with one value only says nothing and
    is left out.

    Raises:
        UserError: a value is a list or an object.
    """
    seen: dict[str, dict[Any, None]] = {}
    for config in configs:
        for name, value in config.items():
            try:
                seen.setdefault(name, {})[value] = None
            except TypeError:
                raise UserError(f"{name} cannot be {value!r}: write a number, a truth or a text") from None
    columns = []
    for name, values in seen.items():
        distinct = [value for value in values if not _is_missing(value)]
        if len(distinct) > 1:
            columns.append(_column_of(name, distinct))
    return tuple(columns)


def _column_of(name: str, distinct: list[Any]) -> Column:
    try:
        numbers = sorted({float(value) for value in distinct if not isinstance(value, bool)})
    except (TypeError, ValueError):
        numbers = []
    if not numbers or any(isinstance(value, bool) for value in distinct):
        return Column(name, "choice", values=tuple(sorted(distinct, key=str)))
    if len(numbers) <= MOST_LEVELS:
        return Column(name, "levels", values=tuple(numbers))
    low, high = numbers[0], numbers[-1]
    return Column(name, "number", low, high, is_log=low > 0 and high / low >= _LOG_RATIO)


def stored(columns: Sequence[Column], configs: Sequence[Mapping[str, Any]]) -> np.ndarray:
    """Configurations as rows. float32 [N, H]

    Raises:
        UserError: a value is none of its column's; the message has the configuration's number and the name.
    """
    rows = np.full((len(configs), len(columns)), np.nan, np.float32)
    for h, column in enumerate(columns):
        known: dict[tuple[type, Any], float] = {}  # a table repeats its values
        for i, config in enumerate(configs):
            value = config.get(column.name)
            if (type(value), value) not in known:
                try:
                    known[type(value), value] = column.stored(value)
                except UserError as error:
                    raise UserError(f"configuration {i}: {error}") from None
            rows[i, h] = known[type(value), value]
    return rows


def original(columns: Sequence[Column], row: np.ndarray) -> dict[str, Any]:
    """The configuration that a row [H] stands for, without its inactive hyperparameters."""
    values = {column.name: column.original(float(x)) for column, x in zip(columns, row, strict=True)}
    return {name: value for name, value in values.items() if value is not None}


def features(columns: Sequence[Column], rows: np.ndarray) -> np.ndarray:
    """Rows [N, H] as numbers without NaN. float32 [N, F]

    A choice becomes one column for each of its values, all 0 where it is inactive; a number becomes itself (0 where it
    is inactive) and a column that says whether it is there. Columns that are the same for all rows stay: which ones
    these are would depend on the table.
    """
    parts = []
    for column, values in zip(columns, rows.T, strict=True):
        if column.kind == "choice":
            parts.append((values[:, None] == np.arange(len(column.values))[None]).astype(np.float32))
        else:
            there = ~np.isnan(values)
            parts.append(np.stack([np.where(there, values, 0.0), there], axis=1).astype(np.float32))
    return np.concatenate(parts, axis=1) if parts else np.zeros((len(rows), 0), np.float32)
