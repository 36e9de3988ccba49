"""The anytime score against curves integrated by hand."""

import math

import numpy as np
import pytest

from synthenv.selection.zero_shot.alc import area_under_learning_curve, normalised_auc, warped

NAN = float("nan")


def warp(t: float) -> float:
    return math.log(1 + t / 60) / math.log(21)


def test_warped_time():
    assert warped(np.array([0.0, 60.0, 1200.0])).tolist() == pytest.approx(
        [0.0, math.log(2) / math.log(21), 1.0]
    )
    assert warp(60) == pytest.approx(0.228, abs=5e-4)  # what the first minute weighs


@pytest.mark.parametrize(
    ("seconds", "scores", "area"),
    [
        ([], [], 0.0),
        ([0.0], [0.7], 0.7),
        ([60.0], [0.7], 0.7 * (1 - warp(60))),
        ([60.0, 300.0], [0.4, 0.9], 0.4 * (warp(300) - warp(60)) + 0.9 * (1 - warp(300))),
        ([60.0, 1200.0, 1201.0], [0.4, 0.9, 1.0], 0.4 * (1 - warp(60))),  # late ones do not count
        ([1300.0], [1.0], 0.0),
    ],
)
def test_area_by_hand(seconds, scores, area):
    assert area_under_learning_curve(np.array(seconds), np.array(scores)) == pytest.approx(area)


def test_auc_with_ties_and_empty_classes():
    labels = np.array([[1, 0, 0], [0, 1, 0], [1, 1, 0], [0, 0, 0]])
    scores = np.array([[0.9, 0.5, 0.1], [0.2, 0.5, 0.3], [0.8, 0.5, 0.2], [0.1, 0.5, 0.9]])
    # class 0 is perfect, class 1 all ties, class 2 has no positive
    assert normalised_auc(labels, scores) == pytest.approx(2 * (1.0 + 0.5) / 2 - 1)
    # pairs: .8 > .7, .8 > .3, .3 < .7, .3 = .3
    assert normalised_auc(
        np.array([[1], [0], [1], [0]]), np.array([[0.8], [0.7], [0.3], [0.3]])
    ) == pytest.approx(2 * 2.5 / 4 - 1)
    assert math.isnan(normalised_auc(np.zeros((3, 1)), np.ones((3, 1))))
