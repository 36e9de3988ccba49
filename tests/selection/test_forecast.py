"""Distributions of scores against sampling and against each other."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.stats import norm

from synthenv.selection.forecast import Histogram, Normal

EDGES = jnp.linspace(0.0, 1.0, 201)


def normal() -> Normal:
    return Normal(jnp.asarray([0.3, 0.5, 0.6]), jnp.asarray([0.05, 0.1, 0.02]))


def histogram() -> Histogram:
    """The same three, cut into bins."""
    said = normal()
    shares = np.diff(
        norm.cdf(np.asarray(EDGES)[None], np.asarray(said.mean)[:, None], np.asarray(said.std)[:, None])
    )
    return Histogram(jnp.log(jnp.asarray(shares) + 1e-30), EDGES)


@pytest.mark.parametrize("said", [normal(), histogram()], ids=["normal", "histogram"])
def test_answers_agree_with_samples(said):
    draws = jax.vmap(said.sample)(jax.random.split(jax.random.key(0), 20_000))
    np.testing.assert_allclose(draws.mean(0), said.mean, atol=3e-3)
    np.testing.assert_allclose(draws.std(0), said.std, atol=3e-3)
    best = jnp.asarray(0.52)
    np.testing.assert_allclose(
        jnp.maximum(draws - best, 0.0).mean(0), said.expected_improvement(best), atol=2e-3
    )
    np.testing.assert_allclose((draws > best).mean(0), said.probability_above(best), atol=0.02)


def test_a_histogram_of_fine_bins_is_what_it_was_cut_from():
    coarse, exact = histogram(), normal()
    np.testing.assert_allclose(coarse.mean, exact.mean, atol=1e-4)
    np.testing.assert_allclose(coarse.std, exact.std, atol=1e-3)
    for best in (0.1, 0.52, 0.9):
        np.testing.assert_allclose(
            coarse.expected_improvement(jnp.asarray(best)),
            exact.expected_improvement(jnp.asarray(best)),
            atol=2e-4,
        )
    scores = jnp.asarray([0.31, 0.45, 0.61])
    np.testing.assert_allclose(coarse.log_density(scores), exact.log_density(scores), atol=0.1)


def test_a_threshold_within_a_bin_cuts_it():
    said = Histogram(jnp.zeros((1, 2)), jnp.asarray([0.0, 1.0, 3.0]))
    np.testing.assert_allclose(said.probability_above(jnp.asarray(2.0)), [0.25])
    np.testing.assert_allclose(said.expected_improvement(jnp.asarray(2.0)), [0.5 * 0.5 * 0.5])
    np.testing.assert_allclose(said.expected_improvement(jnp.asarray(-1.0)), [0.5 * 1.5 + 0.5 * 3.0])


def test_what_is_certain_improves_by_its_difference():
    said = Normal(jnp.asarray([0.4, 0.6]), jnp.zeros(2))
    np.testing.assert_allclose(said.expected_improvement(jnp.asarray(0.5)), [0.0, 0.1], atol=1e-7)
