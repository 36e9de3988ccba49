"""Which numbers a field of a config may hold, declared with the field, and the check that reads it there.

    std: Positive = 0.05

Imports nothing heavy, as the configs themselves.
"""

import math
import struct
from collections.abc import Iterator
from typing import Annotated, Any, Literal, NamedTuple, get_args, get_origin, get_type_hints

_MOST = 2**31 - 1


class Bounds(NamedTuple):
    """Finite numbers from ``least`` to ``most``; with ``above`` the lower end is excluded.

    Whatever the ends, a number has to fit into 32 bits: programs compute in these.
    """

    least: float = -math.inf
    most: float = math.inf
    above: bool = False

    def hold(self, number: float) -> bool:
        """Whether ``number`` is one of these."""
        number = _in_32_bits(number)
        inside = self.least < number if self.above else self.least <= number
        return math.isfinite(number) and inside and number <= self.most

    def remedy(self, number: float) -> str:
        """What to pass instead of ``number``, which is none of these."""
        if isinstance(number, int) and number > _MOST:
            return f"at most {_MOST}"
        if self.least == self.most:
            return f"{self.least:g}"
        if math.isfinite(self.most):
            ends = f"above {self.least:g}, at most" if self.above else f"from {self.least:g} to"
            return f"a number {ends} {self.most:g}"
        if math.isinf(self.least):
            return "a finite number"
        if self.above:
            return f"a finite number above {self.least:g}"
        return f"{'' if isinstance(number, int) else 'a finite number, '}{self.least:g} or more"


Finite = Annotated[float, Bounds()]
Positive = Annotated[float, Bounds(0, above=True)]
NotNegative = Annotated[float, Bounds(0)]
Share = Annotated[float, Bounds(0, 1)]
Rate = Annotated[float, Bounds(0, 1, above=True)]
Count = Annotated[int, Bounds(1)]
CountOrZero = Annotated[int, Bounds(0)]


class Misfit(NamedTuple):
    """What makes no sense: its dotted path in the config, the number, pair of ends or name, and what to pass."""

    path: str
    value: Any
    remedy: str


def misfits(config: Any, path: str = "") -> Iterator[Misfit]:
    """The numbers and names of a config, and of the configs in it, that their fields do not allow.

    The command line knows which names there are, but what another version has stored may hold others.

    Args:
        config: a dataclass or named tuple.
        path: its own dotted path.
    """
    for name, hint in get_type_hints(type(config), include_extras=True).items():
        value, at = getattr(config, name), f"{path}.{name}".lstrip(".")
        bounds, names = bounds_of(hint), _names_of(hint)
        if names and value not in names:
            yield Misfit(at, value, f"one of {', '.join(names)}")
        elif bounds is None:
            if hasattr(type(value), "__annotations__"):
                yield from misfits(value, at)
        elif isinstance(value, tuple):
            wrong = [bounds.remedy(end) for end in value if not bounds.hold(end)]
            if wrong or value[0] > value[1]:
                yield Misfit(
                    at, " ".join(map(str, value)), ", each ".join(["the lower end first", *wrong[:1]])
                )
        elif value is not None and not bounds.hold(value):
            yield Misfit(at, value, bounds.remedy(value))


def bounds_of(hint: Any) -> Bounds | None:
    """Those that a field's type declares, for itself or for the ends of a range; None where it declares none."""
    own = [mark for mark in getattr(hint, "__metadata__", ()) if isinstance(mark, Bounds)]
    inner = [bounds_of(part) for part in get_args(hint)]
    return next((bounds for bounds in own + inner if bounds is not None), None)


def _names_of(hint: Any) -> tuple[str, ...]:
    """Those that a field's type declares; none where it declares no choice of names."""
    hint = get_args(hint)[0] if hasattr(hint, "__metadata__") else hint
    return get_args(hint) if get_origin(hint) is Literal else ()


def _in_32_bits(number: float) -> float:
    """An integer as it is, or infinity; a float rounded, which may make infinity or 0 of it."""
    if isinstance(number, int):
        return number if abs(number) <= _MOST else math.inf
    try:
        return struct.unpack("f", struct.pack("f", number))[0]
    except OverflowError:
        return math.inf
