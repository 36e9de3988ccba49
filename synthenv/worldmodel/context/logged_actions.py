"""The actions of a log: choices or amounts in any of several formats, brought to the units of a task.

Axis letters here: N rows.
"""

from pathlib import Path

import numpy as np

from synthenv.core.errors import UserError
from synthenv.envs import action_units
from synthenv.envs.action_units import ActionUnits

_NEARLY_SYMMETRIC = 0.5  # least share of the largest action that both ends of every dimension have to reach


def actions_of(
    path: Path,
    action: np.ndarray,
    num_actions: int | None,
    action_bound: float | None,
    units: ActionUnits | None,
) -> tuple[np.ndarray, ActionUnits, list[str]]:
    """Return the actions as a context holds them, the actions that the task takes, and notices.

    What is not given is read off the file.

    Args:
        path: of the log.
        action: as they were written, [N] or [N, a].
        num_actions: the task's number of discrete actions, if known.
        action_bound: the task's bound of continuous actions, if known.
        units: the actions that the task takes; given in place of a number or a bound.

    Raises:
        UserError: they are not actions of that task, or can be read in several ways.
    """
    if num_actions is not None and action_bound is not None:
        raise UserError(f"actions in {path} cannot have both a number and a bound: give one of the two")
    known = (num_actions, action_bound) if units is None else (units.num_actions, units.bound)
    takes_whole = units is not None and np.issubdtype(units.dtype, np.integer)
    action, told = read_as(path.name, action, *known, takes_whole)
    are_integers = np.issubdtype(action.dtype, np.integer) or action.dtype == bool
    if num_actions is not None:
        units = action_units.discrete(num_actions)
    is_discrete = are_integers and action_bound is None if units is None else units.is_discrete
    are_whole = are_integers or (np.isfinite(action).all() and np.array_equal(action, np.round(action)))
    if is_discrete and not are_whole:
        raise UserError(
            f"actions in {path} are no integers, and the task has {units and units.num_actions} discrete ones: write"
            " them as integers, or name the task that they are of"
        )
    if is_discrete and action.ndim > 1 and action.shape[1:] != (1,):
        raise UserError(f"actions in {path} are integers of the shape {list(action.shape)}: make it [rows]")
    action = action.reshape(-1).astype(np.int64) if is_discrete else action
    action = action[:, None] if action.ndim == 1 and not is_discrete else action
    if units is None:
        units = _seen_numbers(path, action) if is_discrete else _seen_box(path, action, action_bound)
    if not is_discrete and action.shape[1:] != (len(units.low),):
        raise UserError(
            f"actions in {path} have the shape {list(action.shape)}, and the task takes {len(units.low)} numbers:"
            f" make it [rows, {len(units.low)}], or name the task that they are of"
        )
    if wrong := units.beyond(action):
        raise UserError(f"{path} has actions {wrong}: log those that env.step took, or name their task")
    return units.from_task(action), units, told


def read_as(
    name: str,
    action: np.ndarray,
    num_actions: int | None,
    action_bound: float | None,
    are_whole: bool = False,
) -> tuple[np.ndarray, list[str]]:
    """Return actions [N] or [N, a], one-hot columns turned into integers [N], and notices.

    Args:
        name: of the log, for messages.
        action: as they were written.
        num_actions: the task's number of discrete actions; None if they are continuous or no task is known.
        action_bound: the task's bound; None if actions are discrete or no task is known.
        are_whole: whether the task takes only whole numbers within that bound.
    """
    if action_bound is not None:
        if are_whole or action.dtype.kind == "f":
            return action, []
        return action, [
            f"actions in {name} are written as whole numbers, and the task takes others too: if they were rounded,"
            " write those that env.step took"
        ]
    if action.ndim == 2 and action.shape[1] > 1 and num_actions in (None, action.shape[1]):
        numbers = np.argmax(action, axis=1)
        is_one_hot = np.isin(action, (0, 1)).all() and (action.sum(axis=1) == 1).all()
        if is_one_hot and len(np.unique(numbers)) > 1:
            told = f"each row of actions in {name} has a single 1: they are read as the number of its column (one-hot)"
            return numbers, [told]
    values = np.unique(action)
    if num_actions is not None or action.dtype.kind != "f" or action.size != len(action) or len(values) > 20:
        return action, []
    if len(values) < 2 or values[0] < 0 or not np.array_equal(values, np.round(values)):
        return action, []
    some = ", ".join(f"{value:g}" for value in values[:3]) + (", ..." if len(values) > 3 else "")
    return action, [
        f"actions in {name} are {some}, written as floats, and read as amounts: write integers if they number actions"
    ]


def _seen_numbers(path: Path, action: np.ndarray) -> ActionUnits:
    """Return discrete actions that go from the first to the last one in the file."""
    low, largest = int(action.min(initial=0)), int(action.max(initial=0))
    if low < 0 or largest >= len(action):
        raise UserError(
            f"{path} has actions from {low} to {largest} in {len(action)} rows: number them from 0 on, or write"
            " them as floats if they are amounts"
        )
    first = int(action.min())
    return action_units.discrete(largest - first + 1, first)


def _seen_box(path: Path, action: np.ndarray, bound: float | None) -> ActionUnits:
    """Return continuous actions within a bound, or within the least and the greatest number of each dimension."""
    # NaN and infinities are left for check_context to tell of.
    finite = np.nan_to_num(action.astype(np.float64), nan=0.0, posinf=0.0, neginf=0.0)
    low, high = finite.min(axis=0), finite.max(axis=0)
    if not finite.any() and np.isfinite(action).all():
        raise UserError(f"the actions of {path} are all 0: give their bound, or take others")
    is_one_hot = finite.shape[1] > 1 and np.isin(finite, (0, 1)).all() and (finite.sum(axis=1) == 1).all()
    if is_one_hot and bound is None:
        raise UserError(
            f"actions in {path} look like discrete ones, a column each: write their numbers, as numpy.argmax gives them"
            " over axis 1, or name the task that they are of"
        )
    if bound is not None or (low == high).all():
        high = np.full(len(low), bound or np.abs(finite).max(initial=0.0))
        low = -high
    dtype = action.dtype if action.dtype.kind == "f" else np.dtype(np.float32)
    return action_units.box(low.tolist(), high.tolist(), str(dtype), _NEARLY_SYMMETRIC)
