"""A task's own actions and ours: those that it takes in ``step``, and those that agents and world models deal in.

Ours are numbers from 0 on, or vectors within one symmetric bound. A task may count from elsewhere, bound every
dimension in its own way, or take whole numbers only.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from gymnax.environments import spaces

from synthenv.core.errors import UserError

_ROOM = 1e-5  # by which a logged action may lie beyond a bound, as a share of the bound or of what lies between both


class Actions(NamedTuple):
    """Ours: ``size`` numbers, each in [-bound, bound], or one of ``size`` choices if ``discrete``."""

    size: int
    bound: float
    discrete: bool

    @property
    def num_actions(self) -> int | None:
        """How many there are, or None if they are continuous."""
        return self.size if self.discrete else None

    @property
    def width(self) -> int:
        """Length of an action; 1 if there is a finite number of them."""
        return 1 if self.discrete else self.size

    @property
    def units(self) -> "ActionUnits":
        """Of a task that takes ours as they are."""
        if self.discrete:
            return discrete(self.size)
        return box([-self.bound] * self.size, [self.bound] * self.size)

    @property
    def space(self) -> Any:
        """For gymnax."""
        if self.discrete:
            return spaces.Discrete(self.size)
        return spaces.Box(-self.bound, self.bound, (self.size,), dtype=jnp.float32)

    def from_uniform(self, draws: jax.Array) -> jax.Array:
        """Turn draws from [0, 1), float32 [width], into a uniform action, int32 [] or float32 [size]."""
        if self.discrete:
            return (draws[0] * self.size).astype(jnp.int32)
        return (2 * draws - 1) * self.bound

    def fit(self, action: Any) -> jax.Array:
        """Bring an action of anybody's to the dtype, shape and bounds of ours."""
        if self.discrete:
            return jnp.asarray(action, jnp.int32).reshape(())
        return jnp.clip(jnp.asarray(action, jnp.float32).reshape(self.size), -self.bound, self.bound)

    def zero(self) -> jax.Array:
        """Always 0, which is the first action where there is a finite number of them."""
        return self.fit(0) if self.discrete else jnp.zeros(self.size, jnp.float32)


def actions_of(space: Any, name: str = "the environment") -> Actions:
    """Read a gymnax space.

    Raises:
        UserError: continuous actions are no vector within one symmetric bound.
    """
    if hasattr(space, "n"):
        return Actions(int(space.n), 1.0, True)
    low, high = (np.broadcast_to(np.asarray(end), space.shape).ravel() for end in (space.low, space.high))
    is_symmetric = (high == high[0]).all() and (low == -high[0]).all() and 0 < high[0] < np.inf
    if not is_symmetric or len(space.shape) > 1:
        raise UserError(
            f"actions of {name} go from {space.low} to {space.high}: wrap it such that they are a vector within one"
            " symmetric bound"
        )
    return Actions(int(high.size), float(high[0]), False)


@dataclass(frozen=True)
class ActionUnits:
    """The actions that a task takes, and the way from ours to them and back.

    Attributes:
        is_discrete: whether there is a finite number of them.
        low: smallest number of each dimension [a], or the first discrete action alone.
        high: largest number of each [a], or the last discrete action alone.
        dtype: NumPy's name of the type that the task takes.
        is_stretched: whether ours go from -1 to 1 where the task's go from ``low`` to ``high``; else they are the same.
    """

    is_discrete: bool
    low: tuple[float, ...]
    high: tuple[float, ...]
    dtype: str
    is_stretched: bool = False

    @property
    def num_actions(self) -> int | None:
        """How many there are, or None if they are continuous."""
        return self.actions.num_actions

    @property
    def bound(self) -> float | None:
        """The largest absolute value of ours, or None if they are discrete."""
        if self.is_discrete:
            return None
        return 1.0 if self.is_stretched else max(map(abs, (*self.low, *self.high)))

    @property
    def actions(self) -> Actions:
        """Ours that stand for these."""
        if self.is_discrete:
            return Actions(int(self.high[0]) - int(self.low[0]) + 1, 1.0, True)
        return Actions(len(self.low), self.bound or 0.0, False)

    def to_task(self, action: Any) -> Any:
        """What the task takes for actions of ours: clipped to its bounds, and rounded if it takes whole numbers.

        Args:
            action: int [...] or float [..., a]. NumPy's come back as NumPy's, JAX's as JAX's, whose types have 32 bits
                unless it was told otherwise.
        """
        xp: Any = jnp if isinstance(action, jax.Array) else np
        dtype: Any = jax.dtypes.canonicalize_dtype(self.dtype) if xp is jnp else np.dtype(self.dtype)
        if self.is_discrete:
            return (action + int(self.low[0])).astype(dtype)
        low, high = (_inwards(self.low, 1), _inwards(self.high, -1)) if xp is jnp else self._bounds
        low, high = (xp.broadcast_to(bounds, xp.shape(action)) for bounds in (low, high))
        own = low + (action + 1) / 2 * (high - low) if self.is_stretched else action
        own = xp.round(own) if np.issubdtype(dtype, np.integer) else own
        return xp.clip(own, low, high).astype(dtype)

    def from_task(self, action: np.ndarray) -> np.ndarray:
        """Ours for actions of the task, int [...] or float [..., a]; the way back of ``to_task``."""
        if self.is_discrete:
            return action - int(self.low[0])
        if not self.is_stretched:
            return action
        low, high = self._bounds
        width = np.where(high > low, high - low, np.inf)
        ours = np.where(high > low, np.clip(2 * (action - low) / width - 1, -1.0, 1.0), 0.0)
        return np.where(np.isfinite(action), ours, np.nan)

    def taken(self, action: np.ndarray) -> np.ndarray:
        """What the task really does when it is asked for actions of ours, as ours: it may round or fix some of them."""
        is_rounded = not self.is_discrete and np.issubdtype(self.dtype, np.integer)
        is_fixed = not self.is_discrete and any(
            low == high for low, high in zip(self.low, self.high, strict=True)
        )
        return self.from_task(self.to_task(action)) if is_rounded or is_fixed else action

    def beyond(self, action: np.ndarray) -> str:
        """What is wrong with the bounds of the task's actions, int [N] or float [N, a]; empty if nothing is.

        Numbers that are not finite are left for others to tell of.
        """
        columns = np.asarray(action, np.float64).reshape(len(action), -1)
        for i, (column, low, high) in enumerate(zip(columns.T, self.low, self.high, strict=True)):
            seen = column[np.isfinite(column)]
            room = 0.0 if self.is_discrete else _ROOM * max(high - low, abs(low), abs(high))
            if len(seen) and (seen.min() < low - room or seen.max() > high + room):
                which = f" in dimension {i}" if len(self.low) > 1 else ""
                return f"from {seen.min():g} to {seen.max():g}{which}, not {low:g} to {high:g}"
        return ""

    @property
    def _bounds(self) -> tuple[np.ndarray, np.ndarray]:
        return np.array(self.low, np.float64), np.array(self.high, np.float64)


def discrete(num_actions: int, first: int = 0, dtype: str = "int64") -> ActionUnits:
    """Of a task with so many actions, numbered from ``first`` on."""
    return ActionUnits(True, (first,), (first + num_actions - 1,), dtype)


def box(
    low: Sequence[float], high: Sequence[float], dtype: str = "float32", symmetric_from: float = 1.0
) -> ActionUnits:
    """Of a task whose actions are vectors between two others.

    Args:
        low: [a]
        high: [a]
        dtype: of the task's actions.
        symmetric_from: bounds are taken for symmetric, and ours for the task's, if all come to this share of the
            largest of them. Those that were merely seen are seldom exact.
    """
    lows, highs = tuple(map(float, low)), tuple(map(float, high))
    ends = [*highs, *(-end for end in lows)]
    is_symmetric = max(ends) > 0 and min(ends) >= symmetric_from * max(ends)
    return ActionUnits(False, lows, highs, dtype, is_stretched=not is_symmetric)


def _inwards(bounds: Sequence[float], direction: int) -> np.ndarray:
    """Bounds in single precision, rounded such that they lie within those of double precision. float32 [a]"""
    exact = np.array(bounds, np.float64)
    single = exact.astype(np.float32)
    over = (single - exact) * direction < 0
    return np.where(over, np.nextafter(single, np.float32(direction * np.inf)), single)
