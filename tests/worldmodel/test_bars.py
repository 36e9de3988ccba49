"""The bars against numerical integration, tails included."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from synthenv.worldmodel.small import bar_distribution

LOGITS = np.stack(
    [
        bar_distribution.first_logits(),
        np.random.default_rng(0).normal(size=bar_distribution.NUM_BARS).astype(np.float32),
        np.where(np.arange(bar_distribution.NUM_BARS) == bar_distribution.NUM_BARS - 1, 2.0, 0.0).astype(
            np.float32
        ),
    ]
)


@pytest.fixture(scope="module")
def grid():
    """Midpoints and widths: each bar in 200 parts, the tails in parts that grow, as far as 1e5."""
    tail = np.concatenate([[0.0], np.geomspace(1e-3, 1e5, 8000)])
    inside = np.concatenate(
        [np.linspace(a, b, 201)[:-1] for a, b in itertools.pairwise(bar_distribution.BORDERS)]
    )
    edges = np.concatenate(
        [bar_distribution.BORDERS[0] - tail[::-1], inside[1:], bar_distribution.BORDERS[-1] + tail]
    )
    return (edges[1:] + edges[:-1]) / 2, np.diff(edges)


@pytest.fixture(scope="module")
def density(grid):
    """[3, N]"""
    at_all = jax.jit(jax.vmap(jax.vmap(bar_distribution.log_density, (None, 0)), (0, None)))
    return np.exp(np.asarray(at_all(LOGITS, grid[0].astype(np.float32)), np.float64))


def test_the_density_integrates_to_one(density, grid):
    np.testing.assert_allclose(density @ grid[1], 1.0, rtol=1e-4)


def test_the_mean_square_is_that_of_the_density(density, grid):
    x, width = grid
    np.testing.assert_allclose(bar_distribution.rms(LOGITS), np.sqrt(density @ (x**2 * width)), rtol=5e-3)


def test_a_border_belongs_to_the_bar_above_it():
    shares = np.exp(LOGITS[1]) / np.exp(LOGITS[1]).sum()
    widths = np.diff(bar_distribution.BORDERS)
    said = np.exp(jax.vmap(lambda x: bar_distribution.log_density(LOGITS[1], x))(bar_distribution.BORDERS))
    np.testing.assert_allclose(said[:-1], shares[1:-1] / widths, rtol=1e-5)
    tail = bar_distribution.TAIL_POWER / bar_distribution.TAIL_SCALE
    np.testing.assert_allclose(said[-1], shares[-1] * tail, rtol=1e-5)
    below = np.exp(bar_distribution.log_density(LOGITS[1], jnp.float32(bar_distribution.BORDERS[0] - 6.0)))
    np.testing.assert_allclose(below, shares[0] * tail / 2**4, rtol=1e-5)


def test_batches_of_logits_are_one_by_one():
    x = jnp.array([-7.0, 0.01, 100.0])
    together = bar_distribution.log_density(jnp.asarray(LOGITS), x)
    np.testing.assert_allclose(
        together, [bar_distribution.log_density(LOGITS[i], x[i]) for i in range(3)], rtol=1e-6
    )
    gradient = jax.grad(lambda logits: jnp.sum(bar_distribution.log_density(logits, x)))(jnp.asarray(LOGITS))
    # What one bar gains the others lose, by their shares: log density less the sum of all shares.
    shares, bar = np.exp(LOGITS) / np.exp(LOGITS).sum(axis=1, keepdims=True), np.zeros_like(LOGITS)
    for row, place in enumerate(np.searchsorted(bar_distribution.BORDERS, np.asarray(x), side="right")):
        bar[row, place] = 1.0
    np.testing.assert_allclose(gradient, bar - shares, atol=1e-5)


def test_first_logits_are_a_laplace_distribution(density, grid):
    shares = np.exp(bar_distribution.first_logits())
    np.testing.assert_allclose(shares.sum(), 1.0, rtol=1e-4)
    np.testing.assert_allclose(shares, shares[::-1], rtol=1e-2, atol=1e-6)
    inner = np.abs(grid[0]) < bar_distribution.BORDERS[-7]
    np.testing.assert_allclose(
        density[0, inner] @ grid[1][inner], 1 - np.exp(-2 * bar_distribution.BORDERS[-7]), rtol=1e-3
    )
