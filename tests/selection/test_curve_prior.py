"""Random networks, curves, orders of training and exercises, against published numbers and hand arithmetic."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from synthenv.selection.curve_prior import (
    curves,
    random_networks,
    search_space,
    tasks,
    training_order,
)
from synthenv.selection.curve_prior.curves import Curve
from synthenv.selection.curve_prior.examples import NUM_SHOWN, shown_steps
from synthenv.selection.curve_prior.search_space import SpaceConfig
from synthenv.selection.curve_prior.tasks import PriorConfig

# Of ifBO's file of 230,000 outputs, at these probabilities.
PROBABILITIES = np.array([0.01, 0.05, 0.1, 0.25])
PUBLISHED = np.array([-2.39, -1.38, -0.932, -0.359])
TINY = PriorConfig(
    num_candidates=6,
    num_others=4,
    num_datasets=2,
    num_meta=2,
    most_steps=8,
    num_points=20,
    num_queries=10,
    space=SpaceConfig(3, 3, choices=0.4, levels=0.3, inactive=0.3, hidden=0.1, least_relevance=-1.0),
    seconds=0.7,
    crashes=0.8,
)
sample = jax.jit(tasks.sample, static_argnums=(1, 2))
noise_free = jax.jit(curves.noise_free)


@pytest.fixture(scope="module")
def outputs() -> np.ndarray:
    return np.asarray(jax.jit(random_networks.reference_outputs, static_argnums=1)(jax.random.key(1), 400))


def test_outputs_of_random_networks_are_spread_as_published(outputs):
    both = np.concatenate([outputs.ravel(), -outputs.ravel()])
    np.testing.assert_allclose(np.quantile(both, PROBABILITIES), PUBLISHED, rtol=0.15)
    assert abs(outputs.mean()) < 0.05


def test_normal_scores_are_normal(outputs):
    scores = np.asarray(random_networks.normal_scores(jnp.asarray(outputs)))
    assert np.std(scores) == pytest.approx(1.0, abs=0.06)
    assert np.mean(np.abs(scores) < 1.0) == pytest.approx(0.683, abs=0.03)
    far = random_networks.normal_scores(jnp.array([-100.0, 0.0, 100.0]))
    np.testing.assert_allclose(far, [-random_networks.MOST_SCORE, 0.0, random_networks.MOST_SCORE])


@partial(jax.jit, static_argnums=(0, 1, 2))
def random_curves(num: int, seed: int = 0, spread: float = 1.0) -> Curve:
    scores = spread * jax.random.normal(jax.random.key(seed), (num, curves.NUM_PARAMETERS))
    scores = jnp.clip(scores, -random_networks.MOST_SCORE, random_networks.MOST_SCORE)
    return curves.from_scores(scores, jnp.float32(0.1), jnp.float32(1.0))


def test_every_shape_has_its_gap_left_at_saturation():
    curve = random_curves(50)
    left = jax.jit(curves.log_left)(curve, jnp.zeros((50, 4)))
    np.testing.assert_allclose(left, -curve.log_gap, rtol=2e-4)


@pytest.mark.parametrize("shape", range(4))
def test_shapes_are_the_formulas(shape):
    """In double precision, at moderate exponents where nothing overflows; one shape has all the weight."""
    curve = random_curves(20)
    curve = curve._replace(
        weights=jnp.zeros((20, 4)).at[:, shape].set(1.0),
        saturation=jnp.full((20, 4), 0.8),
        log_gap=jnp.full((20, 4), np.log(10.0)),
        exponents=jnp.clip(curve.exponents, 0.5, 3.0),
    )
    r, a = np.float64(0.3 / 0.8), np.asarray(curve.exponents, np.float64)[:, shape]
    base = 1.0 + a
    left = (
        ((10.0 ** (1 / a) - 1) * r + 1) ** -a,
        10.0 ** -(r**a),
        np.log(base) / np.log((base**10 - base) * r + base),
        1.0 / (r**a * 9.0 + 1.0),
    )[shape]
    end = np.asarray(curve.end)
    np.testing.assert_allclose(noise_free(curve, jnp.full(20, 0.3)), end - (end - 0.1) * left, rtol=1e-4)


def test_curves_start_where_they_should_and_are_always_finite():
    curve = random_curves(10_000, spread=2.0)
    for time in (0.0, 1e-3, 0.02, 0.3, 1.0):
        scores = noise_free(curve, jnp.full(10_000, time))
        assert bool(jnp.all((scores >= 0.0) & (scores <= 1.0)))
    np.testing.assert_allclose(noise_free(curve, jnp.zeros(10_000)), 0.1, rtol=1e-5)


def test_a_clock_that_runs_backwards_brings_the_score_below_its_start():
    curve = random_curves(1)._replace(speed=jnp.full((1, 4), -3.0), saturation=jnp.full((1, 4), 0.2))
    peak, late = (float(noise_free(curve, jnp.array([t]))[0]) for t in (0.2, 1.0))
    assert late < 0.1 < peak


def test_a_history_has_no_gaps_and_questions_lie_after_it():
    tickets = jnp.array([0, 1, 3, 8, 8, 8, 8])
    draw = jax.jit(partial(training_order.draw, num_points=20, most_steps=8, num_queries=20))
    asked_total = 0
    for seed in range(20):
        key_weights, key = jax.random.split(jax.random.key(seed))
        order = draw(key, training_order.draw_weights(key_weights, 7), tickets)
        assert np.all(order.done <= tickets)
        asked = np.stack([order.candidate, order.step], axis=1)[np.asarray(order.mask)]
        assert np.all(asked[:, 1] > np.asarray(order.done)[asked[:, 0]])
        assert np.all(asked[:, 1] <= np.asarray(tickets)[asked[:, 0]])
        assert len(np.unique(asked, axis=0)) == len(asked) == 20 - int(order.done.sum())
        asked_total += len(asked)
    assert asked_total > 100


def test_equal_weights_draw_every_candidate_as_often():
    weights, tickets = jnp.ones(4), jnp.full(4, 5)
    draw = jax.jit(jax.vmap(lambda key: training_order.draw(key, weights, tickets, 10, 5, 1).done))
    done = draw(jax.random.split(jax.random.key(0), 500))
    np.testing.assert_allclose(done.mean(axis=0), done.mean(), rtol=0.15)


def test_scores_are_shown_at_eighths_and_before_the_last():
    np.testing.assert_array_equal(shown_steps(jnp.array([16]))[0], [2, 4, 6, 8, 10, 12, 14, 16, 15])
    np.testing.assert_array_equal(shown_steps(jnp.array([1]))[0], [1] * NUM_SHOWN)
    np.testing.assert_array_equal(shown_steps(jnp.array([0]))[0], [0] * NUM_SHOWN)


@pytest.mark.long
def test_exercises_hide_scores_of_crashes_only():
    own, others, questions = sample(jax.random.key(0), TINY, 64)
    there = np.asarray(questions.mask)
    np.testing.assert_array_equal(np.isnan(questions.score)[there], questions.crashed[there])
    assert questions.crashed[there].any()
    for progress in (own.progress, others.progress):
        has_steps = np.asarray(progress.done - progress.crashed > 0)
        np.testing.assert_array_equal(~np.isnan(progress.shown).any(-1), has_steps)
        assert np.all(np.isfinite(progress.log_seconds) <= (progress.done > 0))
    assert others.mask.any() and not others.mask.all()
    assert np.isfinite(own.features).all() and own.features.min() >= 0.0 and own.features.max() <= 1.0


def test_the_prior_of_ifbo_has_nothing_but_curves_of_plain_columns():
    assert tasks.IFBO.num_others == tasks.IFBO.seconds == tasks.IFBO.crashes == 0

    @jax.jit
    @jax.vmap
    def draw(key: jax.Array) -> search_space.Configurations:
        space = search_space.draw_space(key, tasks.IFBO.space)
        return search_space.draw_configurations(key, tasks.IFBO.space, space, 5)

    drawn = draw(jax.random.split(jax.random.key(0), 64))
    assert drawn.features.shape == (64, 5, 10) and not drawn.option.any()
    numbers = np.asarray((drawn.features.std(1) > 0).sum(1))
    assert numbers.min() >= 1 and numbers.max() <= 10 and len(set(numbers)) > 5
    there = np.asarray(drawn.features > 0.0)
    inputs = np.asarray(drawn.inputs).reshape(64, 5, 10, 2)
    np.testing.assert_allclose(
        inputs[there][:, 0], (np.asarray(drawn.features)[there] - 0.5) * 12**0.5, rtol=1e-5
    )
    assert not inputs[..., 1].any() and not inputs[~there].any()
