"""Normalisation and shuffle of rows, and evaluation positions, against NumPy and the documented weights."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from synthenv.worldmodel.paper.prior import transition_rows as rows_of_prior


@pytest.fixture(scope="module")
def rows():
    """Columns of very different means and sizes, some constant, and a constant reward of 1 in the first two worlds."""
    rng = np.random.default_rng(0)
    shape = (6, 1001, 14)
    scale, offset = 10.0 ** rng.uniform(-1, 1.5, (2, 6, 1, 14))
    x, y = (offset + scale * rng.normal(size=(2, *shape))).astype(np.float32)
    x[:, :, 3] = 0.0
    y[:2, :, 13] = 1.0
    mask = np.ones((6, 11), bool)
    return rows_of_prior.Rows(x, y, *[np.ones(6, int)] * 3, mask, mask[:, :3])


def test_normalized_columns_have_mean_0_and_unbiased_deviation_1_or_are_0(rows):
    normal = jax.jit(rows_of_prior.normalize)(rows)
    for raw, z in ((rows.x, normal.x), (rows.y, normal.y)):
        z = np.asarray(z, np.float64)
        constant = np.ptp(raw, axis=1) == 0
        assert 0 < constant.sum() < constant.size
        assert np.all(z[np.broadcast_to(constant[:, None], z.shape)] == 0)
        np.testing.assert_allclose(z.mean(1), 0, atol=2e-5)
        np.testing.assert_allclose(z.std(1, ddof=1)[~constant], 1, atol=1e-4)
    ones = np.asarray(normal.y)[:, :, 13][np.all(rows.y[:, :, 13] == 1, axis=1)]
    assert len(ones) == 2 and np.all(ones == 0)


def test_moments_of_the_context_are_those_of_its_rows_only(rows):
    part = rows._replace(x=rows.x[:, :600], y=rows.y[:, :600])
    found = jax.jit(rows_of_prior.normalize)(rows, jnp.asarray(600))
    expected = jax.jit(rows_of_prior.normalize)(part)
    np.testing.assert_allclose(found.x[:, :600], expected.x, atol=1e-4)
    np.testing.assert_allclose(found.y[:, :600], expected.y, atol=1e-4)
    assert np.all(np.isfinite(found.x)) and np.all(np.isfinite(found.y))


def test_column_constant_in_the_context_only_stays_zero():
    x = np.zeros((1, 10, 14), np.float32)
    x[0, 8:, 0] = 5.0
    mask = np.ones((1, 11), bool)
    rows = rows_of_prior.Rows(x, x, *[np.ones(1, int)] * 3, mask, mask[:, :3])
    assert np.all(np.asarray(rows_of_prior.normalize(rows, 8).x) == 0)
    assert np.asarray(rows_of_prior.normalize(rows).x)[0, 9, 0] > 1


def test_shuffle_is_one_permutation_for_x_y_and_all_environments(rows):
    time = np.broadcast_to(np.arange(1001.0)[None, :, None], (3, 1001, 14))
    marked = rows._replace(x=time, y=time + 0.5)
    shuffled = [jax.jit(rows_of_prior.shuffle)(jax.random.key(i), marked) for i in (0, 1)]
    order = shuffled[0].x[0, :, 0]
    assert sorted(order) == list(range(1001)) and not np.array_equal(order, np.arange(1001))
    np.testing.assert_array_equal(shuffled[0].x, np.broadcast_to(order[None, :, None], time.shape))
    np.testing.assert_array_equal(shuffled[0].y, shuffled[0].x + 0.5)
    assert abs(np.corrcoef(order, np.arange(1001))[0, 1]) < 0.15
    assert not np.array_equal(shuffled[1].x, shuffled[0].x)


def test_eval_positions_have_the_documented_weights():
    keys = jax.random.split(jax.random.key(0), 50_000)
    positions = np.asarray(jax.jit(jax.vmap(rows_of_prior.sample_eval_position))(keys))
    assert positions.min() >= 500 and positions.max() == 999
    weight = (500.0 - np.arange(500)) ** -0.4
    expected = weight.reshape(10, 50).sum(1) / weight.sum()
    np.testing.assert_allclose(np.bincount((positions - 500) // 50) / 50_000, expected, atol=0.008)
    np.testing.assert_allclose(positions.mean(), 809, atol=3)
    np.testing.assert_allclose(np.median(positions), 839, atol=5)
