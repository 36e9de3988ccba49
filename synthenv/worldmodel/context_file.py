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
from synthenv.worldmodel.context import Context, as_host, check_context

_FORMAT = "synthenv context 1"
_DESCRIBED = ("num_actions", "action_bound", "task", "strategy", "real_steps")
_SPELLINGS = {
    "observations": ("observations",),
    "actions": ("actions",),
    "rewards": ("rewards",),
    "next_observations": ("next_observations",),
    "terminations": ("terminations", "terminals"),
    "truncations": ("truncations", "timeouts"),
}
_OPTIONAL = ("next_observations", "truncations")


def save_context(path: str | Path, context: Context) -> None:
    """Write a context, atomically and with its checksum.

    Raises:
        UserError: the disk is full or the place cannot be written.
    """
    arrays: dict[str, Any] = {**context.transitions._asdict(), "first_obs": context.first_obs}
    described = {name: getattr(context, name) for name in _DESCRIBED}
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
    return check_context(Context(Transition(**loaded), first_obs, **fields["context"]))


def read_npz(
    path: str | Path,
    num_actions: int | None = None,
    action_bound: float | None = None,
    obs_size: int | None = None,
) -> Context:
    """Read transitions that others made; see the head of this file for the arrays.

    The first observations are those that the file's episodes begin with: the first row, any that follows a termination
    or truncation, and any that is not where the step before it led.

    Args:
        num_actions: number of discrete actions; None takes the largest action plus one.
        action_bound: bound of continuous actions; None takes the largest absolute value in the file.
        obs_size: length that observations are to have; None takes any.

    Raises:
        UserError: the file is missing, damaged or no ``.npz``, lacks an array, or ``check_context`` objects.
    """
    path = Path(path)
    arrays = _read_arrays(path)
    terminated, truncated = (_flags(path, arrays, name) for name in ("terminations", "truncations"))
    obs, next_obs = _before_and_after(path, arrays, terminated | truncated)
    if obs_size is not None and obs.ndim == 2 and obs.shape[1] != obs_size:
        raise UserError(
            f"{path} has {obs.shape[1]} numbers an observation and the task {obs_size}: name the task that it is of, or"
            " take another file"
        )
    action, num_actions, action_bound = _actions(path, arrays["actions"], num_actions, action_bound)
    reward = arrays["rewards"].reshape(-1)
    rows: Any = (obs, action, reward, next_obs, terminated, truncated)
    transitions: Any = as_host(Transition(*rows), is_discrete=num_actions is not None)
    context = Context(
        transitions=transitions,
        first_obs=transitions.obs,
        num_actions=num_actions,
        action_bound=action_bound,
        task=path.name,
        strategy="file",
        real_steps=len(reward),
    )
    check_context(context)  # before anything relies on its shapes
    return replace(context, first_obs=transitions.obs[_begins(transitions)])


def _read_arrays(path: Path) -> dict[str, np.ndarray]:
    """The arrays by our spelling, numbers all of them; no truncation if the file has none of that name."""
    try:
        with np.load(path, allow_pickle=False) as file:
            stored = {name: np.asarray(file[name]) for name in file.files}
    except FileNotFoundError:
        raise UserError(f"{path} does not exist: check the path") from None
    except OSError as error:
        raise disk_error(error, path) from error
    except (ValueError, AttributeError, TypeError, EOFError, zipfile.BadZipFile, zlib.error) as error:
        raise UserError(
            f"{path} is no .npz of plain arrays: write it with numpy.savez, without objects"
        ) from error
    arrays = {}
    for name, spellings in _SPELLINGS.items():
        found = [spelling for spelling in spellings if spelling in stored]
        if found:
            arrays[name] = stored[found[0]]
        elif name not in _OPTIONAL:
            has = ", ".join(stored) or "nothing"
            raise UserError(f"{path} has no array {' or '.join(map(repr, spellings))} (it has {has}): add it")
        if found and arrays[name].dtype.kind not in "biuf":
            raise UserError(
                f"{found[0]} in {path} are of type {arrays[name].dtype}: write them as real numbers"
            )
    arrays = {"truncations": np.zeros(arrays["terminations"].shape, bool)} | arrays
    sizes = {name: array.shape[0] if array.ndim else 0 for name, array in arrays.items()}
    steps = {size for name, size in sizes.items() if "observations" not in name}
    if len(steps) != 1 or 0 in sizes.values():
        told = ", ".join(f"{name} {size}" for name, size in sizes.items())
        raise UserError(
            f"the arrays in {path} are empty or differ in length ({told}): give all one row per step"
        )
    return arrays


def _flags(path: Path, arrays: dict[str, np.ndarray], name: str) -> np.ndarray:
    """Which steps end an episode, bool [N]."""
    flags = arrays[name]
    if flags.ndim > 1 and flags.shape[1:] != (1,):
        raise UserError(f"{name} in {path} have the shape {list(flags.shape)}: make it [rows]")
    if not np.isin(flags, (0, 1)).all():
        raise UserError(f"{name} in {path} are not all 0 or 1: write False and True")
    return flags.reshape(-1).astype(bool)


def _before_and_after(
    path: Path, arrays: dict[str, np.ndarray], ended: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Observations before and after every step, [N, d] each, from either of the two layouts."""
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


def _actions(
    path: Path, action: np.ndarray, num_actions: int | None, action_bound: float | None
) -> tuple[np.ndarray, int | None, float | None]:
    """Actions as a context has them, and their number or bound."""
    if num_actions is not None and action_bound is not None:
        raise UserError(f"actions in {path} cannot have both a number and a bound: give one of the two")
    is_discrete = np.issubdtype(action.dtype, np.integer) or action.dtype == bool
    if is_discrete and action_bound is None:
        if action.ndim > 1 and action.shape[1:] != (1,):
            raise UserError(
                f"actions in {path} are integers of the shape {list(action.shape)}: make it [rows]"
            )
        action = action.reshape(-1)
        low, largest = int(action.min(initial=0)), int(action.max(initial=0))
        if low < 0 or largest >= max(len(action), num_actions or 0):
            raise UserError(
                f"{path} has actions from {low} to {largest} in {len(action)} rows: number them from 0 on, or write"
                " them as floats if they are amounts"
            )
        return action, num_actions or largest + 1, None
    if num_actions is not None:
        raise UserError(
            f"actions in {path} are no integers, and the task has {num_actions} discrete ones: write them as integers,"
            " or name the task that they are of"
        )
    action = action[:, None] if action.ndim == 1 else action
    # NaN and infinities are left for check_context to tell of.
    bound = float(np.nan_to_num(np.abs(action), posinf=0.0).max(initial=0.0))
    return action, None, action_bound or bound


def _begins(steps: Transition) -> np.ndarray:
    """Which rows begin an episode, bool [N]."""
    continued = np.isclose(steps.obs[1:], steps.next_obs[:-1], rtol=1e-5, atol=1e-6).all(axis=1)
    return np.concatenate([[True], steps.terminated[:-1] | steps.truncated[:-1] | ~continued])
