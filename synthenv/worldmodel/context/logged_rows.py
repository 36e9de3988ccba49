"""Find the rows of a log that are steps of its task, the order in which they were taken, and where episodes begin.

Loggers write down what an environment hands over, and that is not always a step. Vector environments of gymnasium reset
in the step after an end, older ones in the same step; steps of several environments come by turns; buffers are shuffled
or hold rows twice. The rows themselves show all this: by where they begin, and by whether they lead where others do.

Axis letters here: N rows, M rows that are kept.
"""

from typing import NamedTuple

import numpy as np

from synthenv.core.types import Transition
from synthenv.worldmodel.context import logged_starts
from synthenv.worldmodel.context.context import at_rows
from synthenv.worldmodel.context.logged_ends import after_ends
from synthenv.worldmodel.context.logged_order import (
    continues,
    ended_rows,
    fillers,
    num_turns,
    repeats,
    share_in_order,
)


class Sorted(NamedTuple):
    """Steps of a log.

    Attributes:
        rows: which rows these are, in the order in which they were taken. int [M]
        begins: whether an episode begins with each of them. bool [M]
        cuts: which rows do not begin where the row before led, though no episode ended there. bool [M]
        notices: sentences about what was left out or changed.
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
    rows, firsts, notices = _in_order(name, steps)
    ordered = at_rows(steps, rows)
    begins, dropped, told = after_ends(name, ordered, num_actions)
    begins[firsts] = True
    cuts = ~continues(ordered)
    cuts[1:] &= ~ended_rows(ordered)[:-1]
    cuts[firsts] = False
    if share_in_order(ordered) < 0.5:
        begins[:] = True
        told.append(
            f"only {share_in_order(ordered):.0%} of the rows of {name} begin where the row before led, so that nobody"
            " can tell where its episodes begin: dreamt ones begin at any of its observations; write rows in the order"
            " in which they were taken"
        )
    elif not tells_time_limits or not begins[1:].any():
        kept = np.flatnonzero(~dropped)
        found = logged_starts.untold(name, at_rows(ordered, kept), begins[kept], cuts[kept], num_actions)
        begins[kept], dropped[kept], cuts[kept] = found.begins, found.dropped, found.cuts
        told += found.notices
    elif cuts.any():
        told.append(
            f"{cuts.sum():,} rows of {name} do not begin where the row before led, though none ended there: they are"
            " taken for cuts in the log, and for no beginnings"
        )
    if not begins.all():
        begins, more = logged_starts.first_rows(name, ordered, begins, firsts)
        told += more
    kept = ~dropped
    return Sorted(rows[kept], begins[kept], cuts[kept], (*notices, *told))


def _in_order(name: str, steps: Transition) -> tuple[np.ndarray, np.ndarray, list[str]]:
    """Return rows in the order in which they were taken, without those that are there twice or fill up episodes.

    Returns:
        which rows these are, int [M]; which of them no row precedes, int [number of environments]; and notices.
    """
    notices = []
    filled = fillers(steps)
    rows = np.flatnonzero(~filled)
    if filled.any():
        notices.append(
            f"{filled.sum():,} of {len(filled):,} rows of {name} fill up episodes that had ended: no steps, left out"
        )
    firsts = np.zeros(1, int)
    again = repeats(at_rows(steps, rows))
    if share_in_order(at_rows(steps, rows[~again])) >= 0.5:
        if again.any():
            rows = rows[~again]
            notices.append(
                f"{again.sum():,} of {len(again):,} rows of {name} are written twice: once is enough"
            )
    elif (turns := num_turns(at_rows(steps, rows))) > 1:
        rows = np.concatenate([rows[first::turns] for first in range(turns)])
        firsts = np.cumsum([0] + [len(range(first, len(rows), turns)) for first in range(turns - 1)])
        notices.append(
            f"rows of {name} are steps of {turns} environments by turns: they are read one environment after the other"
        )
    return rows, firsts, notices
