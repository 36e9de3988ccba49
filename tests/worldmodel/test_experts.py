"""All experts of a context: what masks do, and which inputs and rows matter."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from synthenv.nets.gaussian_process.sign_steps import Logs, next_size
from synthenv.worldmodel.experts import ensemble, relevance, robust
from synthenv.worldmodel.regression.closed_form import EXPERTS, LENGTH_SCALES

NUM_ROWS, NUM_INPUTS = 60, 4
RBFS = [EXPERTS.index(f"rbf {scale:g}") for scale in LENGTH_SCALES]
RELEVANCE, ROBUST = EXPERTS.index("relevance"), EXPERTS.index("robust")
fit = jax.jit(ensemble.fit)
predict_all = jax.jit(jax.vmap(ensemble.predict, (None, 0)))


@pytest.fixture(scope="module", autouse=True)
def _double():
    with jax.enable_x64(True):
        yield


def truth(x):
    """One target turns with x0 + x1, the other depends on x2 alone."""
    return np.stack([np.sin(2 * (x[:, 0] + x[:, 1])), np.cos(3 * x[:, 2])], axis=1)


@pytest.fixture(scope="module")
def inputs():
    return np.random.default_rng(0).normal(size=(NUM_ROWS, NUM_INPUTS))


@pytest.fixture(scope="module")
def fitted(inputs):
    return fit(inputs, truth(inputs), np.ones(NUM_ROWS, bool))


def test_relevance_gives_the_larger_scale_to_the_input_that_matters(fitted):
    assert fitted.square_scales.shape == (2, 2, NUM_INPUTS)
    both, alone = np.sqrt(fitted.square_scales[0])
    assert alone[2] > 3 * np.delete(alone, 2).max()
    assert both[:2].min() > 3 * both[2:].max()


def test_relevance_needs_fewer_rows_than_isotropic_kernels(fitted):
    x = np.random.default_rng(1).normal(size=(100, NUM_INPUTS))
    error = np.mean((np.asarray(predict_all(fitted, x)) - truth(x)[:, None]) ** 2, axis=0)  # [K, Y]
    assert error[RELEVANCE, 1] < 0.2 * error[RBFS, 1].min()


def test_robust_lets_go_of_the_rows_that_follow_another_law():
    """One row in eight is set to 3, as by a wall: the others are foreseen as if those were not there."""
    inputs = np.random.default_rng(0).normal(size=(200, NUM_INPUTS))
    y, stuck = np.sin(inputs[:, :1]), np.arange(200) % 8 == 0
    fitted = fit(inputs, np.where(stuck[:, None], 3.0, y), np.ones(200, bool))
    x = np.random.default_rng(1).normal(size=(100, NUM_INPUTS))
    error = np.median(np.abs(np.asarray(predict_all(fitted, x))[..., 0] - np.sin(x[:, :1])), axis=0)  # [K]
    assert error[ROBUST] < 0.003 and np.delete(error, ROBUST).min() > 0.1
    left_out = np.abs(fitted.fits.left_out[ROBUST, :, 0])
    assert left_out[stuck].min() > 1.0, "what the stuck rows missed is told as it is"
    assert np.median(left_out[~stuck]) < 0.02


def test_rows_count_by_how_far_they_were_missed():
    """A row at the constant of Holland and Welsch counts half; rows that are not there change nothing."""
    sizes = np.array([0.0, -1.0, 1.0, 2.385 / 0.6745, 1e9, 0.0, 0.0])
    counts = np.asarray(robust.counts_of(sizes, np.arange(7) < 5))
    np.testing.assert_allclose(counts[[0, 3]], [1.0, 0.5], rtol=1e-5)
    assert counts[1] == counts[2] and 0.8 < counts[1] < 1.0 and counts[4] == 1e-6
    np.testing.assert_array_equal(counts[5:], 1.0)


def test_robust_is_exact_where_nothing_is_missed(inputs):
    """A plane is foreseen exactly: counts by residuals that are round-off do no harm."""
    plane = inputs @ np.ones((NUM_INPUTS, 2))
    fits = fit(inputs, plane, np.ones(NUM_ROWS, bool)).fits
    assert np.abs(fits.left_out[ROBUST]).max() < 1e-6


def test_leave_one_out_errors_tell_how_wrong_predictions_are(fitted):
    """The kernels' errors, which choose nothing but a noise level, are those on new inputs within a factor of three."""
    x = np.random.default_rng(2).normal(size=(300, NUM_INPUTS))
    error = np.mean((np.asarray(predict_all(fitted, x)) - truth(x)[:, None]) ** 2, axis=0)
    ratio = error[RBFS] / np.asarray(fitted.fits.error)[RBFS]
    assert (ratio > 1 / 3).all() and (ratio < 3).all()


def test_masked_rows_have_no_influence(inputs):
    mask = np.arange(NUM_ROWS) < 40
    results = []
    for filler in (0.0, 7.0, -3.0):
        x = np.where(mask[:, None], inputs, filler)
        y = np.where(mask[:, None], truth(inputs), 10 * filler)
        results.append(predict_all(fit(x, y, mask), inputs[:20]))
    np.testing.assert_array_equal(results[0], results[1])
    np.testing.assert_array_equal(results[0], results[2])


def test_columns_that_are_not_in_use_change_nothing(inputs):
    """Two of four are in use: the pretrained model's contexts are padded, a task's are not."""
    used = np.arange(NUM_INPUTS) < 2
    y = np.stack([np.sin(inputs[:, 0]), inputs[:, 0] * inputs[:, 1]], axis=1)
    mask = np.ones(NUM_ROWS, bool)
    padded, narrow = fit(inputs * used, y, mask), fit(inputs[:, :2], y, mask)
    asked = inputs[:20] * used
    said = predict_all(padded, asked), predict_all(narrow, asked[:, :2])
    for k in range(len(EXPERTS)):
        np.testing.assert_allclose(padded.fits.left_out[k], narrow.fits.left_out[k], atol=1e-4)
        np.testing.assert_allclose(said[0][:, k], said[1][:, k], atol=1e-4)
    np.testing.assert_allclose(padded.fits.beta[:, 3:], 0.0, atol=1e-4)


@pytest.fixture(scope="module")
def small():
    """Logs, inputs, target and mask of a small likelihood."""
    rng = np.random.default_rng(3)
    x = rng.normal(size=(12, 2))
    logs = Logs(np.array([0.2, -0.5]), np.asarray(-2.0))
    return logs, x, np.sin(x[:, 0]) + 0.1 * rng.normal(size=12), np.arange(12) < 10


COUNTS = np.linspace(0.2, 1.0, 12)


def restricted(logs, x, y):
    """-2 ln of the restricted likelihood with the signal's variance profiled out, less constants, by its definition."""
    scaled = x * np.exp(logs.scales)
    covariance = np.exp(-0.5 * np.square(scaled[:, None] - scaled[None]).sum(-1))
    covariance += np.exp(logs.noise) * np.diag(1 / COUNTS[: len(x)])
    trend = np.hstack([np.ones((len(x), 1)), x])
    inverse = np.linalg.inv(covariance)
    normal = trend.T @ inverse @ trend
    rest = y - trend @ np.linalg.solve(normal, trend.T @ inverse @ y)
    freedom = len(x) - trend.shape[1]
    spread = freedom * np.log(rest @ inverse @ rest)
    return spread + np.linalg.slogdet(covariance)[1] + np.linalg.slogdet(normal)[1]


def test_misfit_is_the_restricted_likelihood(small):
    logs, x, y, mask = small
    other = Logs(logs.scales + np.array([0.5, -0.3]), logs.noise + 1.0)
    misfit = jax.jit(relevance._misfit)
    np.testing.assert_allclose(
        misfit(other, x, y, mask, COUNTS) - misfit(logs, x, y, mask, COUNTS),
        0.5 * (restricted(other, x[mask], y[mask]) - restricted(logs, x[mask], y[mask])),
        rtol=1e-5,
    )


def test_slopes_of_the_misfit_are_finite_differences(small):
    logs, x, y, mask = small
    slopes = jax.jit(jax.grad(relevance._misfit))(logs, x, y, mask, COUNTS)
    eps = 1e-5
    for i in range(2):
        move = eps * np.eye(2)[i]
        rise = restricted(logs._replace(scales=logs.scales + move), x[mask], y[mask])
        rise -= restricted(logs._replace(scales=logs.scales - move), x[mask], y[mask])
        np.testing.assert_allclose(slopes.scales[i], rise / (4 * eps), rtol=1e-4)
    rise = restricted(logs._replace(noise=logs.noise + eps), x[mask], y[mask])
    rise -= restricted(logs._replace(noise=logs.noise - eps), x[mask], y[mask])
    np.testing.assert_allclose(slopes.noise, rise / (4 * eps), rtol=1e-4)


def test_steps_grow_while_the_slope_keeps_its_sign():
    step = partial(next_size, jnp.array(0.3), rules=relevance._RULES)
    assert step(jnp.array(1.0), jnp.array(2.0)) > step(jnp.array(1.0), jnp.array(0.0)) == jnp.array(0.3)
    assert step(jnp.array(1.0), jnp.array(-2.0)) == jnp.array(0.15)
