"""Checks of the numbers in a log: time limits among terminations, lost digits, rewards of another row.

Where there is one way to read them, they are read that way; where there are several, the user is told.

Axis letters here: N rows.
"""

import numpy as np

from synthenv.core.types import Transition
from synthenv.worldmodel.context import quadratic_law
from synthenv.worldmodel.context.logged_order import continues, ended_rows
from synthenv.worldmodel.regression import end_limits

_LOST = 0.01  # rounding beyond this share of what a column moves by loses the moves
_STILL = 1e-6  # a column that moves by less than this share of its deviation stands still
_PILED = 0.05  # share of the rewards that are exactly the least or the largest
_SHIFTED = 0.5  # a column fits another row better if its error falls to this share there
_LEAST_ROWS = 20
_FITS = 1e-3  # columns that miss less than this share of the variance are where they belong


def without_time_limits(name: str, steps: Transition, cuts: np.ndarray) -> tuple[Transition, list[str]]:
    """Turn terminations into truncations if they come after the same number of steps and nothing else explains them.

    A log that shows time limits in another way, by truncations or cuts, is believed.

    Args:
        name: of the log, for messages.
        steps: in the order in which they were taken. [N]
        cuts: which rows do not begin where the one before led, though none ended there. bool [N]
    """
    terminated = np.asarray(steps.terminated)
    if np.asarray(steps.truncated).any() or cuts.any():
        return steps, []
    starts = np.append(True, terminated[:-1]) | ~continues(steps)
    places = np.arange(len(starts))
    age = places - np.maximum.accumulate(np.where(starts, places, 0)) + 1
    late = terminated & (age == age.max())
    found = end_limits.find(np.asarray(steps.next_obs), terminated)
    amid = late & ~np.asarray(end_limits.are_beyond(found, np.asarray(steps.next_obs)))
    if age.max() < 2 or amid.sum() < max(2, 0.5 * late.sum()):
        return steps, []
    told = (
        f"{late.sum():,} of the {terminated.sum():,} terminations in {name} come after {age.max():,} steps each, amid"
        " observations from which other episodes went on: they are taken for a time limit, which is to be written as"
        " truncations"
    )
    return steps._replace(terminated=terminated & ~late, truncated=late), [told]


def doubts(name: str, steps: Transition, num_actions: int | None) -> list[str]:
    """Return notices of what the user should look at in a log.

    Args:
        name: of the log, for messages.
        steps: in the order in which they were taken and in their own precision. [N]
        num_actions: number of discrete actions, or None.
    """
    return [
        *_many_ends(name, ended_rows(steps)),
        *_same_numbers(name, np.asarray(steps.obs), np.asarray(steps.action)),
        *_lost_digits(name, np.asarray(steps.obs), np.asarray(steps.next_obs)),
        *_piled_rewards(name, steps),
        *_shifted(name, steps, num_actions),
    ]


def _many_ends(name: str, ended: np.ndarray) -> list[str]:
    """Notice that most steps [N] end an episode, as if flags said the opposite.

    If every row is an end, ``logged_ends`` tells of it.
    """
    if ended.mean() <= 0.5 or ended.all():
        return []
    return [
        f"{ended.sum():,} of {len(ended):,} rows in {name} end an episode: dreams end as often; are the flags those of"
        " the end, not of going on?"
    ]


def _same_numbers(name: str, obs: np.ndarray, action: np.ndarray) -> list[str]:
    """Notice columns of observations that repeat another column, and actions that are all alike."""
    told, columns = [], {}
    for column in np.flatnonzero((obs != obs[0]).any(axis=0)):
        columns.setdefault(obs[:, column].tobytes(), []).append(column)
    for twins in columns.values():
        if len(twins) > 1:
            told.append(
                f"columns {', '.join(map(str, twins))} of the observations in {name} hold the same numbers: is each"
                " of them where it belongs?"
            )
    if (action == action[0]).all():
        told.append(f"every row of {name} has the same action: what others do is not known")
    return told


def _lost_digits(name: str, obs: np.ndarray, next_obs: np.ndarray) -> list[str]:
    """Notice columns whose moves are lost in the digits that they were written or computed with."""
    change = (next_obs.astype(np.float64) - obs).std(axis=0)
    told = []
    for column in np.flatnonzero(change > _STILL * obs.astype(np.float64).std(axis=0)):
        values = np.concatenate([obs[:, column], next_obs[:, column]])
        step = _digits(values) * float(np.abs(values.astype(np.float64)).max())
        if step > _LOST * change[column] * np.sqrt(6.0):  # deviation of a difference of two rounded numbers
            told.append(
                f"column {column} of the observations in {name} goes to {np.abs(values).max():.3g} and moves by about"
                f" {change[column]:.2g} a step, but is only known to {step:.1g} in the precision of the file or of"
                " dreams (single): what it does is lost in part or whole; subtract an offset from it, or write more"
                " digits"
            )
    return told


def _digits(values: np.ndarray) -> float:
    """Return the relative spacing of the widest type, up to single precision, that values [N] need."""
    with np.errstate(over="ignore"):
        if np.array_equal(values, values.astype(np.float16)) and not np.array_equal(values, np.round(values)):
            return float(np.finfo(np.float16).eps)
        is_exact = np.array_equal(values, np.round(values)) and np.array_equal(
            values, values.astype(np.float32)
        )
    return 0.0 if is_exact else float(np.finfo(np.float32).eps)


def _piled_rewards(name: str, steps: Transition) -> list[str]:
    """Notice rewards that are all alike, or many of which are exactly the least or the largest while others vary.

    Where all these rows lead to a few places, such as a wall, that reward is simply what is paid there.
    """
    reward = np.asarray(steps.reward)
    if (reward == reward[0]).all() and not np.asarray(steps.terminated).any():
        return [
            f"every step of {name} pays {reward[0]:g} and none ends an episode by a termination: there is nothing to"
            " learn from it, unless the task's own rule ends dreamt episodes"
        ]
    told = []
    for value, most in ((reward.min(), "less"), (reward.max(), "more")):
        at_end, others = reward == value, reward[reward != value]
        if (
            (piled := at_end.mean()) < _PILED
            or len(others) < 10
            or len(np.unique(others)) <= 0.5 * len(others)
        ):
            continue
        if len(np.unique(np.asarray(steps.next_obs)[at_end], axis=0)) > 0.5 * at_end.sum():
            told.append(
                f"{piled:.0%} of the rewards in {name} are exactly {value:g} and none is {most}: if they were clipped,"
                " write them as they were paid"
            )
    return told


def _shifted(name: str, steps: Transition, num_actions: int | None) -> list[str]:
    """Notice rewards and actions that fit the row before or after better than their own."""
    inside = continues(steps)
    inside[1:] &= ~(np.asarray(steps.terminated) | np.asarray(steps.truncated))[:-1]
    inside[:-1] &= inside[1:]
    inside[[0, -1]] = False
    rows = np.flatnonzero(inside)
    if len(rows) < _LEAST_ROWS:
        return []
    obs, next_obs = (np.asarray(leaf, np.float64) for leaf in (steps.obs, steps.next_obs))
    action = quadratic_law.action_columns(np.asarray(steps.action), num_actions)
    reward = np.asarray(steps.reward, np.float64)[:, None]

    def error(what: str, by: int) -> float:
        """Return the error of the law where ``what`` is taken from as many rows further on."""
        if what == "actions":
            inputs, targets = [obs[rows], action[rows + by]], (next_obs - obs)[rows]
        else:
            inputs, targets = [obs[rows], next_obs[rows], action[rows]], reward[rows + by]
        return quadratic_law.surprise(np.concatenate(inputs, axis=1), targets, np.ones(len(rows), bool)).error

    told = []
    # The reward of the row before may follow from where a row begins, unless that row belongs to the episode before.
    first = np.flatnonzero(
        np.append(False, (np.asarray(steps.terminated) | np.asarray(steps.truncated))[:-1])
    )
    law = quadratic_law.surprise(np.concatenate([obs, next_obs, action], axis=1), reward, inside)
    if len(first) > 1 and law.is_far(first):
        told.append(
            f"the first rewards of episodes in {name} follow no law of the others: are the rewards shifted by a row?"
        )
    for what in ("actions",) if np.ptp(reward[rows]) == 0 else ("actions", "rewards"):
        if (own := error(what, 0)) < _FITS:
            continue
        by = min((-1, 1), key=lambda by: error(what, by))
        if error(what, by) < _SHIFTED * own:
            where = "after" if by > 0 else "before"
            told.append(
                f"the {what} of {name} fit best where those of the row {where} are taken: are they shifted by a row?"
            )
    return told
