"""Which data sets are held out together: folds over data sets, never over runs.

Data sets that were made from the same one, such as ``0-cifar100`` and ``7-cifar100``, are in one fold.
"""

import re
from collections.abc import Sequence

import numpy as np

from synthenv.core.errors import UserError

_NUMBERED = re.compile(r"\d+-(.+)")


def core_of(name: str) -> str:
    """The data set that a data set was made from: ``cifar100`` of ``0-cifar100``, otherwise the name itself."""
    match = _NUMBERED.fullmatch(name)
    return match.group(1) if match else name


def folds_of(names: Sequence[str], num_folds: int | None, seed: int) -> np.ndarray:
    """Draw the fold of each data set. int32 [D]

    Args:
        names: of the data sets.
        num_folds: how many; None holds out one data set (with what was made from it) at a time.
        seed: of the draw; it does not matter when one is left out.

    Raises:
        UserError: there are fewer data sets than folds, or fewer than two folds.
    """
    cores = list(dict.fromkeys(map(core_of, names)))
    if num_folds is None:
        num_folds, order = len(cores), np.arange(len(cores))
    else:
        order = np.random.default_rng(seed).permutation(len(cores))
    if not 2 <= num_folds <= len(cores):
        raise UserError(
            f"{num_folds} folds of {len(cores)} data sets cannot be: pass a number of folds from 2 to that"
            if len(cores) >= 2
            else "one data set cannot be held out and learnt from: pass a table with at least two data sets"
        )
    fold_of_core = {cores[i]: place % num_folds for place, i in enumerate(order)}
    return np.array([fold_of_core[core_of(name)] for name in names], np.int32)
