"""Objectives by hand."""

import jax.numpy as jnp
import pytest

from synthenv.core.types import Curve, TrainResult
from synthenv.outer.objectives import make_objective

CURVE = Curve(returns=jnp.array([10.0, 30.0, 50.0, 0.0]), steps=jnp.array([5, 7, 17, 0]))
TRAINED = TrainResult((), jnp.int32(17), jnp.int32(3), jnp.bool_(False), CURVE)
RETURNS = jnp.array([40.0, 60.0])


def test_max_reward():
    assert make_objective("max_reward", 55.0, 100.0)(TRAINED, RETURNS) == 50.0


@pytest.mark.parametrize(("solved", "wanted"), [(55.0, -17.0 - 100 * 5), (50.0, -17.0), (20.0, -17.0)])
def test_reward_threshold(solved, wanted):
    """17 steps, and 100 for every point that the mean return of 50 lacks."""
    assert make_objective("reward_threshold", solved, 100.0)(TRAINED, RETURNS) == wanted


def test_auc():
    """5 steps before the return of 10, 2 before 30, 10 before 50; a test that was never made counts nothing."""
    assert make_objective("auc", 55.0, 100.0)(TRAINED, RETURNS) == 5 * 10 + 2 * 30 + 10 * 50


def test_auc_needs_tests():
    with pytest.raises(ValueError, match="set agent"):
        make_objective("auc", 55.0, 100.0)(TRAINED._replace(curve=None), RETURNS)


def test_unknown():
    with pytest.raises(ValueError, match="unknown objective"):
        make_objective("speed", 55.0, 100.0)  # type: ignore[arg-type]
