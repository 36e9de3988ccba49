"""Curve surrogates: the latent Kronecker process against a dense one in NumPy, power laws against known ones."""

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from synthenv.selection.surrogates import power_law
from synthenv.selection.surrogates.history import empty
from synthenv.selection.surrogates.latent_kronecker import NOISE_FLOOR, latent_kronecker
from synthenv.selection.surrogates.surrogate import Candidates, Seen
from synthenv.selection.tables import columns
from tests.selection.synthetic_curves import synthetic

META = synthetic()
FEATURES = columns.features(META.columns, META.configs)
CANDIDATES = Candidates(FEATURES, np.zeros(0, np.float32), np.ones(len(FEATURES), bool))
RUNS = [
    (i, step) for step in range(1, 6) for i in range(8) if step <= 1 + i % 5
]  # candidates 8 to 11 are unseen
MAKERS = {"latent_kronecker": latent_kronecker(capacity=40), "power_law": power_law.power_law(capacity=40)}


@pytest.fixture(scope="module", params=MAKERS)
def told(request):
    """A surrogate that was told a part of the first data set, its programs traced once."""
    chex.clear_trace_counter()
    surrogate = MAKERS[request.param]
    params = surrogate.fit(jax.random.key(0), META.subset([1, 2, 3]))
    state = surrogate.start(params, CANDIDATES, META.num_steps)

    @jax.jit
    @chex.assert_max_traces(1)
    def update(params, state, seen):
        return surrogate.update(params, state, seen)

    @jax.jit
    @chex.assert_max_traces(1)
    def forecast(params, state, steps):
        return surrogate.forecast(params, state, steps)

    for i, step in RUNS:
        score = META.curves[i, step - 1]
        state = update(params, state, Seen(np.int32(i), np.int32(step), score, np.float32(3.0)))
    return surrogate.name, params, state, update, forecast


def test_later_scores_are_told_better_than_by_the_last_one(told):
    _, params, state, _, forecast = told
    said = forecast(params, state, np.full(12, META.num_steps, np.int32))
    truth = META.curves[:12, -1]
    last = np.array([META.curves[i, i % 5] for i in range(8)])
    assert np.abs(said.score.mean[:8] - truth[:8]).mean() < 0.5 * np.abs(last - truth[:8]).mean()
    assert np.abs(said.score.mean[8:] - truth[8:]).mean() < 0.5 * np.abs(truth[8:] - last.mean()).mean()
    assert (said.score.std > 0).all() and (said.seconds > 0).all()


def test_a_crash_changes_no_score_and_spoils_nothing(told):
    _, params, state, update, forecast = told
    crashed = update(params, state, Seen(np.int32(9), np.int32(1), np.float32(np.nan), np.float32(3.0)))
    said = forecast(params, crashed, np.full(12, META.num_steps, np.int32))
    before = forecast(params, state, np.full(12, META.num_steps, np.int32))
    assert crashed.history.crashed[9]
    np.testing.assert_allclose(said.score.mean, before.score.mean, atol=0.05)


def test_scores_count_in_units_of_their_range():
    surrogate = MAKERS["latent_kronecker"]

    @jax.jit
    def final(params, score):
        state = surrogate.start(params, CANDIDATES, META.num_steps)
        state = surrogate.update(params, state, Seen(np.int32(0), np.int32(1), score, np.float32(1.0)))
        return surrogate.forecast(params, state, np.full(12, 10, np.int32)).score

    wide = synthetic(low=-100.0, high=300.0)
    narrow, said = (final(surrogate.fit(jax.random.key(0), meta), meta.curves[0, 0]) for meta in (META, wide))
    np.testing.assert_allclose(said.mean, -100 + 400 * narrow.mean, rtol=1e-2)
    np.testing.assert_allclose(said.std, 400 * narrow.std, rtol=1e-2)


@pytest.mark.parametrize("told", ["latent_kronecker"], indirect=True)
def test_the_latent_kronecker_process_is_a_dense_one_with_a_product_kernel(told):
    _, params, state, _, forecast = told
    scales, noise = np.exp(np.float64(state.logs.scales)), NOISE_FLOOR + np.exp(np.float64(state.logs.noise))
    who, step = np.array(RUNS).T
    y = META.curves[who, step - 1].astype(float)

    def kernel(who, step, others, other_steps):
        apart = (FEATURES[who][:, None] - FEATURES[others][None]) * scales[:-1]
        root = np.sqrt(5 * np.square(apart).sum(axis=2))
        times = np.log(step)[:, None] / np.log(10), np.log(other_steps)[None] / np.log(10)
        return (1 + root + root**2 / 3) * np.exp(-root) * np.exp(-scales[-1] * np.abs(times[0] - times[1]))

    asked, asked_steps = np.arange(12), np.full(12, 7)
    inner = kernel(who, step, who, step) + noise * np.eye(len(y))
    crossed, ones = kernel(who, step, asked, asked_steps), np.linalg.solve(inner, np.ones(len(y)))
    usual, weight, usual_signal, signal_weight = map(float, params.belief)
    mean = (ones @ y + weight * usual) / (ones.sum() + weight)
    rest = np.linalg.solve(inner, y - mean)
    misfit = (y - mean) @ rest + weight * (mean - usual) ** 2 + signal_weight * usual_signal
    variance = 1 + noise - np.sum(crossed * np.linalg.solve(inner, crossed), axis=0)
    variance += (1 - ones @ crossed) ** 2 / (ones.sum() + weight)
    said = forecast(params, state, asked_steps.astype(np.int32)).score
    np.testing.assert_allclose(said.mean, mean + crossed.T @ rest, atol=2e-3)
    np.testing.assert_allclose(
        said.component_std[:, 0], np.sqrt(misfit / (len(y) + signal_weight) * variance), rtol=2e-2
    )


def test_power_laws_are_recovered():
    known = np.array([[0.1, 0.2, 0.5], [0.4, 0.1, 1.0], [0.3, 0.3, 0.3]])  # of errors
    features = jnp.eye(3)
    who, step = np.divmod(np.arange(24), 8)
    score = 1 - known[who, 0] - known[who, 1] * ((step + 1) / 10) ** -known[who, 2]
    told = {"candidate": who, "step": step + 1, "score": score.astype(np.float32), "count": 24}
    history = empty(3, 10, 24)._replace(**jax.tree.map(jnp.asarray, told))

    @jax.jit
    def train(key):
        network = power_law._init(key, 3)
        network, _ = power_law._train(key, network, power_law._ADAM.init(network), features, history, 2000)
        final = power_law.curve(network, features, jnp.ones(3))
        return jnp.stack(power_law.constants(network, features), axis=1), final

    found, final = train(jax.random.key(0))
    np.testing.assert_allclose(found, known, atol=0.15)
    np.testing.assert_allclose(final, 1 - known[:, 0] - known[:, 1], atol=0.02)
