"""Checks of where ends lead in a log: to a final state, a reset, the next beginning, or nowhere.

Axis letters here: N rows.
"""

import numpy as np

from synthenv.core.errors import UserError
from synthenv.core.types import Transition
from synthenv.worldmodel.context import quadratic_law
from synthenv.worldmodel.context.logged_order import continues, ended_rows
from synthenv.worldmodel.context.quadratic_law import Surprise

_LEAST_ROWS = 20  # rows away from ends that are needed to know what an ordinary row is
_BY_CHANCE = 1e-3
_NO_LAW = 0.1  # a law that misses more than this share of the variance says little of single rows


def after_ends(
    name: str, steps: Transition, num_actions: int | None
) -> tuple[np.ndarray, np.ndarray, list[str]]:
    """Tell what follows rows that ended an episode: beginnings, resets, or the same trajectory.

    Returns:
        which rows begin an episode and which are no steps, bool [N] each, and notices.
    """
    ended, same = ended_rows(steps), continues(steps)
    begins, dropped = np.append(False, ended[:-1]), np.zeros(len(ended), bool)
    if ended.mean() < 0.5:  # rows after a failure, which are ends as well, are no episodes of one step
        begins[1:] &= ~(ended[1:] & same[1:])
    last = np.flatnonzero(ended[:-1] & same[1:] & ~ended[1:])  # ends whose next row begins where they led
    if ended.all():
        though = ", though the next one begins where it led" if same[1:].mean() > 0.5 else ""
        return (
            begins,
            dropped,
            [f"every row of {name} ended an episode{though}: dreamt episodes have one step"],
        )
    if len(last) < 0.5 * np.sum(ended[:-1] & ~ended[1:]) or not len(last):
        return begins, dropped, stand_ins(name, steps, num_actions)
    told = f"{len(last):,} of the {ended.sum():,} ends in {name}"
    ordinary = ~(ended | np.append(False, ended[:-1]))
    if ordinary.sum() < _LEAST_ROWS:
        raise UserError(
            f"the rows after {told} begin where these led, and too few others tell whether they are steps: leave out"
            " the rows in which a vector environment resets, and write final observations where episodes end"
        )
    law = law_of(steps, num_actions, ordinary)
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


def stand_ins(name: str, steps: Transition, num_actions: int | None) -> list[str]:
    """Return notices of final observations that are placeholders: one and the same, or the one before the step."""
    obs, next_obs, ended = np.asarray(steps.obs), np.asarray(steps.next_obs), ended_rows(steps)
    last, ordinary = np.flatnonzero(ended), ~ended
    if len(last) < 2 or ordinary.sum() < _LEAST_ROWS:
        return []
    remedy = (
        "write the last observations of episodes there, else what the world model learns of them is wrong"
    )
    still = (obs == next_obs).all(axis=1)
    if still[last].all() and still[ordinary].mean() ** len(last) < _BY_CHANCE:
        return [f"all {len(last):,} rows of {name} that ended an episode lead where they began: {remedy}"]
    law, cut = law_of(steps, num_actions, ordinary), np.flatnonzero(np.asarray(steps.truncated))
    if (next_obs[last] == next_obs[last[0]]).all() and law.is_far(last):
        return [
            f"all {len(last):,} rows of {name} that ended an episode lead to one and the same observation, where no"
            f" other row leads: {remedy}"
        ]
    if len(cut) > 1 and law.is_far(cut):
        return [f"the {len(cut):,} rows of {name} that were cut lead where no other row leads: {remedy}"]
    return []


def law_of(steps: Transition, num_actions: int | None, ordinary: np.ndarray) -> Surprise:
    """Fit the law that ordinary rows follow, and measure how far every row is from it."""
    obs, next_obs = (np.asarray(leaf, np.float64) for leaf in (steps.obs, steps.next_obs))
    inputs = [obs, quadratic_law.action_columns(np.asarray(steps.action), num_actions)]
    return quadratic_law.surprise(np.concatenate(inputs, axis=1), next_obs - obs, ordinary)


def _pays_alike(reward: np.ndarray, rows: np.ndarray, ordinary: np.ndarray) -> bool:
    """Return whether all these rows pay one reward that ordinary rows would hardly all pay by chance."""
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
