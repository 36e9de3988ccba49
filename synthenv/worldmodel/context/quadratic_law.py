"""One quadratic law for all rows of a log, which tells rows that do not follow it and columns that belong elsewhere.

It is cheap and crude: a check of files, not a world model. Everything is NumPy in double precision.

Axis letters here: N rows, D inputs, Y targets.
"""

from typing import NamedTuple

import numpy as np

from synthenv.worldmodel.context.context import spread
from synthenv.worldmodel.regression.ridge_solution import solve_ridge

_MOST_ROWS = 2000  # most rows that the law is fitted to
_ROWS_PER_FEATURE, _MOST_INPUTS = 3, 12  # else the law is linear
_LEAST_ERROR = 1e-4  # share of a target's deviation; without a floor, rounding would surprise an exact law


class Surprise(NamedTuple):
    """How far each row is from the law.

    Attributes:
        of_row: root mean square over the targets of residuals in units of their leave-one-out errors. [N]
        usual: the distance that all but one in a hundred of the fitted rows keep within.
        error: mean squared leave-one-out error as a share of the variance, mean over the targets that vary.
    """

    of_row: np.ndarray
    usual: float
    error: float

    def is_far(self, rows: np.ndarray) -> bool:
        """Return whether most of these rows (indices) are further from the law than almost any other row."""
        return len(rows) > 0 and float(np.median(self.of_row[rows])) > max(4.0, self.usual)


def standardised(values: np.ndarray) -> np.ndarray:
    """Return columns [N, D] with mean 0 and deviation 1, without those that do not vary."""
    values = np.asarray(values, np.float64)
    values = values - values[:1]  # a large offset would cost the digits of the mean
    values = values - values.mean(axis=0)
    largest = np.abs(values).max(axis=0, initial=0.0)
    values = values[:, largest > 0] / largest[largest > 0]  # their squares are in range whatever their scale
    std = values.std(axis=0)
    return values[:, std > 1e-9] / std[std > 1e-9]


def action_columns(action: np.ndarray, num_actions: int | None) -> np.ndarray:
    """Return actions [N] or [N, a] as columns: one-hot if there is a finite number of them, else as they are."""
    if num_actions is None:
        return action
    return (action[:, None] == np.arange(num_actions)).astype(float)


def surprise(inputs: np.ndarray, targets: np.ndarray, fitted: np.ndarray) -> Surprise:
    """Fit the law to some rows and measure how far all rows are from it.

    Args:
        inputs: [N, D]
        targets: [N, Y]
        fitted: which rows the law is fitted to, at least one of them. bool [N]
    """
    rows = spread(np.flatnonzero(fitted), _MOST_ROWS)
    features, targets = _features(standardised(inputs), len(rows)), standardised(targets)
    if not targets.shape[1] or not features.shape[1]:
        return Surprise(np.zeros(len(inputs)), 0.0, 1.0)
    middle, goal = features[rows].mean(axis=0), targets[rows].mean(axis=0)
    beta, error = solve_ridge(features[rows] - middle, targets[rows] - goal)
    residual = targets - goal - (features - middle) @ beta
    variance = targets[rows].var(axis=0)
    varies = variance > 1e-18
    if not varies.any():
        return Surprise(np.zeros(len(inputs)), 0.0, 1.0)
    share = error[varies] / variance[varies]
    unit = np.sqrt(np.maximum(share, _LEAST_ERROR**2) * variance[varies])
    of_row = np.sqrt(np.mean(np.square(residual[:, varies] / unit), axis=1))
    return Surprise(of_row, float(np.quantile(of_row[rows], 0.99)), float(share.mean()))


def _features(inputs: np.ndarray, num_rows: int) -> np.ndarray:
    """Return inputs and, if there are rows enough, their products of two."""
    first, second = np.triu_indices(inputs.shape[1])
    if inputs.shape[1] > _MOST_INPUTS or num_rows < _ROWS_PER_FEATURE * (inputs.shape[1] + len(first)):
        return inputs
    return standardised(np.concatenate([inputs, inputs[:, first] * inputs[:, second]], axis=1))
