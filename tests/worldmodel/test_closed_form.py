"""The closed-form experts against universal kriging in NumPy, refitted without each row in turn."""

import jax
import numpy as np
import pytest

from synthenv.worldmodel.regression import closed_form
from synthenv.worldmodel.regression.closed_form import EXPERTS, LENGTH_SCALES, NOISE_LEVELS, ROUNDING, Fit

NUM_ROWS, NUM_INPUTS = 24, 2
CUBIC, RBF1 = EXPERTS.index("cubic"), EXPERTS.index("rbf 1")


@pytest.fixture(scope="module", autouse=True)
def _double():
    with jax.enable_x64(True):
        yield


@pytest.fixture(scope="module")
def solve_all():
    return jax.jit(closed_form.solve_all)


@pytest.fixture(scope="module")
def data():
    """Inputs, and two targets: a linear function, and a noisy bend. The first has 4 rows more than are there."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(NUM_ROWS, NUM_INPUTS))
    bend = np.sin(2 * x[:, 0]) + x[:, 1] ** 2 + 0.1 * rng.normal(size=NUM_ROWS)
    return x, np.stack([0.5 + x @ [2.0, -3.0], bend], axis=1)


@pytest.fixture(scope="module")
def fits(solve_all, data):
    return jax.tree.map(np.asarray, solve_all(*data, np.ones(NUM_ROWS, bool)))


def rbf(a, b, scale):
    return np.exp(-0.5 * np.square(a[:, None] - b[None]).sum(-1) / scale**2)


KERNELS = {
    "cubic": lambda a, b: (1 + a @ b.T / NUM_INPUTS) ** 3,
    **{f"rbf {s:g}": (lambda a, b, s=s: rbf(a, b, s)) for s in LENGTH_SCALES},
}


def krige(kernel, noise, x, y, at):
    """Best linear unbiased prediction with the trend [1, x], and the kernel's coefficients."""
    trend = np.hstack([np.ones((len(x), 1)), x])
    inverse = np.linalg.inv(kernel(x, x) + np.diag(np.broadcast_to(noise, len(x))))
    beta = np.linalg.solve(trend.T @ inverse @ trend, trend.T @ inverse @ y)
    alpha = inverse @ (y - trend @ beta)
    return kernel(at, x) @ alpha + np.hstack([np.ones((len(at), 1)), at]) @ beta, alpha


@pytest.mark.parametrize("name", ["cubic", "rbf 0.5", "rbf 2"])
def test_left_out_residuals_are_those_of_refitting_without_the_row(fits, data, name):
    (x, targets), kernel, at = data, KERNELS[name], EXPERTS.index(name)
    y = targets[:, 1]
    scale = np.diag(kernel(x, x)).mean()
    residuals, errors = [], []
    for level in NOISE_LEVELS:
        noise, others = level * scale, ~np.eye(NUM_ROWS, dtype=bool)
        said = [krige(kernel, noise, x[o], y[o], x[~o])[0][0] for o in others]
        alpha = krige(kernel, noise, x, y, x)[1] * scale
        residuals.append(y - said)
        errors.append(np.mean((y - said) ** 2) + np.sum((ROUNDING * alpha) ** 2))
    best = np.argmin(errors)
    np.testing.assert_allclose(fits.left_out[at, :, 1], residuals[best], rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(fits.error[at, 1], errors[best], rtol=1e-4)
    new = np.random.default_rng(1).normal(size=(5, NUM_INPUTS))
    said = kernel(new, x) @ fits.alpha[at, :, 1] + closed_form.trend_of(new) @ fits.beta[at, :, 1]
    np.testing.assert_allclose(said, krige(kernel, NOISE_LEVELS[best] * scale, x, y, new)[0], atol=1e-5)


def test_the_noise_level_is_chosen_for_every_target(solve_all, data):
    """Two targets at once are each of them alone."""
    x, targets = data
    mask = np.ones(NUM_ROWS, bool)
    noisy = targets[:, 1] + np.random.default_rng(2).normal(size=NUM_ROWS)
    both = solve_all(x, np.stack([targets[:, 1], noisy], axis=1), mask)
    alone = solve_all(x, np.stack([noisy, noisy], axis=1), mask)
    np.testing.assert_allclose(both.left_out[..., 1], alone.left_out[..., 1], atol=1e-9)
    assert (both.error[RBF1, 0] < both.error[RBF1, 1]).item()


def test_masked_rows_have_no_influence(solve_all, data):
    x, targets = data
    mask = np.arange(NUM_ROWS) < 20
    fit = solve_all(x * mask[:, None], targets * mask[:, None], mask)
    short = jax.jit(closed_form.solve_all)(x[:20], targets[:20], mask[:20])
    np.testing.assert_allclose(fit.left_out[:, :20], short.left_out, atol=1e-6)
    np.testing.assert_allclose(fit.alpha[:, :20], short.alpha, rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(fit.beta, short.beta, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(fit.error, short.error, rtol=1e-4, atol=1e-12)
    assert not np.any(fit.alpha[:, 20:]) and not np.any(fit.left_out[:, 20:])


def test_a_linear_function_is_recovered_by_linear(fits):
    assert EXPERTS[0] == "linear"
    np.testing.assert_allclose(fits.beta[0, :, 0], [0.5, 2.0, -3.0], atol=1e-6)
    assert not fits.alpha[0].any() and fits.error[0, 0] < 1e-12
    assert fits.error[0, 1] > 0.1, "a bend is not linear"


def test_counts_divide_the_noise(data):
    """Against kriging with a noise of its own for every row, refitted without each of them."""
    x, targets = data
    y, kernel = targets[:, 1], KERNELS["rbf 1"]
    counts = np.random.default_rng(3).uniform(0.01, 1.0, NUM_ROWS)
    gram, mask = kernel(x, x), np.ones(NUM_ROWS, bool)
    fitted = jax.jit(closed_form.solve)(gram, x, y[:, None], mask, counts)
    noises = np.array(NOISE_LEVELS)[:, None] / counts
    errors, residuals = [], []
    for noise in noises:
        said = []
        for i in range(NUM_ROWS):
            others = np.arange(NUM_ROWS) != i
            said.append(krige(kernel, noise[others], x[others], y[others], x[~others])[0][0])
        alpha = krige(kernel, noise, x, y, x)[1]
        residuals.append(y - said)
        errors.append(np.average(residuals[-1] ** 2, weights=counts) + np.sum((ROUNDING * alpha) ** 2))
    best = np.argmin(errors)
    np.testing.assert_allclose(fitted.left_out[:, 0], residuals[best], rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(fitted.error[0], errors[best], rtol=1e-4)
    np.testing.assert_allclose(fitted.alpha[:, 0], krige(kernel, noises[best], x, y, x)[1], rtol=1e-4)
    assert fitted.error[0] > fitted.rounding[0] > 0.0


def test_best_of_takes_the_least_error_target_by_target():
    error = np.array([[1.0, 5.0], [2.0, 4.0], [3.0, 6.0]])
    parts = [np.arange(3.0)[:, None, None] * np.ones((3, n, 2)) for n in (4, 3, 4)]
    best = closed_form.best_of(Fit(*map(np.asarray, parts), error=error, rounding=error / 10))
    for leaf in best[:3]:
        np.testing.assert_array_equal(leaf, np.broadcast_to([0.0, 1.0], leaf.shape))
    np.testing.assert_array_equal(best.error, [1.0, 4.0])
    np.testing.assert_array_equal(best.rounding, [0.1, 0.4])


def test_typical_errors_are_variances_of_normal_residuals_and_not_those_of_few():
    rng, mask = np.random.default_rng(4), np.arange(20_000) < 16_000
    residuals = 0.1 * rng.normal(size=(2, 20_000)) * mask
    residuals[1, :16] = 5.0  # one in a thousand; the mean square is 0.035
    one, few = closed_form.typical(residuals, mask)
    np.testing.assert_allclose(one, 0.01, rtol=0.05)
    assert one < few < 0.012


def test_errors_nearby_are_those_of_near_rows_and_one_that_stands_for_all():
    left_out = np.array([[[3.0, -3.0, 0.0, 0.0]], [[0.0, 0.0, 1.0, 1.0]]])  # [K, 1, C]
    error = np.array([[1.0], [4.0]])
    near = np.array([[1.0, 1.0, 0.0, 0.0]])
    ratio = np.pi / 2
    expected = ratio * np.square((np.array([[6.0], [0.0]]) + np.sqrt(error / ratio)) / 3)
    np.testing.assert_allclose(closed_form.nearby(left_out, error, near), expected)
    np.testing.assert_allclose(closed_form.nearby(left_out, error, 0 * near), error)


def test_weights_sum_to_one_and_prefer_the_smaller_error():
    error = np.array([[0.1, 0.0, 1e3], [0.01, 0.0, 1e3], [1.0, 1.0, 1e3]])
    weights = closed_form.weights(error)
    np.testing.assert_allclose(weights.sum(axis=0), 1.0)
    assert weights[1, 0] > 0.99 and weights[0, 1] == weights[1, 1] > 0.49
    # A tenth of the error is ten thousand times the weight.
    np.testing.assert_allclose(weights[1, 0] / weights[0, 0], 1e4, rtol=1e-6)
    np.testing.assert_allclose(weights[:, 2], 1 / 3)
