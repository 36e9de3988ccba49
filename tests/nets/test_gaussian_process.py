"""The Gaussian process against closed forms in NumPy, with rows missing, and its slopes by differences."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.stats import multivariate_normal

from synthenv.nets.gaussian_process import exact
from synthenv.nets.gaussian_process.kernels import matern52, rbf, squared_distance
from synthenv.nets.gaussian_process.marginal_likelihood import Belief, condition, slopes

NOISE = 0.05
BELIEF = Belief(*map(np.array, (0.3, 2.0, 0.5, 3.0)))


def rows(num: int, seed: int = 0):
    draws = np.random.default_rng(seed)
    x = draws.normal(size=(num, 2))
    return x, np.sin(x[:, 0]) + 0.1 * draws.normal(size=num)


def kernel_by_hand(a, b):
    root = np.sqrt(5.0) * np.sqrt(np.square(a[:, None] - b[None]).sum(axis=2))
    return (1 + root + root**2 / 3) * np.exp(-root)


def covariance(x) -> jax.Array:
    x = jnp.asarray(x)
    return matern52(squared_distance(x, x)) + NOISE * jnp.eye(len(x), dtype=x.dtype)


@pytest.fixture(params=[False, True], ids=["single", "double"])
def tolerance(request):
    with jax.enable_x64(request.param):
        yield 1e-9 if request.param else 2e-3


def test_kernels_and_their_slopes_at_no_distance():
    squares = np.square(np.linspace(0.0, 3.0, 7))
    root = np.sqrt(5 * squares)
    np.testing.assert_allclose(matern52(squares), (1 + root + root**2 / 3) * np.exp(-root), rtol=1e-5)
    np.testing.assert_allclose(rbf(squares, 2.0), np.exp(-squares / 8), rtol=1e-5)
    assert float(jax.grad(matern52)(0.0)) == pytest.approx(-5 / 6)
    with jax.enable_x64(True):
        expected = (matern52(0.7 + 1e-6) - matern52(0.7 - 1e-6)) / 2e-6
        assert float(jax.grad(matern52)(0.7)) == pytest.approx(float(expected), rel=1e-6)


def test_posterior_and_likelihood_by_hand_whatever_stands_in_masked_rows(tolerance):
    (x, y), (asked, _) = rows(12), rows(5, 1)
    mask = np.ones(12, bool)
    mask[[0, 4, 11]] = False
    inner = kernel_by_hand(x[mask], x[mask]) + NOISE * np.eye(9)
    crossed = kernel_by_hand(x[mask], asked)
    mean = crossed.T @ np.linalg.solve(inner, y[mask])
    variance = 1.0 - np.sum(crossed * np.linalg.solve(inner, crossed), axis=0)
    likelihood = multivariate_normal(np.zeros(9), inner).logpdf(y[mask])

    @jax.jit
    def solve(x, y):
        there, asked_ = jnp.asarray(mask), jnp.asarray(asked)
        factor = exact.cholesky(exact.masked(covariance(x), there))
        crossed = matern52(squared_distance(x, asked_))
        said = exact.predict(factor, y, there, crossed, jnp.ones(5))
        return said, exact.log_likelihood(covariance(x), y, there)

    for junk in (0.0, 1e3, np.nan):
        x[~mask], y[~mask] = junk, junk
        said, found = solve(jnp.asarray(x), jnp.asarray(y))
        np.testing.assert_allclose(said.mean, mean, atol=tolerance)
        np.testing.assert_allclose(said.variance, variance, atol=tolerance)
        assert float(found) == pytest.approx(likelihood, abs=10 * tolerance)


def test_slopes_go_through_a_feature_extractor_and_masks():
    x, y = rows(10)
    mask = np.arange(10) % 4 != 0

    @jax.jit
    @jax.value_and_grad
    def likelihood(weights, x, y, mask):
        return exact.log_likelihood(covariance(jnp.tanh(x @ weights)), y - weights[0, 0], mask)

    weights = np.array([[0.4, -0.2, 0.9], [0.3, 1.1, -0.5]])
    expected = np.zeros((2, 3))
    with jax.enable_x64(True):
        found = likelihood(weights, x, y, mask)[1]
        for at in np.ndindex(2, 3):
            step = np.zeros((2, 3))
            step[at] = 1e-5
            values = [likelihood(weights + sign * step, x, y, mask)[0] for sign in (1, -1)]
            expected[at] = (values[0] - values[1]) / 2e-5
        several = jax.vmap(likelihood, in_axes=(0, None, None, None))(np.stack([weights]), x, y, mask)[1]
    np.testing.assert_allclose(found, expected, rtol=1e-6)
    np.testing.assert_allclose(several[0], found, rtol=1e-9)


def test_jitter_is_added_only_where_it_is_needed_and_as_little_as_does():
    x = np.repeat(rows(6)[0], 2, axis=0).astype(np.float32)
    singular = rbf(squared_distance(x, x), 3.0)
    assert np.isnan(np.linalg.norm(jnp.linalg.cholesky(singular)))
    factors = jax.jit(jax.vmap(exact.cholesky))(jnp.stack([singular, singular + 0.1 * jnp.eye(12)]))
    added = np.diag(factors[0] @ factors[0].T - singular)
    assert np.isfinite(factors).all() and 0 < added.mean() < 1e-4
    np.testing.assert_array_equal(factors[1], jnp.linalg.cholesky(singular + 0.1 * jnp.eye(12)))
    assert np.isnan(exact.cholesky(-jnp.eye(3))).any(), "no jitter makes a negative variance positive"


def test_mean_and_signal_given_a_belief_are_those_of_rows_that_say_the_same():
    x, y = rows(9)
    mask = np.arange(9) < 7
    inner = kernel_by_hand(x[:7], x[:7]) + NOISE * np.eye(7)
    ones = np.linalg.solve(inner, np.ones(7))
    mean = (ones @ y[:7] + 2.0 * 0.3) / (ones.sum() + 2.0)
    rest = np.linalg.solve(inner, y[:7] - mean)
    signal = ((y[:7] - mean) @ rest + 2.0 * (mean - 0.3) ** 2 + 3.0 * 0.5) / 10.0

    @jax.jit
    def solve(x, y, mask, belief):
        return condition(exact.cholesky(exact.masked(covariance(x), mask)), y, mask, belief)

    with jax.enable_x64(True):
        found = solve(x, y, mask, BELIEF)
    np.testing.assert_allclose(found.alpha, np.append(rest, [0, 0]), atol=1e-9)
    np.testing.assert_allclose([found.mean, found.signal], [mean, signal], rtol=1e-9)


def test_slopes_of_the_profiled_likelihood_by_differences():
    x, y = rows(9)
    mask = np.arange(9) != 3

    @jax.jit
    def both(log_scale, x, y, mask):
        def covariance_of(log_scale):
            return exact.masked(covariance(x * jnp.exp(log_scale)[None]), mask)

        factor = exact.cholesky(covariance_of(log_scale))
        posterior = condition(factor, y, mask, BELIEF)
        misfit = 0.5 * (8 + 3) * jnp.log(posterior.signal) + jnp.sum(jnp.log(jnp.diag(factor)))
        return misfit, slopes(log_scale, covariance_of, posterior)

    at = np.array([0.2, -0.3])
    with jax.enable_x64(True):
        _, found = both(at, x, y, mask)
        steps = 1e-5 * np.eye(2)
        expected = [
            (both(at + step, x, y, mask)[0] - both(at - step, x, y, mask)[0]) / 2e-5 for step in steps
        ]
    np.testing.assert_allclose(found, expected, rtol=1e-5)
