"""Kernel ridge regression on places, and mixtures."""

import jax
import jax.numpy as jnp
import numpy as np

from synthenv.selection.surrogates.ranking.kernel_ranking import (
    KernelConfig,
    fit,
    kernel_surrogate,
    left_out_error,
    normal_places,
    stand,
)
from synthenv.selection.surrogates.ranking.ranked_rows import ranked_rows
from synthenv.selection.surrogates.ranking.standing import mixed_surrogate
from synthenv.selection.surrogates.surrogate import Candidates
from synthenv.selection.tables.columns import features
from tests.selection.small_tables import crossing, table


def candidates(meta, described):
    x = jnp.asarray(features(meta.columns, meta.configs))
    return Candidates(x, jnp.asarray(described, jnp.float32), jnp.ones(len(x), bool))


def test_places_are_quantiles_and_ties_share_the_middle():
    meta = table(np.array([[0.5, 0.1, 0.5, 0.9]]), np.ones((1, 1)), [{"x": float(i)} for i in range(4)])
    np.testing.assert_allclose(normal_places(ranked_rows(meta)), [-1.15035, 0.0, 0.0, 1.15035], atol=1e-4)


def test_errors_of_what_is_left_out_are_exact():
    random = np.random.default_rng(0)
    x, target, dataset = (
        random.standard_normal((12, 2)),
        random.standard_normal(12),
        np.repeat(np.arange(3), 4),
    )
    kernel = np.exp(-((x[:, None] - x[None]) ** 2).sum(-1))
    errors = []
    for d in range(3):
        out, others = dataset == d, dataset != d
        weights = np.linalg.solve(kernel[np.ix_(others, others)] + 0.3 * np.eye(8), target[others])
        errors.append((target[out] - kernel[np.ix_(out, others)] @ weights) ** 2)
    np.testing.assert_allclose(left_out_error(kernel, 0.3, target, dataset), np.mean(errors), rtol=1e-6)


def test_it_listens_to_meta_features_where_these_tell_something():
    meta = crossing()
    params = fit(KernelConfig(), jax.random.key(0), meta)
    assert params.likeness.data_share == 1.0
    assert stand(params, candidates(meta, [1.0, 300.0])).mean.argmax() >= 6
    assert stand(params, candidates(meta, [-1.0, 300.0])).mean.argmax() <= 1
    same = np.tile(np.linspace(0.2, 0.8, 8), (12, 1)) + 0.05 * np.random.default_rng(0).standard_normal(
        (12, 8)
    )
    meta = table(same, meta.meta_features, [{"x": float(i)} for i in range(8)])
    assert fit(KernelConfig(), jax.random.key(0), meta).likeness.data_share < 1.0


def test_a_mixture_is_the_mean_of_its_parts():
    meta = crossing()
    parts = [
        kernel_surrogate("one", "", KernelConfig()),
        kernel_surrogate("two", "", KernelConfig(ridges=(50.0,))),
    ]
    mixed = mixed_surrogate("mixed", "", parts)
    params = mixed.fit(jax.random.key(0), meta)
    asked = candidates(meta, [1.0, 300.0])
    means = [part.start(p, asked, 1).mean for part, p in zip(parts, params, strict=True)]
    state = mixed.start(params, asked, 1)
    np.testing.assert_allclose(state.mean, (means[0] + means[1]) / 2, atol=1e-5)
    np.testing.assert_allclose(state.std, jnp.abs(means[0] - means[1]) / 2, atol=1e-4)
