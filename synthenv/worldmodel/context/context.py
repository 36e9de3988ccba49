"""A context: the few transitions of a real task from which a world model is to guess all others.

It lives on the host, in NumPy. ``collect`` (environments of ours), ``collect_gymnasium`` and ``file`` make contexts;
``check_context`` says what has to hold of every one of them.
"""

import hashlib
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from synthenv.core.errors import UserError
from synthenv.core.types import Transition
from synthenv.envs.action_units import Actions, ActionUnits

MIN_ROWS = 20


@dataclass(frozen=True)
class Context:
    """Transitions of one task, in the order in which they were taken, and where its episodes begin.

    Attributes:
        transitions: obs and next_obs float32 [C, d], action int32 [C] or float32 [C, a], reward float32 [C], terminated
            and truncated bool [C]; NumPy. ``next_obs`` is the observation before any reset. ``terminated`` is true in
            every row whose ``next_obs`` is a failed or finished state: in several rows if steps follow a failure.
        first_obs: observations that episodes began with, float32 [R, d]; a world model resets to them.
        num_actions: number of discrete actions, or None if they are continuous.
        action_bound: largest absolute value of continuous actions, or None if they are discrete. Actions are ours, see
            ``envs.action_units``.
        task: the task's id, or the name of a file.
        strategy: how the actions were chosen.
        real_steps: steps taken in the real task to get this, dropped rows included.
        units: the actions that the task itself takes; None where they were not recorded.
        notices: sentences that whoever uses it should read; files of contexts do not keep them.
    """

    transitions: Transition
    first_obs: np.ndarray
    num_actions: int | None
    action_bound: float | None
    task: str
    strategy: str
    real_steps: int
    units: ActionUnits | None = None
    notices: tuple[str, ...] = ()

    @property
    def num_rows(self) -> int:
        """Return the number of transitions, C."""
        return len(self.transitions.reward)

    @property
    def obs_size(self) -> int:
        """Return the length of an observation, d."""
        return self.transitions.obs.shape[1]

    @property
    def action_size(self) -> int:
        """Return the length of an action, a; it is 1 if there is a finite number of actions."""
        return 1 if self.num_actions is not None else self.transitions.action.shape[1]

    @property
    def actions(self) -> Actions:
        """Return the actions of the task in our units."""
        if self.num_actions is not None:
            return Actions(self.num_actions, 1.0, True)
        return Actions(self.action_size, float(self.action_bound or 0.0), False)


def as_host(transitions: Transition, is_discrete: bool) -> Transition:
    """Bring the leaves to NumPy and to the dtypes of a context."""
    dtypes: dict[str, Any] = dict.fromkeys(Transition._fields, np.float32)
    dtypes |= {"terminated": bool, "truncated": bool, "action": np.int32 if is_discrete else np.float32}
    # A float64 beyond the range of float32 becomes an infinity, which check_context tells of.
    with np.errstate(over="ignore"):
        arrays: dict[str, Any] = {
            name: np.asarray(getattr(transitions, name)).astype(dtype) for name, dtype in dtypes.items()
        }
    return Transition(**arrays)


def digest(context: Context) -> str:
    """Name the transitions and first observations, to the bit, by 16 letters."""
    arrays = (*context.transitions, context.first_obs)
    return hashlib.sha256(b"".join(np.ascontiguousarray(array).tobytes() for array in arrays)).hexdigest()[
        :16
    ]


def spread(rows: np.ndarray, num_rows: int) -> np.ndarray:
    """Pick ``num_rows`` of these indices, spread evenly from the first to the last; all if there are no more."""
    if len(rows) <= num_rows:
        return rows
    # Evenly spaced real numbers at least 1 apart, hence distinct when rounded down.
    return rows[np.arange(num_rows) * (len(rows) - 1) // max(1, num_rows - 1)]


def at_rows(transitions: Transition, rows: np.ndarray) -> Transition:
    """Pick transitions by indices or by a mask [C], in NumPy."""
    leaves: Any = (np.asarray(leaf)[rows] for leaf in transitions)
    return Transition(*leaves)


def thinned(context: Context, num_rows: int) -> Context:
    """Drop all but ``num_rows`` rows; if there are no more, drop none.

    Rows that ended an episode are few, and no other row tells what they do. So all of them stay as long as they are no
    more than half of what is kept, or no more than their share if more than half of all rows ended. The others are
    spread evenly.
    """
    if context.num_rows <= num_rows:
        return context
    ended = np.asarray(context.transitions.terminated)
    most = max(num_rows // 2, -(-num_rows * int(ended.sum()) // len(ended)))
    ends = spread(np.flatnonzero(ended), most)
    rows = np.sort(np.concatenate([ends, spread(np.flatnonzero(~ended), num_rows - len(ends))]))
    return replace(context, transitions=at_rows(context.transitions, rows))


def check_context(context: Context) -> Context:
    """Return the context if a world model can learn from it.

    Raises:
        UserError: its arrays do not fit each other, hold NaN, infinities or impossible actions, are too few, or nothing
            ever changes in them.
    """
    who = f"the context of {context.task}"
    _check_shapes(who, context)
    _check_numbers(who, context)
    if context.num_rows < MIN_ROWS:
        raise UserError(f"{who} has {context.num_rows} rows: collect at least {MIN_ROWS}, better 1000")
    steps = context.transitions
    if np.array_equal(steps.obs, steps.next_obs) and not np.all(steps.terminated):  # else it is a bandit
        raise UserError(
            f"no state ever changes in {who}: check that next observations are those after the step, and the actions"
        )
    return context


def _check_shapes(who: str, context: Context) -> None:
    steps, first = context.transitions, context.first_obs
    lengths = {name: np.shape(value)[:1] for name, value in steps._asdict().items()}
    if len(set(lengths.values())) != 1:
        told = ", ".join(f"{name} {length[0] if length else 'none'}" for name, length in lengths.items())
        raise UserError(f"the arrays of {who} differ in length ({told}): give all one row per step")
    discrete = context.num_actions is not None
    if discrete == (context.action_bound is not None):
        raise UserError(f"{who} needs either a number of actions or a bound of them: give one of the two")
    dims = {
        "obs": 2,
        "action": 1 if discrete else 2,
        "reward": 1,
        "next_obs": 2,
        "terminated": 1,
        "truncated": 1,
    }
    for name, num_dims in dims.items():
        shape = np.shape(getattr(steps, name))
        if len(shape) != num_dims or 0 in shape[1:]:
            expected = "[rows]" if num_dims == 1 else "[rows, size]"
            raise UserError(f"{name} of {who} has the shape {list(shape)}: make it {expected}")
    if steps.obs.shape != steps.next_obs.shape:
        shapes = f"{list(steps.obs.shape)} and {list(steps.next_obs.shape)}"
        raise UserError(
            f"observations before and after a step differ in shape in {who} ({shapes}): make them equal"
        )
    if first.ndim != 2 or not len(first) or first.shape[1] != context.obs_size:
        raise UserError(
            f"first observations of {who} have the shape {list(first.shape)}: make it"
            f" [at least 1, {context.obs_size}]"
        )


def _check_numbers(who: str, context: Context) -> None:
    steps = context.transitions
    for name, value in (*steps._asdict().items(), ("first_obs", context.first_obs)):
        if not np.isfinite(value).all():
            row = int(np.argwhere(~np.isfinite(value))[0][0])
            raise UserError(
                f"{name} of {who} is not finite in row {row}: drop such rows, or mend what made them"
            )
    if not len(steps.action):
        return
    if context.num_actions is not None:
        low, high, allowed = steps.action.min(), steps.action.max(), f"0 to {context.num_actions - 1}"
        fits = low >= 0 and high < context.num_actions
    else:
        low, high, bound = steps.action.min(), steps.action.max(), float(context.action_bound or 0)
        if bound <= 0:
            raise UserError(f"the actions of {who} are all 0: give their bound, or take others")
        allowed = f"{-bound:g} to {bound:g}"
        fits = max(-low, high) <= bound * (1 + 1e-5)
    if not fits:
        raise UserError(
            f"{who} has actions from {low} to {high}, not {allowed}: correct the actions or their limit"
        )
