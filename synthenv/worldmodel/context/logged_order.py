"""The order in which the rows of a log were written: a row that follows another begins where that one led.

Axis letters here: N rows.
"""

import numpy as np

from synthenv.core.types import Transition
from synthenv.worldmodel.context.context import spread

_SAME = 1e-5  # share of a column's spread by which rounding may part a number that a logger writes twice
_MOST_TURNS = 1024  # most environments whose steps may come by turns
_NUM_ASKED = 200  # most rows that are looked up


def continues(steps: Transition, lag: int = 1) -> np.ndarray:
    """Return whether each row begins where the one ``lag`` rows before it led, bool [N]; the first rows do not."""
    obs, next_obs = np.asarray(steps.obs), np.asarray(steps.next_obs)
    same = np.zeros(len(obs), bool)
    away = np.abs(obs[lag:] - next_obs[:-lag])
    same[lag:] = (away <= _tolerance(obs, next_obs)).all(axis=1)
    return same


def _tolerance(obs: np.ndarray, next_obs: np.ndarray) -> np.ndarray:
    """Return how far two equal numbers of a column may be apart in a log. [d]"""
    low, high = np.percentile(np.asarray(obs, np.float64), (5, 95), axis=0)
    narrow = max(np.finfo(array.dtype).eps if array.dtype.kind == "f" else 0.0 for array in (obs, next_obs))
    rounding = 0.0 if obs.dtype == next_obs.dtype else narrow * np.abs(obs).max(axis=0)
    return _SAME * (high - low) + rounding


def ended_rows(steps: Transition) -> np.ndarray:
    """Return which rows ended an episode, by their flags. bool [N]"""
    return np.asarray(steps.terminated) | np.asarray(steps.truncated)


def repeats(steps: Transition) -> np.ndarray:
    """Return which rows repeat the one before them, though something has moved. bool [N]"""
    return _as_before(steps) & ~continues(steps)


def fillers(steps: Transition) -> np.ndarray:
    """Return which rows fill up the place between an end and the next beginning: equal, unmoved, unpaid. bool [N]"""
    ended, goes_on = ended_rows(steps), continues(steps)
    alike = _as_before(steps)
    first = np.flatnonzero(~alike)
    last = np.append(first[1:], len(ended)) - 1
    still = (np.asarray(steps.obs) == np.asarray(steps.next_obs)).all(axis=1) & ~ended
    found = still[first] & np.append(False, ended[:-1])[first] & ~np.append(goes_on, False)[last + 1]
    return np.repeat(found, last - first + 1)


def _as_before(steps: Transition) -> np.ndarray:
    """Return which rows equal the one before in everything. bool [N]"""
    same = np.ones(len(steps.reward) - 1, bool)
    for leaf in steps:
        values = np.asarray(leaf).reshape(len(same) + 1, -1)
        same &= (values[1:] == values[:-1]).all(axis=1)
    return np.append(False, same)


def share_in_order(steps: Transition) -> float:
    """Return the share of rows behind a row that ended nothing which begin where it led; 1 if there are none."""
    goes_on = ~ended_rows(steps)[:-1]
    return float(continues(steps)[1:][goes_on].mean()) if goes_on.any() else 1.0


def num_turns(steps: Transition) -> int:
    """Return how many environments took turns: the number of rows after which most rows go on, else 1."""
    obs, next_obs = np.asarray(steps.obs), np.asarray(steps.next_obs)
    tolerance, best = _tolerance(obs, next_obs), (0.5, 1)
    asked = spread(np.flatnonzero(~ended_rows(steps)), _NUM_ASKED)
    for lag in range(2, min(_MOST_TURNS, len(obs) // 2) + 1):
        some = asked[asked < len(obs) - lag]
        found = (np.abs(obs[some + lag] - next_obs[some]) <= tolerance).all(axis=1)
        if len(some) and found.mean() > best[0]:
            best = (found.mean(), lag)
    return best[1]
