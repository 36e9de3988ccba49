"""Quick-Tune's deep kernel and the searches that ask it."""

import dataclasses

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from synthenv.selection.search.freeze_thaw import FreezeThawConfig, freeze_thaw
from synthenv.selection.search.simulate import Limits, Task, regret_at, simulate
from synthenv.selection.surrogates import deep_kernel, quick_tune, quick_tune_training
from synthenv.selection.surrogates.deep_kernel import DeepKernelConfig, Points, Process
from synthenv.selection.surrogates.inputs import measure
from synthenv.selection.surrogates.surrogate import Candidates, Seen
from synthenv.selection.tables import columns
from synthenv.selection.tables.meta_dataset import MetaDataset

TINY = DeepKernelConfig(width=16, num_coordinates=8, num_iterations=500, batch_size=32, learning_rate=3e-3)
NUM_STEPS = 6


def rising(num_datasets: int = 6, num_configs: int = 12) -> MetaDataset:
    """Curves that rise towards an end which x tells, the same on all data sets; large x is cheap."""
    x = np.linspace(0.0, 1.0, num_configs)
    configs = [{"x": float(v)} for v in x]
    cols = columns.columns_of(configs)
    end = 0.2 + 0.7 * np.sin(np.pi * x)
    steps = 1.0 - 0.5 ** np.arange(1, NUM_STEPS + 1)
    curves = np.tile(end[:, None] * steps, (num_datasets, 1))
    costs = np.tile(np.exp(2.0 - 3.0 * x)[:, None], (num_datasets, NUM_STEPS))
    dataset, config = np.divmod(np.arange(len(curves)), num_configs)
    return MetaDataset(
        datasets=tuple(f"data{i}" for i in range(num_datasets)),
        columns=cols,
        config_names=tuple(f"config{i}" for i in range(num_configs)),
        configs=columns.stored(cols, configs),
        dataset_of=dataset.astype(np.int32),
        config_of=config.astype(np.int32),
        curves=(100.0 * curves).astype(np.float32),
        costs=costs.astype(np.float32),
        crashed=np.zeros(len(curves), bool),
        meta_names=("size",),
        meta_features=np.geomspace(10, 1e5, num_datasets)[:, None].astype(np.float32),
        score_range=(0.0, 100.0),
    )


def task_of(meta: MetaDataset, d: int) -> Task:
    pools = meta.pools()
    features = columns.features(meta.columns, meta.configs)
    candidates = Candidates(
        jnp.asarray(features[pools.config[d]]), jnp.asarray(meta.meta_features[d]), jnp.asarray(pools.mask[d])
    )
    return Task(candidates, *(jnp.asarray(x[d]) for x in (pools.curves, pools.costs, pools.lengths)))


@pytest.fixture(scope="module")
def meta() -> MetaDataset:
    return rising()


@pytest.fixture(scope="module")
def params(meta):
    return quick_tune.fit(jax.random.key(0), meta.subset(range(5)), TINY)


def process() -> Process:
    return Process(*(jnp.asarray(v) for v in (0.4, [0.2, -0.1, 0.3], 0.3, -1.0, -4.0)))


def test_posterior_and_likelihood_are_those_of_the_closed_form():
    rng = np.random.default_rng(0)
    rows, queries, scores = rng.normal(size=(7, 3)), rng.normal(size=(4, 3)), rng.normal(size=7)
    p = process()
    mean, scale, variance, noise = 0.4, np.exp(0.3), np.exp(-1.0), np.exp(-4.0) + deep_kernel.NOISE_FLOOR

    def k(a, b):
        return variance * np.exp(-0.5 * np.square(a[:, None] - b[None]).sum(2) / scale**2)

    slope = np.asarray(p.slope)
    scores = scores + rows @ slope  # so that what is left of them is the same
    gram = k(rows, rows) + noise * np.eye(7)
    left = scores - mean - rows @ slope
    want_mean = mean + queries @ slope + k(queries, rows) @ np.linalg.solve(gram, left)
    want_variance = variance + noise - np.diag(k(queries, rows) @ np.linalg.solve(gram, k(rows, queries)))
    # Two more rows that do not count, full of nonsense.
    padded = jnp.asarray(np.concatenate([rows, np.full((2, 3), 50.0)]), jnp.float32)
    told = jnp.asarray(np.concatenate([scores, [1e6, -1e6]]), jnp.float32)
    mask = jnp.arange(9) < 7
    got_mean, got_variance = deep_kernel.posterior(p, padded, told, mask, jnp.asarray(queries, jnp.float32))
    np.testing.assert_allclose(got_mean, want_mean, atol=1e-4)
    np.testing.assert_allclose(got_variance, want_variance, atol=1e-4)
    log_likelihood = (
        -0.5 * left @ np.linalg.solve(gram, left) - 0.5 * np.linalg.slogdet(gram)[1] - 3.5 * np.log(2 * np.pi)
    )
    got = deep_kernel.negative_log_likelihood(p, padded, told, mask)
    np.testing.assert_allclose(got, -log_likelihood / 7, rtol=1e-4)


def test_coordinates_depend_on_nothing_beyond_what_is_known(params):
    curve = jnp.asarray([[0.1, 0.2, 0.3, 0.4, 0.5, 0.6]])
    known = jnp.asarray([3])
    points = Points(jnp.zeros((1, 2)), jnp.zeros(1), curve, known, jnp.asarray([5]))
    other = points._replace(curve=curve.at[0, 3:].set(9.0))
    there = deep_kernel.coordinates(params.kernel, points)
    chex.assert_trees_all_equal(there, deep_kernel.coordinates(params.kernel, other))
    changed = points._replace(curve=curve.at[0, 2].set(0.9))
    assert not np.allclose(there, deep_kernel.coordinates(params.kernel, changed))


def test_training_never_sees_the_score_that_it_is_asked_for(meta):
    features = columns.features(meta.columns, meta.configs)
    runs = quick_tune_training._runs(meta, measure(features, meta.meta_features), features)
    points, scores, _ = quick_tune_training._batch(jax.random.key(0), runs, jnp.arange(6), 200)
    known, after = np.asarray(points.known), np.asarray(points.after)
    assert (known < after).all() and after.min() == 1 and after.max() == NUM_STEPS
    np.testing.assert_array_equal(scores, np.asarray(points.curve)[np.arange(200), after - 1])


def test_forecasts_of_a_new_data_set_follow_what_others_showed(meta, params):
    task = task_of(meta, 5)
    state = quick_tune.start(params, task.candidates, NUM_STEPS)
    said = quick_tune.forecast(TINY.reach, params, state, jnp.full(12, NUM_STEPS))
    assert np.corrcoef(said.score.mean, task.curves[:, -1])[0, 1] > 0.9
    costs = np.asarray(said.seconds) / NUM_STEPS
    assert np.corrcoef(np.log(costs), np.log(np.asarray(task.costs[:, 0])))[0, 1] > 0.9


def test_what_was_seen_pulls_the_forecast_and_narrows_it(meta, params):
    task = task_of(meta, 5)
    state = quick_tune.start(params, task.candidates, NUM_STEPS)
    before = quick_tune.forecast(TINY.reach, params, state, jnp.full(12, NUM_STEPS))
    for step in range(1, 5):
        seen = Seen(jnp.asarray(3), jnp.asarray(step), task.curves[3, step - 1], task.costs[3, step - 1])
        state = quick_tune.update(params, state, seen)
    after = quick_tune.forecast(TINY.reach, params, state, jnp.full(12, NUM_STEPS))
    assert after.score.std[3] < before.score.std[3]
    np.testing.assert_allclose(after.seconds[3], 2 * task.costs[3, 0], rtol=1e-5)


def test_a_crash_leaves_the_curve_as_it_is(meta, params):
    task = task_of(meta, 5)
    state = quick_tune.start(params, task.candidates, NUM_STEPS)
    crash = Seen(jnp.asarray(3), jnp.asarray(1), jnp.asarray(jnp.nan), jnp.asarray(2.0))
    after = quick_tune.update(params, state, crash)
    chex.assert_trees_all_equal((after.curve, after.steps), (state.curve, state.steps))
    chex.assert_tree_all_finite(quick_tune.forecast(TINY.reach, params, after, jnp.full(12, NUM_STEPS)))


@pytest.mark.parametrize("acquisition", ["improvement", "upper_bound", "thompson", "random_improvement"])
def test_searches_that_ask_it_find_the_best_sooner_than_chance(meta, params, acquisition):
    task = task_of(meta, 5)
    surrogate = quick_tune.quick_tune_surrogate("tiny", "", TINY)
    policy = freeze_thaw(surrogate, FreezeThawConfig(acquisition, reach=NUM_STEPS))
    fitted = (params, meta.score_range)
    jobs = simulate(policy, fitted, task, jax.random.key(0), Limits(num_jobs=24))
    assert np.asarray(jobs.last - jobs.first)[np.asarray(jobs.candidate) >= 0].max() == 1
    assert regret_at(jobs, task, jnp.asarray([jnp.inf]))[0] < 0.1


def test_held_out_scores_change_nothing_that_is_learnt_from_the_others(meta):
    curves = meta.curves.copy()
    curves[meta.dataset_of == 5] = 1.0
    other = dataclasses.replace(meta, curves=curves)
    short = dataclasses.replace(TINY, num_iterations=250)
    fits = [quick_tune.fit(jax.random.key(1), m.subset(range(5)), short) for m in (meta, other)]
    chex.assert_trees_all_equal(*fits)
