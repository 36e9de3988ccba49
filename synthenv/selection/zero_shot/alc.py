"""The score of the AutoDL challenges: how good predictions were over time, early ones counting more.

References:
    Liu et al. (2021), Winning solutions and post-challenge analyses of the ChaLearn AutoDL challenge 2019.

Axis letters here: B examples, C classes, P predictions.
"""

import numpy as np
from scipy.stats import rankdata

BUDGET = 1200.0  # seconds of the challenge
HALF_TIME = 60.0  # the first minute weighs 23 % of 20


def normalised_auc(labels: np.ndarray, scores: np.ndarray) -> float:
    """2 AUC - 1, the mean over classes: 1 is perfect, 0 chance.

    Equal scores count half. Classes of which all examples are positive, or none, do not count.

    Args:
        labels: 1 where an example is of the class. [B, C]
        scores: higher where it rather is. [B, C]

    Returns:
        the mean; NaN if no class counts.
    """
    areas = [_auc(labels[:, c] > 0, scores[:, c]) for c in range(labels.shape[1])]
    known = [area for area in areas if not np.isnan(area)]
    return 2 * float(np.mean(known)) - 1 if known else float("nan")


def _auc(is_positive: np.ndarray, scores: np.ndarray) -> float:
    """Share of pairs of a positive and a negative example in the right order; NaN without such pairs."""
    positives, negatives = int(is_positive.sum()), int((~is_positive).sum())
    if not positives or not negatives:
        return float("nan")
    rank_sum = rankdata(scores)[is_positive].sum()
    return float((rank_sum - positives * (positives + 1) / 2) / (positives * negatives))


def warped(seconds: np.ndarray, budget: float = BUDGET, half_time: float = HALF_TIME) -> np.ndarray:
    """Times as shares of the budget in which early seconds are long ones. [P]"""
    return np.log1p(np.asarray(seconds, np.float64) / half_time) / np.log1p(budget / half_time)


def area_under_learning_curve(
    seconds: np.ndarray, scores: np.ndarray, budget: float = BUDGET, half_time: float = HALF_TIME
) -> float:
    """Area under the steps of a learning curve over warped time.

    The score is 0 until the first prediction, and the last prediction stands until the budget is spent. Predictions
    that come later do not count; without any the area is 0.

    Args:
        seconds: when each prediction came, ascending. [P]
        scores: of each, such as :func:`normalised_auc`. [P]
        budget: seconds that there are.
        half_time: seconds by which time is warped.
    """
    seconds, scores = np.asarray(seconds, np.float64), np.asarray(scores, np.float64)
    in_time = seconds <= budget
    times = np.concatenate([warped(seconds[in_time], budget, half_time), [1.0]])
    return float(np.sum(np.diff(times) * scores[in_time]))
