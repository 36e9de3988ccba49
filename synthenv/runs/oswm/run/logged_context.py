"""Logged transitions of a file as the context of a dream, in the units of their task if one is named."""

from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import numpy as np

from synthenv.core.errors import UserError
from synthenv.runs.oswm.run.real_tasks import RealTask
from synthenv.worldmodel.context.context import Context, check_context, thinned
from synthenv.worldmodel.context.file import load_context, read_npz
from synthenv.worldmodel.context.logged_order import continues

_LONG = 1000  # most steps of dreamt episodes if the log does not say how long its own are
_UNKNOWN = 200  # steps of dreamt episodes if the rows of a log are in no order


class Logged(NamedTuple):
    """Transitions of a file.

    Attributes:
        context: the transitions that are shown.
        longest_episode: steps of the longest episode, after which dreamt ones are cut if no task says when.
        num_rows: number of transitions in the file.
        log: all transitions of the file, which tell where episodes end and begin and which observations there may be.
        notices: sentences that the user should read.
    """

    context: Context
    longest_episode: int
    num_rows: int
    log: Context
    notices: list[str]


def context_of_file(
    path: Path, num_rows: int, task: RealTask | None, episode_steps: int | None = None
) -> Logged:
    """Read logged transitions, of which at most ``num_rows`` are shown; ``thinned`` says which ones.

    Nothing real is stepped for them, so their ``real_steps`` are 0.

    Args:
        path: an ``.npz`` of transitions, or what ``save_context`` wrote.
        num_rows: C.
        task: the task of the transitions, if that is known.
        episode_steps: after how many steps dreamt episodes are to be cut; None leaves it to the log.

    Raises:
        UserError: the file is none of these, or its transitions do not fit that task.
    """
    if path.suffix == ".npz":
        context = read_npz(path, obs_size=task.obs_size, units=task.units) if task else read_npz(path)
    elif path.suffix == ".safetensors":
        context = in_units_of(task, load_context(path), path) if task else load_context(path)
    else:
        raise UserError(
            f"{path} is neither an .npz nor a run's context (.safetensors): write it with numpy.savez"
        )
    if task is not None:
        has = (context.obs_size, context.action_size, context.num_actions)
        needs = (task.obs_size, task.actions.width, task.actions.num_actions)
        if has != needs:
            raise UserError(
                f"{path} has {has[0]} numbers an observation and {_told(*has[1:])}, {task.name} has {needs[0]} and"
                f" {_told(*needs[1:])}: pass the --task that it is of, or another file"
            )
    shown = replace(check_context(thinned(context, num_rows)), real_steps=0)
    longest, told = longest_episode(context), []
    if task is None and episode_steps is None and not context.transitions.truncated.any():
        longest, told = _cut(path.name, longest)
    notices = [*context.notices, *told, *_thinning(context, shown)]
    return Logged(shown, episode_steps or longest, context.num_rows, context, notices)


def _cut(name: str, longest: int) -> tuple[int, list[str]]:
    """Return after how many steps to cut dreamt episodes where the log tells of no time limit, and notices.

    Args:
        name: name of the file.
        longest: its longest episode, in steps.
    """
    if longest == 1:
        return 1, []  # a bandit
    if longest > _LONG:
        cause, longest = f"episodes of {name} go on for {longest:,} steps with no time limit told", _LONG
    else:
        cause = f"{name} tells of no time limit, and its longest episode has {longest:,} steps"
    told = f"{cause}: dreamt ones are cut after {longest:,}; --episode-steps sets another length"
    return longest, [told]


def _thinning(log: Context, shown: Context) -> list[str]:
    """Return notices of the rows of a log that are left out, if any are."""
    if shown.num_rows == log.num_rows:
        return []
    ended, kept = (int(context.transitions.terminated.sum()) for context in (log, shown))
    about = ", spread evenly"
    if ended:
        all_of = f"all {ended:,}" if kept == ended else f"{kept:,} of {ended:,}"
        about = f", {all_of} that ended an episode and others, spread evenly; where episodes end is found in all rows"
    return [
        f"{shown.num_rows:,} of {log.num_rows:,} logged transitions are shown{about}: --context shows more"
    ]


def in_units_of(task: RealTask, context: Context, path: Path) -> Context:
    """Bring the actions of a stored context to the task's units: the same bounds, counted from the same number.

    Contexts of logs are in units of the log where no task was named.

    Raises:
        UserError: there are actions that the task does not take.
    """
    units, wanted, steps = context.units, task.units, context.transitions
    if units is None and context.strategy == "file":
        # Older contexts have no units on record; actions of logs were taken as they are then.
        units = context.actions.units
    if units is None or units == wanted:
        return context
    if units.is_discrete != wanted.is_discrete or len(units.low) != len(wanted.low):
        return context  # it belongs to another task, which is noticed where sizes are compared
    own = units.to_task(steps.action)
    if wrong := wanted.beyond(own):
        raise UserError(f"{path} has actions {wrong}: pass the --task that it is of, or another file")
    action = wanted.from_task(own).astype(steps.action.dtype)
    return replace(
        context,
        transitions=steps._replace(action=action),
        num_actions=wanted.num_actions,
        action_bound=wanted.bound,
        units=wanted,
    )


def _told(size: int, num_actions: int | None) -> str:
    return f"actions of {size} numbers" if num_actions is None else f"{num_actions} actions"


def longest_episode(context: Context) -> int:
    """Return the longest episode in steps, or a guess if hardly any row begins where the one before led."""
    steps = context.transitions
    ended = steps.terminated | steps.truncated
    goes_on = continues(steps)[1:]
    if not ended[:-1].all() and goes_on[~ended[:-1]].mean() < 0.5:
        return _UNKNOWN
    ends = np.flatnonzero(np.concatenate([[True], ~goes_on | ended[:-1], [True]]))
    return int(np.diff(ends).max())
