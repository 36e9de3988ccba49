"""Which rows of a log are steps of its task, in which order they were taken, and where its episodes begin.

Loggers write down what an environment hands over, and that is not always a step: vector environments of gymnasium reset
in the step after an end, older ones in the same step; steps of several environments come by turns; buffers are shuffled
or hold rows twice. The rows themselves show it, by where they begin and by whether they go where other rows go.

Axis letters here: N rows, M rows that are kept.
"""

from typing import NamedTuple

import numpy as np

from synthenv.core.errors import UserError
from synthenv.core.types import Transition
from synthenv.worldmodel import quadratic_law
from synthenv.worldmodel.context import at_rows, spread
from synthenv.worldmodel.quadratic_law import Surprise

_SAME = 1e-5  # of a column's spread: what a logger's rounding may do to a number that it writes twice
_MOST_TURNS = 1024  # environments by turns
_NUM_ASKED = 200  # rows that are searched for
_LEAST_ROWS = 20  # that are no neighbours of ends, to know an ordinary row by
_BY_CHANCE = 1e-3
_NO_LAW = 0.1  # of the variance: a law that misses more says little of single rows


class Sorted(NamedTuple):
    """Steps of a log.

    Attributes:
        rows: which rows these are, in the order in which they were taken. int [M]
        begins: whether an episode begins with each of them. bool [M]
        cuts: which do not begin where the row before led, though none ended there. bool [M]
        notices: what was left out or changed, sentences.
    """

    rows: np.ndarray
    begins: np.ndarray
    cuts: np.ndarray
    notices: tuple[str, ...]


def sort_out(name: str, steps: Transition, num_actions: int | None, tells_time_limits: bool) -> Sorted:
    """Find the steps among the rows of a log.

    Args:
        name: of the log, for messages.
        steps: its rows as they are, in their own precision. [N]
        num_actions: number of discrete actions, or None.
        tells_time_limits: whether the log says where time limits ended episodes.

    Raises:
        UserError: rows that ended an episode do not say where they led.
    """
    notices = []
    rows = np.arange(len(steps.reward))
    firsts = {0}
    again = _repeats(steps)
    if _share_in_order(at_rows(steps, rows[~again])) >= 0.5:
        if again.any():
            rows = rows[~again]
            notices.append(
                f"{again.sum():,} of {len(again):,} rows of {name} are written twice: once is enough"
            )
    elif (turns := _num_turns(steps)) > 1:
        rows = np.concatenate([rows[first::turns] for first in range(turns)])
        firsts = set(np.cumsum([0] + [len(range(first, len(rows), turns)) for first in range(turns - 1)]))
        notices.append(
            f"rows of {name} are steps of {turns} environments by turns: they are read one environment after the other"
        )
    ordered = at_rows(steps, rows)
    begins, dropped, told = _after_ends(name, ordered, num_actions)
    begins[list(firsts)] = True
    cuts = ~continues(ordered)
    cuts[1:] &= ~_ended(ordered)[:-1]
    cuts[list(firsts)] = False
    if _share_in_order(ordered) < 0.5:
        begins[:] = True
        told.append(
            f"only {_share_in_order(ordered):.0%} of the rows of {name} begin where the row before led, so that nobody"
            " can tell where its episodes begin: dreamt ones begin at any of its observations; write rows in the order"
            " in which they were taken"
        )
    elif not tells_time_limits or not begins[1:].any():
        begins |= cuts
    elif cuts.any():
        told.append(
            f"{cuts.sum():,} rows of {name} do not begin where the row before led, though none ended there: they are"
            " taken for cuts in the log, and for no beginnings"
        )
    kept = ~dropped
    return Sorted(rows[kept], begins[kept], cuts[kept], (*notices, *told))


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


def _ended(steps: Transition) -> np.ndarray:
    return np.asarray(steps.terminated) | np.asarray(steps.truncated)


def _repeats(steps: Transition) -> np.ndarray:
    """Which rows are those before them once more, and not because nothing has moved. bool [N]"""
    same = np.ones(len(steps.reward) - 1, bool)
    for leaf in steps:
        values = np.asarray(leaf).reshape(len(same) + 1, -1)
        same &= (values[1:] == values[:-1]).all(axis=1)
    return np.append(False, same) & ~continues(steps)


def _share_in_order(steps: Transition) -> float:
    """Of the rows after one that ended no episode, the share that begin where it led; 1 if there are none."""
    goes_on = ~_ended(steps)[:-1]
    return float(continues(steps)[1:][goes_on].mean()) if goes_on.any() else 1.0


def _num_turns(steps: Transition) -> int:
    """After how many rows most rows go on; 1 if after no number of them."""
    obs, next_obs = np.asarray(steps.obs), np.asarray(steps.next_obs)
    tolerance, best = _tolerance(obs, next_obs), (0.5, 1)
    asked = spread(np.flatnonzero(~_ended(steps)), _NUM_ASKED)
    for lag in range(2, min(_MOST_TURNS, len(obs) // 2) + 1):
        some = asked[asked < len(obs) - lag]
        found = (np.abs(obs[some + lag] - next_obs[some]) <= tolerance).all(axis=1)
        if len(some) and found.mean() > best[0]:
            best = (found.mean(), lag)
    return best[1]


def _after_ends(
    name: str, steps: Transition, num_actions: int | None
) -> tuple[np.ndarray, np.ndarray, list[str]]:
    """What follows rows that ended an episode: beginnings, resets, or the same trajectory.

    Returns:
        which rows begin an episode and which are no steps, bool [N] each, and notices.
    """
    ended, same = _ended(steps), continues(steps)
    begins, dropped = np.append(False, ended[:-1]), np.zeros(len(ended), bool)
    if ended.mean() < 0.5:  # rows after a failure, which are ends as well, are no episodes of one step
        begins[1:] &= ~(ended[1:] & same[1:])
    last = np.flatnonzero(ended[:-1] & same[1:] & ~ended[1:])  # ends whose next row begins where they led
    if ended.all() and len(ended) > 1 and same[1:].mean() > 0.5:
        return (
            begins,
            dropped,
            [
                f"every row of {name} ended an episode, though the next one begins where it led: dreamt episodes have"
                " one step"
            ],
        )
    if len(last) < 0.5 * np.sum(ended[:-1] & ~ended[1:]) or not len(last):
        return begins, dropped, _stand_ins(name, steps, num_actions)
    told = f"{len(last):,} of the {ended.sum():,} ends in {name}"
    ordinary = ~(ended | np.append(False, ended[:-1]))
    if ordinary.sum() < _LEAST_ROWS:
        raise UserError(
            f"the rows after {told} begin where these led, and too few others tell whether they are steps: leave out"
            " the rows in which a vector environment resets, and write final observations where episodes end"
        )
    law = _law(steps, num_actions, ordinary)
    after = last + 1
    pays_alike = _pays_alike(np.asarray(steps.reward), after, ordinary)
    if law.is_far(after) or (pays_alike and law.error > _NO_LAW and not law.is_far(last)):
        dropped[after], begins[after] = True, False
        begins[after[after + 1 < len(ended)] + 1] = True
        return (
            begins,
            dropped,
            [f"{told} are followed by the reset of a vector environment: no steps, left out"],
        )
    if law.is_far(last):
        _check_final(steps, last, told)
        dropped[last] = True
        return begins, dropped, [f"{told} lead to where the next episode begins: these rows are left out"]
    begins[after] = False
    return (
        begins,
        dropped,
        [
            f"{told} are flagged within a trajectory that goes on: the rows after them are taken for no beginnings"
        ],
    )


def _stand_ins(name: str, steps: Transition, num_actions: int | None) -> list[str]:
    """What to say of final observations that stand for nothing: one and the same, or the one before the step."""
    obs, next_obs, ended = np.asarray(steps.obs), np.asarray(steps.next_obs), _ended(steps)
    last, ordinary = np.flatnonzero(ended), ~ended
    if len(last) < 2 or ordinary.sum() < _LEAST_ROWS:
        return []
    still = (obs == next_obs).all(axis=1)
    stays = still[last].all() and still[ordinary].mean() ** len(last) < _BY_CHANCE
    is_one = (next_obs[last] == next_obs[last[0]]).all()
    if not stays and not (is_one and _law(steps, num_actions, ordinary).is_far(last)):
        return []
    what = "where they began" if stays else "to one and the same observation, where no other row leads"
    return [
        f"all {len(last):,} rows of {name} that ended an episode lead {what}: write the last observations of episodes"
        " there, else what the world model learns of them is wrong"
    ]


def _law(steps: Transition, num_actions: int | None, ordinary: np.ndarray) -> Surprise:
    """Where ordinary rows go."""
    obs, next_obs = (np.asarray(leaf, np.float64) for leaf in (steps.obs, steps.next_obs))
    inputs = [obs, quadratic_law.action_columns(np.asarray(steps.action), num_actions)]
    return quadratic_law.surprise(np.concatenate(inputs, axis=1), next_obs - obs, ordinary)


def _pays_alike(reward: np.ndarray, rows: np.ndarray, ordinary: np.ndarray) -> bool:
    """Whether all these rows pay one reward that ordinary ones would hardly all pay by chance."""
    value = reward[rows[0]]
    share = np.mean(reward[ordinary] == value)
    return bool((reward[rows] == value).all() and share ** len(rows) < _BY_CHANCE)


def _check_final(steps: Transition, last: np.ndarray, told: str) -> None:
    """Refuse terminations whose outcome is lost: no dream would know where to end."""
    if np.asarray(steps.terminated)[last].any():
        raise UserError(
            f"{told} lead to where the next episode begins, so that nothing tells where they ended: write the last"
            " observation before the reset, which vector environments of gymnasium hand over as final_obs"
        )
