"""Score transformations: against a NumPy transcription of the released code's, and by known numbers."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from synthenv.core.errors import UserError
from synthenv.outer.fitness_shaping import SHAPINGS, shape

N = 16
NAMES = sorted(SHAPINGS)
RANDOM = np.random.default_rng(0).normal(100.0, 50.0, N).astype(np.float32)
CASES = {
    "random": (RANDOM, 100.0),
    "negative": (RANDOM - 500.0, -400.0),
    "ties": (np.random.default_rng(1).integers(9, 13, N).astype(np.float32), 10.0),
    "all equal": (np.full(N, 7.0, np.float32), 3.0),
    "all equal the baseline": (np.full(N, 7.0, np.float32), 7.0),
    "baseline above all": (RANDOM, 1000.0),
}


def reference(name, s, b):
    """The transformations as tabulated from the released code, in float64."""
    s, b, n = s.astype(np.float64), float(b), len(s)
    ascending = np.argsort(np.argsort(s, kind="stable"), kind="stable")
    utility = np.maximum(0.0, np.log(n / 2 + 1) - np.log(n - ascending))
    utility /= utility.sum()
    better = s > b + 1e-6
    gain = np.array([(x - b) / (s.max() - b + 1e-9) if x > b + 1e-6 else 0.0 for x in s])
    best = np.eye(n)[s.argmax()]
    return {
        "linear": (s - s.min()) / (s.max() - s.min() + 1e-9),
        "rank": ascending / (n - 1),
        "nes": (utility - 1 / n) / (utility - 1 / n).max(),
        "nes_unnormalized": utility / utility.max(),
        "single_best": best,
        "single_better": best * better.any(),
        "all_better_1": gain / gain.max() if better.any() else gain,
        "all_better_2": gain / gain.sum() if better.any() else gain,
    }[name]


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("name", NAMES)
def test_equals_transcription(name, case):
    """Every transformation equals the table, whatever the scores."""
    scores, baseline = CASES[case]
    weights = shape(name, jnp.asarray(scores), jnp.float32(baseline))
    np.testing.assert_allclose(weights, reference(name, scores, baseline), rtol=2e-5, atol=1e-6)


@pytest.mark.parametrize("name", NAMES)
def test_not_finite_ranks_last_and_weighs_nothing(name):
    """NaN and both infinities: the others weigh what they would if three members had been far worse than all."""
    bad, scores, replaced = [2, 5, 11], RANDOM.copy(), RANDOM.copy()
    scores[bad] = [np.nan, np.inf, -np.inf]
    replaced[bad] = np.delete(RANDOM, bad).min() - (0 if name == "linear" else 1e6)
    wanted = reference(name, replaced, 90.0)
    wanted[bad] = 0.0
    weights = shape(name, jnp.asarray(scores), jnp.float32(90.0))
    np.testing.assert_allclose(weights, wanted, rtol=2e-5, atol=1e-6)


def test_diverged_member_gains_nothing_where_the_worst_beats_the_incumbent():
    """Scores 5 and 3 over a baseline of 1 gain 1 and a half; of the third one nothing is known."""
    scores, baseline = jnp.array([5.0, 3.0, jnp.nan]), jnp.float32(1.0)
    np.testing.assert_allclose(shape("all_better_1", scores, baseline), [1.0, 0.5, 0.0], rtol=1e-6)
    np.testing.assert_allclose(shape("all_better_2", scores, baseline), [2 / 3, 1 / 3, 0.0], rtol=1e-6)


@pytest.mark.parametrize("baseline", [np.nan, np.inf, -np.inf, -50.0, 50.0])
@pytest.mark.parametrize("name", NAMES)
def test_a_population_that_diverged_beats_nobody(name, baseline):
    """Whatever the incumbent scored: all weights are 0."""
    for bad in (np.nan, np.inf, -np.inf):
        weights = shape(name, jnp.full(N, bad, jnp.float32), jnp.float32(baseline))
        np.testing.assert_array_equal(weights, 0.0)


@pytest.mark.parametrize("baseline", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("name", NAMES)
def test_baseline_that_is_not_finite_counts_as_worst(name, baseline):
    """Finite scores weigh what they would with an incumbent as bad as the worst of them."""
    weights = shape(name, jnp.asarray(RANDOM), jnp.float32(baseline))
    np.testing.assert_allclose(weights, reference(name, RANDOM, RANDOM.min()), rtol=2e-5, atol=1e-6)


def test_baseline_of_nan_counts_as_worst():
    """If the incumbent diverged, everyone who did better than the worst gains."""
    np.testing.assert_allclose(
        shape("all_better_1", jnp.array([3.0, 1.0, 2.0]), jnp.float32(jnp.nan)), [1.0, 0.0, 0.5]
    )


def test_nes_unnormalized_numbers():
    """The top half of 16 weighs 1, .685, .5, .369, .268, .185, .114, .054; the sum is 3.17, the norm 1.41."""
    weights = np.asarray(shape("nes_unnormalized", -jnp.arange(16.0), jnp.float32(0)))  # best first
    np.testing.assert_allclose(weights[:8], [1.0, 0.685, 0.5, 0.369, 0.268, 0.185, 0.114, 0.054], atol=6e-4)
    np.testing.assert_array_equal(weights[8:], 0.0)
    assert weights.sum() == pytest.approx(3.17, abs=6e-3)
    assert np.linalg.norm(weights) == pytest.approx(1.41, abs=6e-3)


def test_all_better_by_hand():
    """Gains 0, 1, 3 over a baseline of 2: scaled to a maximum or to a sum of 1."""
    scores, baseline = jnp.array([2.0, 3.0, 5.0, -9.0]), jnp.float32(2.0)
    np.testing.assert_allclose(shape("all_better_1", scores, baseline), [0, 1 / 3, 1, 0], rtol=1e-6)
    np.testing.assert_allclose(shape("all_better_2", scores, baseline), [0, 0.25, 0.75, 0], rtol=1e-6)


def test_single_best_takes_the_first():
    """Of two best members only the first has weight."""
    np.testing.assert_array_equal(shape("single_best", jnp.array([1.0, 4.0, 4.0]), jnp.float32(9)), [0, 1, 0])


def test_unknown_name():
    """The message names the culprit and the choices."""
    with pytest.raises(
        UserError, match=r"^unknown score transformation 'better_all'.*all_better_2; one of your own"
    ):
        shape("better_all", jnp.zeros(3), jnp.float32(0))


def test_under_jit():
    """Traced scores give the same weights."""
    weights = jax.jit(shape, static_argnums=0)("nes", jnp.asarray(RANDOM), jnp.float32(0))
    np.testing.assert_allclose(weights, shape("nes", jnp.asarray(RANDOM), jnp.float32(0)), rtol=1e-5)
