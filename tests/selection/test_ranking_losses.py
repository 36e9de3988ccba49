"""The losses of ZAP against values computed by hand."""

import math

import jax.numpy as jnp
import pytest

from synthenv.selection.surrogates.ranking.losses import Told, bpr, pair_weight, regression, triplet


def told(output, score, rank) -> Told:
    return Told(*(jnp.asarray([x], jnp.float32) for x in (output, score, rank)))


WORSE, ANCHOR, BETTER = told(0.5, 0.1, 1.0), told(1.0, 0.4, 0.5), told(-1.0, 0.9, 0.0)


def softplus(x: float) -> float:
    return math.log1p(math.exp(x))


def test_bpr_by_hand():
    # anchor over worse: softplus(.5 - 1); better over anchor: softplus(1 + 1); better over worse: softplus(.5 + 1)
    expected = (softplus(-0.5) + softplus(2.0) + softplus(1.5)) / 3
    assert bpr("none", WORSE, ANCHOR, BETTER) == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize(
    ("weighting", "weights"),
    [
        ("none", (1.0, 1.0, 1.0)),
        ("v0", (math.exp(-0.09), math.exp(-0.25), math.exp(-0.64))),
        ("v1", (0.09, 0.25, 0.64)),
        ("v0_rank", (math.exp(-0.25), math.exp(-0.25), math.exp(-1.0))),
        ("v1_rank", (0.25, 0.25, 1.0)),
    ],
)
def test_weightings_by_hand(weighting, weights):
    pairs = ((WORSE, ANCHOR), (ANCHOR, BETTER), (WORSE, BETTER))
    assert [float(pair_weight(weighting, *pair)[0]) for pair in pairs] == pytest.approx(weights, rel=1e-5)
    losses = (softplus(-0.5), softplus(2.0), softplus(1.5))
    expected = sum(w * loss for w, loss in zip(weights, losses, strict=True)) / 3
    assert bpr(weighting, WORSE, ANCHOR, BETTER) == pytest.approx(expected, rel=1e-5)


def test_missing_partners_do_not_count():
    # The best run of a data set is its own better one: only the pair with the worse one is left, twice.
    expected = softplus(0.5 - -1.0)
    assert bpr("none", WORSE, BETTER, BETTER) == pytest.approx(expected, rel=1e-6)
    # A data set of one run says nothing.
    assert bpr("none", ANCHOR, ANCHOR, ANCHOR) == 0.0
    assert triplet(WORSE, BETTER, BETTER) == 0.0


def test_triplet_by_hand():
    # |1 - -1| - |1 - .5| + 1
    assert triplet(WORSE, ANCHOR, BETTER) == pytest.approx(2.5)


def test_regression_by_hand():
    said, target = jnp.array([1.0, 0.0]), jnp.array([0.0, 2.0])
    assert regression(said, target) == pytest.approx(2.5)
    assert regression(said, target, jnp.array([0.0, 1.0])) == pytest.approx((1 + 4 * math.exp(-1)) / 2)
