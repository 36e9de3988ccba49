"""Find where the episodes of a log begin if it does not tell of time limits, and whether its first row is a beginning.

A row that does not begin where the row before led may begin an episode or only a piece of one. A row that leads from
one beginning to the next may be a reset without a flag. What is no beginning lies far from the other beginnings.

Axis letters here: N rows, R rows out of them, d columns of an observation.
"""

from typing import NamedTuple

import numpy as np

from synthenv.core.types import Transition
from synthenv.worldmodel.context.logged_ends import law_of, stand_ins
from synthenv.worldmodel.context.logged_order import continues, ended_rows

_ENOUGH = 5  # known beginnings that are needed to tell where others may be
_FAR_OUTSIDE = 2.0  # distance from the known beginnings, in units of their range
_NARROW = 0.5  # in some column beginnings spread less than this share of the deviation of all observations
_KEPT, _ROUNDS = 0.7, 4  # share of the rows that the law of all others is fitted to, and how often
_GAP = 1.5  # rows that jump are so many times as far from the law as any other, and so many times as the usual ones:
_FAR = 4.0


class Starts(NamedTuple):
    """Where episodes begin.

    Attributes:
        begins: whether an episode begins with each row. bool [N]
        dropped: which rows are no steps. bool [N]
        cuts: which rows do not begin where the row kept before them led, though no episode ended there. bool [N]
        notices: sentences for the user.
    """

    begins: np.ndarray
    dropped: np.ndarray
    cuts: np.ndarray
    notices: list[str]


def untold(
    name: str, steps: Transition, begins: np.ndarray, cuts: np.ndarray, num_actions: int | None
) -> Starts:
    """Find the beginnings that no flag tells of.

    Args:
        name: of the log, for messages.
        steps: in the order in which they were taken, without rows that are no steps. [N]
        begins: with which rows an episode is known to begin. bool [N]
        cuts: which rows do not begin where the one before led, though none ended there. bool [N]
        num_actions: number of discrete actions, or None.
    """
    begins, told = _among_cuts(name, steps, begins, cuts)
    last = np.append(cuts[1:], False)
    ends = steps._replace(terminated=np.zeros_like(last), truncated=last)
    told += stand_ins(name, ends, num_actions)
    found = _jumps(steps, num_actions)
    if not found:
        return Starts(begins, np.zeros_like(begins), cuts, told)
    ages = [_ages(begins | cuts, jumps) for jumps in found]
    are_regular = [
        len(jumps) > 1 and bool((age[jumps] == age.max()).all())
        for jumps, age in zip(found, ages, strict=True)
    ]
    chosen = int(np.argmax(are_regular))  # the first one if none is
    jumps, regular = found[chosen], are_regular[chosen]
    alike = _lead_to_beginnings(steps, jumps, begins)
    what = f"{len(jumps):,} rows of {name} lead where nothing else in it leads"
    what += ", to where episodes begin" if alike else ""
    what += f", {ages[chosen].max():,} steps after a beginning each" if regular else ""
    if regular and alike:
        follows = np.isin(np.arange(len(begins)), jumps + 1)
        told.append(f"{what}: they are taken for resets after a time limit and left out; write truncations")
        return Starts(begins | follows, np.append(follows[1:], False), cuts | follows, told)
    if regular or alike:
        told.append(
            f"{what}: if the environment was reset there, write truncations and final observations, for what the world"
            " model learns of these rows is wrong; if not, all is well"
        )
    return Starts(begins, np.zeros_like(begins), cuts, told)


def first_rows(
    name: str, steps: Transition, begins: np.ndarray, firsts: np.ndarray
) -> tuple[np.ndarray, list[str]]:
    """Take back that episodes begin with the first rows [R] of a log if they are nowhere near all other beginnings."""
    others = begins.copy()
    others[firsts] = False
    if others.sum() < _ENOUGH:
        return begins, []
    obs = np.asarray(steps.obs, np.float64)
    outside = firsts[_are_outside(obs[firsts], obs[others])]
    if not len(outside):
        return begins, []
    begins = begins.copy()
    begins[outside] = False
    return begins, [f"{name} begins amid an episode: its first row is taken for no beginning"]


def _among_cuts(
    name: str, steps: Transition, begins: np.ndarray, cuts: np.ndarray
) -> tuple[np.ndarray, list[str]]:
    """Return which of the rows after cuts begin an episode, and notices."""
    obs = np.asarray(steps.obs, np.float64)
    candidates = begins | cuts
    led = candidates & _are_led_to(steps, candidates)
    if led.any() and (candidates & ~led).any():
        return candidates & ~led, [
            f"{led.sum():,} rows of {name} begin where a row elsewhere in it led: it holds pieces of episodes, whose"
            " first rows are taken for beginnings only where no row leads; write rows in the order in which they were"
            " taken, and truncations"
        ]
    after_ends = np.append(False, ended_rows(steps)[:-1]) & begins
    rest = cuts & ~after_ends
    if after_ends.sum() >= _ENOUGH:
        outside = np.zeros_like(cuts)
        outside[rest] = _are_outside(obs[rest], obs[after_ends])
        if not outside.any():
            return candidates, []
        return candidates & ~outside, [
            f"{outside.sum():,} rows of {name} do not begin where the row before led, nor anywhere near where episodes"
            " begin after an end: they are taken for cuts in the log, and for no beginnings; write truncations"
        ]
    if rest.sum() < _ENOUGH or (obs[rest].std(axis=0) < _NARROW * obs.std(axis=0)).any():
        return candidates, []
    return candidates, [
        f"{rest.sum():,} rows of {name} do not begin where the row before led and are as far apart as any others:"
        " nobody can tell whether episodes or only pieces of them begin there, and dreamt ones do; write truncations"
    ]


def _are_led_to(steps: Transition, asked: np.ndarray) -> np.ndarray:
    """Return which of the rows asked for (bool [N]) begin exactly where some row that ended nothing led. bool [N]

    Where observations repeat by themselves, as in a grid, this means nothing, and the answer is none of them.
    """
    single = np.asarray(steps.obs, np.float32), np.asarray(steps.next_obs, np.float32)[~ended_rows(steps)]
    both, number = np.unique(np.concatenate(single), axis=0, return_inverse=True)
    number, num_rows = number.reshape(-1), len(asked)
    found = np.isin(number[:num_rows], number[num_rows:]) & asked
    return found if len(both) > 0.5 * len(number) / 2 else np.zeros_like(found)


def _are_outside(obs: np.ndarray, known: np.ndarray) -> np.ndarray:
    """Return which observations [R, d] are far from all known ones in some column. bool [R]"""
    low, high = known.min(axis=0), known.max(axis=0)
    room = _FAR_OUTSIDE * (high - low) + 1e-6 * np.maximum(np.abs(low), np.abs(high))
    return ((obs < low - room) | (obs > high + room)).any(axis=1)


def _ages(starts: np.ndarray, jumps: np.ndarray) -> np.ndarray:
    """Count the steps that each episode has taken by each row if another one begins after every jump. int [N]"""
    places = np.arange(len(starts))
    starts = starts | np.isin(places, jumps + 1)
    return places - np.maximum.accumulate(np.where(starts, places, 0)) + 1


def _jumps(steps: Transition, num_actions: int | None) -> list[np.ndarray]:
    """Find rows within a trajectory that are much further than all others from a law that most of them follow. int [J]

    There may be several answers, and the one with the widest gap comes first; the list is empty if there is none.
    """
    asked = np.append(continues(steps)[1:], False) & ~ended_rows(steps)
    if asked.sum() < 4 * _ENOUGH:
        return []
    fitted = asked
    for _ in range(_ROUNDS):
        law = law_of(steps, num_actions, fitted)
        fitted = asked & (law.of_row <= np.quantile(law.of_row[asked], _KEPT))
    law = law_of(steps, num_actions, fitted)
    away = np.sort(law.of_row[asked])
    away = away[int(_KEPT * len(away)) :]
    gaps = away[1:] / np.maximum(away[:-1], _FAR * max(1.0, law.usual) / _GAP)
    widest = np.argsort(-gaps)
    return [np.flatnonzero(asked & (law.of_row >= away[1 + gap])) for gap in widest if gaps[gap] >= _GAP]


def _lead_to_beginnings(steps: Transition, rows: np.ndarray, begins: np.ndarray) -> bool:
    """Return whether rows (indices) lead far, and to where the episodes of a log begin."""
    obs, after = np.asarray(steps.obs, np.float64), np.asarray(steps.next_obs, np.float64)[rows]
    std = np.maximum(obs.std(axis=0), 1e-12)
    if np.median((np.abs(after - obs[rows]) / std).max(axis=1)) < 1.0:
        return False
    number = np.unique(np.asarray(steps.next_obs, np.float32), axis=0, return_inverse=True)[1].reshape(-1)
    if (
        np.isin(number[rows], np.delete(number, rows)).mean() > 0.5
    ):  # ordinary steps go there as well, as in a grid
        return False
    room = np.maximum(np.ptp(after, axis=0), _NARROW * std)
    low, high, known = after.min(axis=0) - room, after.max(axis=0) + room, obs[begins]
    is_narrow = (after.std(axis=0) < _NARROW * std).any()
    return bool(is_narrow and ((known >= low) & (known <= high)).all(axis=1).mean() > 0.8)
