"""Contexts in files: our own, which check themselves, and ``.npz`` files of transitions that others made.

An ``.npz`` holds arrays of N steps, one episode after the other, under these names or those of D4RL:

    observations                    [N, d]
    actions                         int [N] or [N, 1], or float [N] or [N, a]
    rewards                         [N]
    next_observations               [N, d], before any reset
    terminations, or terminals      [N]
    truncations, or timeouts        [N]; may be missing

``next_observations`` may be missing if ``observations`` holds one row more per episode, its last observation, as the
episodes of Minari do: [N + number of episodes, d]. Then every episode but the last has to end in a termination or
truncation. To write such a file from a Minari dataset, concatenate each of its arrays over the episodes.
"""

import zipfile
import zlib
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from synthenv.core.errors import UserError
from synthenv.core.files import disk_error
from synthenv.core.sealed_file import read_sealed, write_sealed
from synthenv.core.types import Transition
from synthenv.envs.action_units import ActionUnits
from synthenv.worldmodel.context import logged_numbers, logged_rows
from synthenv.worldmodel.context.context import Context, as_host, at_rows, check_context
from synthenv.worldmodel.context.logged_actions import actions_of

_FORMAT = "synthenv context 1"
_DESCRIBED = ("num_actions", "action_bound", "task", "strategy", "real_steps")
_SPELLINGS = {
    "observations": ("observations",),
    "actions": ("actions",),
    "rewards": ("rewards",),
    "next_observations": ("next_observations",),
    "terminations": ("terminations", "terminals", "terminated"),
    "truncations": ("truncations", "timeouts", "truncated"),
}
_OPTIONAL = ("next_observations", "truncations")


def save_context(path: str | Path, context: Context) -> None:
    """Write a context, atomically and with its checksum.

    Raises:
        UserError: the disk is full or the place cannot be written.
    """
    arrays: dict[str, Any] = {**context.transitions._asdict(), "first_obs": context.first_obs}
    described = {name: getattr(context, name) for name in _DESCRIBED}
    if context.units is not None:
        described["units"] = context.units
    write_sealed(path, arrays, {"format": _FORMAT, "context": described})


def load_context(path: str | Path) -> Context:
    """Read what ``save_context`` wrote.

    Raises:
        UserError: the file is missing, damaged or something else.
    """
    arrays, fields = read_sealed(Path(path))
    if fields.get("format") != _FORMAT:
        raise UserError(
            f"{path} is no context: pass a file that save_context wrote, or an .npz of transitions"
        )
    loaded: dict[str, Any] = {name: value.copy() for name, value in arrays.items()}
    first_obs = loaded.pop("first_obs")
    described = dict(fields["context"])
    if units := described.pop("units", None):
        described["units"] = ActionUnits(**units | {end: tuple(units[end]) for end in ("low", "high")})
    return check_context(Context(Transition(**loaded), first_obs, **described))


def read_npz(
    path: str | Path,
    num_actions: int | None = None,
    action_bound: float | None = None,
    obs_size: int | None = None,
    units: ActionUnits | None = None,
) -> Context:
    """Read transitions that others made; see the head of this file for the arrays.

    Rows that are no steps are left out (``logged_rows``). Numbers that look like something else are read as that, or
    the user is told (``logged_actions``, ``logged_numbers``); the context's ``notices`` say which. First observations
    are those that the file's episodes begin with: the first row, any row that follows a termination or truncation, and,
    if the file does not say where time limits ended episodes, any row that is not where the step before it led.

    Args:
        path: the ``.npz`` file.
        num_actions: number of discrete actions, counted from 0; None takes those from the smallest to the largest one
            in the file.
        action_bound: bound of continuous actions; None takes what lies between the smallest and the largest number of
            each dimension in the file.
        obs_size: length that observations are to have; None takes any.
        units: the actions that the task takes and the file has to hold; given in place of a number or a bound.

    Raises:
        UserError: the file is missing, damaged or no ``.npz``, lacks an array, or ``check_context`` objects.
    """
    path = Path(path)
    arrays, tells_time_limits = _read_arrays(path)
    terminated, truncated = (_flags(path, arrays, name) for name in ("terminations", "truncations"))
    obs, next_obs = _before_and_after(path, arrays, terminated | truncated)
    if obs_size is not None and obs.ndim == 2 and obs.shape[1] != obs_size:
        raise UserError(
            f"{path} has {obs.shape[1]} numbers an observation and the task {obs_size}: name the task that it is of, or"
            " take another file"
        )
    action, units, told = actions_of(path, arrays["actions"], num_actions, action_bound, units)
    reward = arrays["rewards"].reshape(-1)
    rows: Any = (obs, action, reward, next_obs, terminated, truncated)
    written = Transition(*rows)
    context = Context(
        transitions=as_host(written, is_discrete=units.is_discrete),
        first_obs=np.asarray(obs, np.float32),
        num_actions=units.num_actions,
        action_bound=units.bound,
        task=path.name,
        strategy="file",
        real_steps=len(reward),
        units=units,
        notices=tuple(told),
    )
    check_context(context)  # before anything relies on its shapes
    return check_context(_steps_of(context, written, tells_time_limits))


def _steps_of(context: Context, written: Transition, tells_time_limits: bool) -> Context:
    """Return a context of the steps among the rows of a file, in the order in which they were taken, with notices.

    Args:
        context: all rows.
        written: the same in the precision of the file.
        tells_time_limits: whether the file has an array for them.
    """
    name, num_actions = context.task, context.num_actions
    found = logged_rows.sort_out(name, written, num_actions, tells_time_limits)
    written = at_rows(written, found.rows)
    written, told = logged_numbers.without_time_limits(name, written, found.cuts)
    transitions = as_host(written, is_discrete=num_actions is not None)
    return replace(
        context,
        transitions=transitions,
        first_obs=transitions.obs[found.begins],
        notices=(
            *context.notices,
            *found.notices,
            *told,
            *logged_numbers.doubts(name, written, num_actions),
        ),
    )


def _read_arrays(path: Path) -> tuple[dict[str, np.ndarray], bool]:
    """Return the arrays, which all hold numbers, by our names, and whether one of them tells of truncations.

    Other arrays that the file may hold are not read.
    """
    arrays = {}
    try:
        with np.load(path, allow_pickle=False) as file:
            for name, spellings in _SPELLINGS.items():
                found = [spelling for spelling in spellings if spelling in file.files]
                if found:
                    arrays[name] = _numbers(path, file, found[0])
                elif name not in _OPTIONAL:
                    has, remedy = ", ".join(file.files) or "nothing", "add it"
                    if name == "terminations" and {"done", "dones"} & set(file.files):
                        remedy = (
                            "dones do not tell ends from time limits, so write both, as 'truncations' too"
                        )
                    raise UserError(
                        f"{path} has no array {' or '.join(map(repr, spellings))} (it has {has}): {remedy}"
                    )
    except FileNotFoundError:
        raise UserError(f"{path} does not exist: check the path") from None
    except OSError as error:
        raise disk_error(error, path) from error
    except (ValueError, AttributeError, TypeError, EOFError, zipfile.BadZipFile, zlib.error) as error:
        raise UserError(
            f"{path} is no .npz of plain arrays: write it with numpy.savez, without objects"
        ) from error
    tells_time_limits = "truncations" in arrays
    arrays = {"truncations": np.zeros(arrays["terminations"].shape, bool)} | arrays
    sizes = {name: array.shape[0] if array.ndim else 0 for name, array in arrays.items()}
    steps = {size for name, size in sizes.items() if "observations" not in name}
    if len(steps) != 1 or 0 in sizes.values():
        told = ", ".join(f"{name} {size}" for name, size in sizes.items())
        raise UserError(
            f"the arrays in {path} are empty or differ in length ({told}): give all one row per step"
        )
    for name in ("observations", "next_observations"):
        shape = list(arrays[name].shape) if name in arrays else []
        if len(shape) == 2 and shape[0] < max(steps) <= shape[1]:
            raise UserError(
                f"{name} in {path} have the shape {shape} for {max(steps)} steps: transpose them, one row per step"
            )
    return arrays, tells_time_limits


def _numbers(path: Path, file: Any, name: str) -> np.ndarray:
    """Read one array of an open ``.npz`` and check that it holds real numbers."""
    try:
        array = np.asarray(file[name])
    except ValueError as error:
        if "Object arrays" not in str(error):
            raise
        raise UserError(
            f"{name} in {path} are Python objects: concatenate episodes to one array of numbers, one row per step"
        ) from error
    if array.dtype.kind not in "biuf":
        raise UserError(f"{name} in {path} are of type {array.dtype}: write them as real numbers")
    return array


def _flags(path: Path, arrays: dict[str, np.ndarray], name: str) -> np.ndarray:
    """Return which steps end an episode, bool [N]."""
    flags = arrays[name]
    if flags.ndim > 1 and flags.shape[1:] != (1,):
        raise UserError(f"{name} in {path} have the shape {list(flags.shape)}: make it [rows]")
    if not np.isin(flags, (0, 1)).all():
        raise UserError(f"{name} in {path} are not all 0 or 1: write False and True")
    return flags.reshape(-1).astype(bool)


def _before_and_after(
    path: Path, arrays: dict[str, np.ndarray], ended: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Return the observations before and after every step, [N, d] each, from either of the two layouts."""
    obs, num_steps = arrays["observations"], len(ended)
    if "next_observations" in arrays:
        return obs, arrays["next_observations"]
    # The episode of each step: how many have ended before it.
    episode = np.concatenate([[0], np.cumsum(ended)[:-1]]).astype(int)
    num_episodes = episode[-1] + 1
    if len(obs) != num_steps + num_episodes:
        raise UserError(
            f"{path} has no next_observations, and {len(obs)} observations for {num_steps} steps in {num_episodes}"
            " episodes: add next_observations, or the last observation of every episode"
        )
    # Every earlier episode has one more observation than steps.
    before = np.arange(num_steps) + episode
    return obs[before], obs[before + 1]
