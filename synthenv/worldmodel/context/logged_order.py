"""In which order the rows of a log were written: where one begins where the one before led.

Axis letters here: N rows.
"""

import numpy as np

from synthenv.core.types import Transition
from synthenv.worldmodel.context.context import spread

_SAME = 1e-5  # of a column's spread: what a logger's rounding may do to a number that it writes twice
_MOST_TURNS = 1024  # environments by turns
_NUM_ASKED = 200  # rows that are searched for


def continues(steps: Transition, lag: int = 1) -> np.ndarray:
    """Whether each row begins where the one ``lag`` rows before it led; the first rows do not. bool [N]"""
    obs, next_obs = np.asarray(steps.obs), np.asarray(steps.next_obs)
    same = np.zeros(len(obs), bool)
    away = np.abs(obs[lag:] - next_obs[:-lag])
    same[lag:] = (away <= _tolerance(obs, next_obs)).all(axis=1)
    return same


def _tolerance(obs: np.ndarray, next_obs: np.ndarray) -> np.ndarray:
    """How far two numbers of a column may be apart that are meant to be one. [d]"""
    low, high = np.percentile(np.asarray(obs, np.float64), (5, 95), axis=0)
    narrow = max(np.finfo(array.dtype).eps if array.dtype.kind == "f" else 0.0 for array in (obs, next_obs))
    rounding = 0.0 if obs.dtype == next_obs.dtype else narrow * np.abs(obs).max(axis=0)
    return _SAME * (high - low) + rounding


def ended_rows(steps: Transition) -> np.ndarray:
    """Which rows ended an episode, by their flags. bool [N]"""
    return np.asarray(steps.terminated) | np.asarray(steps.truncated)


def repeats(steps: Transition) -> np.ndarray:
    """Which rows are those before them once more, and not because nothing has moved. bool [N]"""
    return _as_before(steps) & ~continues(steps)


def fillers(steps: Transition) -> np.ndarray:
    """Which rows stand between an end and the next beginning, all alike, as if nothing moved or paid. bool [N]"""
    ended, goes_on = ended_rows(steps), continues(steps)
    alike = _as_before(steps)
    first = np.flatnonzero(~alike)
    last = np.append(first[1:], len(ended)) - 1
    still = (np.asarray(steps.obs) == np.asarray(steps.next_obs)).all(axis=1) & ~ended
    found = still[first] & np.append(False, ended[:-1])[first] & ~np.append(goes_on, False)[last + 1]
    return np.repeat(found, last - first + 1)


def _as_before(steps: Transition) -> np.ndarray:
    """Which rows equal the one before in everything. bool [N]"""
    same = np.ones(len(steps.reward) - 1, bool)
    for leaf in steps:
        values = np.asarray(leaf).reshape(len(same) + 1, -1)
        same &= (values[1:] == values[:-1]).all(axis=1)
    return np.append(False, same)


def share_in_order(steps: Transition) -> float:
    """Of the rows after one that ended no episode, the share that begin where it led; 1 if there are none."""
    goes_on = ~ended_rows(steps)[:-1]
    return float(continues(steps)[1:][goes_on].mean()) if goes_on.any() else 1.0


def num_turns(steps: Transition) -> int:
    """After how many rows most rows go on; 1 if after no number of them."""
    obs, next_obs = np.asarray(steps.obs), np.asarray(steps.next_obs)
    tolerance, best = _tolerance(obs, next_obs), (0.5, 1)
    asked = spread(np.flatnonzero(~ended_rows(steps)), _NUM_ASKED)
    for lag in range(2, min(_MOST_TURNS, len(obs) // 2) + 1):
        some = asked[asked < len(obs) - lag]
        found = (np.abs(obs[some + lag] - next_obs[some]) <= tolerance).all(axis=1)
        if len(some) and found.mean() > best[0]:
            best = (found.mean(), lag)
    return best[1]
