"""The curve transformer: what has influence on its answers, what has none, and that it learns."""

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from synthenv.nets import transformer
from synthenv.selection.curve_prior import real_curves
from synthenv.selection.curve_prior.examples import Exercise, Progress
from synthenv.selection.curve_prior.real_curves import RealConfig
from synthenv.selection.forecast import Forecast
from synthenv.selection.surrogates.surrogate import Candidates, Seen
from synthenv.selection.surrogates.transformer import curve_network, curve_training, curve_transformer
from synthenv.selection.surrogates.transformer.curve_answers import Answer, mixture
from synthenv.selection.surrogates.transformer.curve_network import ModelConfig, Weights
from synthenv.selection.surrogates.transformer.curve_training import TrainingConfig, TrainState
from synthenv.selection.surrogates.transformer.curve_transformer import State
from synthenv.selection.tables.columns import Column
from synthenv.selection.tables.meta_dataset import MetaDataset
from tests.selection.test_curve_prior import TINY, sample

MODEL = ModelConfig(
    width=8, num_heads=2, hidden_size=8, num_layers=2, column_size=4, num_normals=3, num_bins=20
)


@pytest.fixture(scope="module")
def weights() -> Weights:
    """With branches that do something, unlike fresh ones."""
    rng = np.random.default_rng(0)
    fresh = jax.jit(curve_network.init, static_argnums=1)(jax.random.key(0), MODEL)
    return jax.tree.map(lambda x: x + 0.1 * rng.standard_normal(x.shape).astype(np.float32), fresh)


@pytest.fixture(scope="module")
def exercise() -> Exercise:
    """One with runs of all kinds: started, not started, crashed, on other data sets."""
    many = sample(jax.random.key(0), TINY, 64)
    some = np.asarray(many.others.mask).any(1) & ~np.asarray(many.others.mask).all(1)
    crashed = np.asarray(many.own.progress.crashed).any(1) & some
    started = np.asarray(many.own.progress.done > 0).sum(1)
    chosen = int(np.flatnonzero(crashed & (started > 2) & (started < 6))[0])
    return jax.tree.map(lambda x: x[chosen], many)


VECTORS = (
    jax.random.normal(jax.random.key(2), (TINY.space.num_features, MODEL.column_size)),
    jax.random.normal(jax.random.key(3), (TINY.num_meta, MODEL.column_size)),
)
answers = jax.jit(curve_training.answers, static_argnums=1)


def near(one: Answer, other: Answer) -> None:
    chex.assert_trees_all_close(one, other, rtol=1e-4, atol=2e-5)


def test_order_of_columns_changes_nothing(weights, exercise):
    order = np.random.default_rng(0).permutation(TINY.space.num_features)
    own, others = (t._replace(features=t.features[:, order]) for t in exercise[:2])
    moved = answers(
        weights, MODEL, exercise._replace(own=own, others=others), (VECTORS[0][order], VECTORS[1])
    )
    near(moved, answers(weights, MODEL, exercise, VECTORS))


def test_order_of_runs_changes_nothing(weights, exercise):
    order = np.random.default_rng(0).permutation(TINY.num_candidates)
    others = jax.tree.map(lambda x: x[::-1], exercise.others)
    own = jax.tree.map(lambda x: x[order], exercise.own)
    questions = exercise.questions._replace(candidate=np.argsort(order)[exercise.questions.candidate])
    near(
        answers(weights, MODEL, Exercise(own, others, questions), VECTORS),
        answers(weights, MODEL, exercise, VECTORS),
    )


def test_runs_that_are_not_there_have_no_influence(weights, exercise):
    def spoilt(x: jax.Array, where: jax.Array) -> jax.Array:
        if x.dtype != jnp.float32:
            return x
        where = jnp.broadcast_to(where.reshape(where.shape + (1,) * (x.ndim - 1)), x.shape)
        return jnp.where(where, 0.77, x)

    others = jax.tree.map(lambda x: spoilt(x, ~exercise.others.mask), exercise.others)
    assert not exercise.others.mask.all()
    expected = answers(weights, MODEL, exercise, VECTORS)
    near(answers(weights, MODEL, exercise._replace(others=others), VECTORS), expected)
    others = others._replace(mask=jnp.zeros_like(others.mask))
    moved = answers(weights, MODEL, exercise._replace(others=others), VECTORS)
    assert float(jnp.max(jnp.abs(moved.logits - expected.logits))) > 1e-3


def test_questions_do_not_see_each_other(weights, exercise):
    questions = jax.tree.map(lambda x: x[:1], exercise.questions)
    alone = answers(weights, MODEL, exercise._replace(questions=questions), VECTORS)
    near(alone, jax.tree.map(lambda x: x[:1], answers(weights, MODEL, exercise, VECTORS)))


def test_a_context_in_two_parts_is_seen_one_way(weights):
    """The second part sees both, as in one pass over all; the first one is encoded as if it were alone."""
    config, stack = MODEL.transformer, weights.stack
    first, second, asked = jax.random.normal(jax.random.key(0), (3, 5, MODEL.width))
    mask = jnp.array([True, True, False, True, True])
    before = transformer.encode(stack, config, first, mask)
    both = transformer.encode(stack, config, second, mask, before)
    for part, alone in zip(both.keys + both.values, before.keys + before.values, strict=True):
        np.testing.assert_array_equal(part[:, :5], alone)
    nobody = jnp.zeros(5, bool)
    empty = transformer.encode(stack, config, first * jnp.nan, nobody)
    only = transformer.query(stack, config, transformer.encode(stack, config, second, mask, empty), asked)
    tokens, which = jnp.concatenate([second, asked]), jnp.concatenate([mask, nobody])
    np.testing.assert_allclose(
        only, transformer.forward(stack, config, tokens, which)[5:], rtol=2e-4, atol=2e-5
    )
    # With one layer, keys do not depend on who is seen: two parts are one context.
    shallow = stack._replace(blocks=stack.blocks[:1])
    parts = transformer.encode(
        shallow, config, second, mask, transformer.encode(shallow, config, first, mask)
    )
    whole = transformer.encode(
        shallow, config, jnp.concatenate([first, second]), jnp.concatenate([mask, mask])
    )
    chex.assert_trees_all_close(parts, whole, rtol=1e-4, atol=1e-5)


def test_a_forecast_is_a_distribution_with_most_of_it_where_its_normals_are():
    num = MODEL.num_normals
    out = jnp.zeros(3 * num + 1).at[num : 2 * num].set(-4.0).at[2 * num + 1].set(20.0)
    shares = jax.nn.softmax(mixture(MODEL.num_bins, jnp.float32(0.725), out))
    assert int(jnp.argmax(shares)) == 14 and float(shares[14]) > 0.7
    assert float(shares.sum()) == pytest.approx(1.0)


def meta_dataset(num_datasets: int = 3, num_configs: int = 6, num_steps: int = 5) -> MetaDataset:
    """A dense table of a number and a choice, in per cent; the last configuration crashes on the last data set."""
    rng = np.random.default_rng(0)
    columns = (Column("lr", "number"), Column("net", "choice", values=("a", "b", "c")))
    configs = np.stack([rng.random(num_configs), rng.integers(0, 3, num_configs)], axis=1).astype(np.float32)
    num = num_datasets * num_configs
    rise = rng.random((num, 1)) * (1.0 - np.exp(-np.arange(1, num_steps + 1)))
    curves = (100.0 * rise).astype(np.float32)
    curves[-1, 2:] = np.nan
    return MetaDataset(
        datasets=tuple(f"d{i}" for i in range(num_datasets)),
        columns=columns,
        config_names=tuple(f"c{i}" for i in range(num_configs)),
        configs=configs,
        dataset_of=np.repeat(np.arange(num_datasets, dtype=np.int32), num_configs),
        config_of=np.tile(np.arange(num_configs, dtype=np.int32), num_datasets),
        curves=curves,
        costs=np.where(np.isnan(curves), np.nan, 2.0).astype(np.float32),
        crashed=np.arange(num) == num - 1,
        meta_names=("size", "classes"),
        meta_features=np.array([[100, np.nan], [1000, 10], [50, 2]], np.float32)[:num_datasets],
        score_range=(0.0, 100.0),
    )


NUM_STEPS = 5
SURROGATE_STEPS = jnp.full(6, NUM_STEPS)


@pytest.fixture(scope="module")
def search(weights):
    """A surrogate that has been fitted, its compiled functions and the first state of a search."""
    surrogate = curve_transformer.make(MODEL, weights)
    meta = meta_dataset()
    fitted = surrogate.fit(jax.random.key(0), meta.subset([1, 2]))
    features = real_curves.load(meta).features[0]
    candidates = Candidates(features, jnp.asarray(meta.meta_features[0]), jnp.ones(6, bool))
    update, forecast = jax.jit(surrogate.update), jax.jit(surrogate.forecast)
    return (
        fitted,
        candidates,
        update,
        forecast,
        jax.jit(surrogate.start, static_argnums=2)(fitted, candidates, 5),
    )


def seen(candidate: int, step: int, score: float, seconds: float = 2.0) -> Seen:
    return Seen(jnp.int32(candidate), jnp.int32(step), jnp.float32(score), jnp.float32(seconds))


def test_a_search_is_what_training_saw(weights, search):
    """Start, update and forecast give the answers of one exercise with the same runs."""
    fitted, candidates, update, _, state = search
    for step in (seen(2, 1, 30.0), seen(4, 1, 50.0, 3.0), seen(2, 2, 40.0), seen(1, 1, np.nan)):
        state = update(fitted, state, step)
    given = curve_transformer.answer(fitted, state, SURROGATE_STEPS, MODEL)
    columns = curve_network.columns_of(candidates.features, candidates.mask)
    shown = np.full((6, 9), np.nan, np.float32)
    shown[2], shown[4] = [0.3, 0.3, 0.3, 0.3, 0.4, 0.4, 0.4, 0.4, 0.3], 0.5
    log_seconds = np.array([np.nan, np.log(2), np.log(2), np.nan, np.log(3), np.nan], np.float32)
    progress = Progress(
        jnp.asarray(shown),
        jnp.array([0, 1, 2, 0, 1, 0]),
        jnp.full(6, 5),
        jnp.asarray(log_seconds),
        jnp.arange(6) == 1,
    )
    context = curve_network.encode_own(weights, MODEL, state.before, state.base, progress, progress.done > 0)
    near(given, curve_network.ask(weights, MODEL, context, state.base, progress, SURROGATE_STEPS))
    vectors = curve_network.column_vectors(4 + 1, MODEL)
    base = curve_network.embed_configs(weights, columns, vectors, candidates.features)
    assert base.shape == state.base.shape and not np.allclose(base, state.base)  # the data set is added to it


def test_crashes_say_nothing_about_scores_but_that_they_crashed(search):
    fitted, _, update, forecast, state = search
    state = update(fitted, state, seen(0, 1, 60.0))
    crashed = update(fitted, state, seen(3, 1, np.nan))
    assert bool(crashed.crashed[3]) and float(crashed.context.score) == pytest.approx(0.6)
    for leaf in jax.tree.leaves(forecast(fitted, crashed, SURROGATE_STEPS)):
        assert bool(jnp.all(jnp.isfinite(leaf)))
    other = crashed._replace(scores=crashed.scores.at[3, 0].set(0.9))
    again = update(fitted, other, seen(0, 2, 70.0))
    near(
        curve_transformer.answer(fitted, again, SURROGATE_STEPS, MODEL),
        curve_transformer.answer(fitted, update(fitted, crashed, seen(0, 2, 70.0)), SURROGATE_STEPS, MODEL),
    )


def test_forecasts_are_in_the_units_of_the_table(search):
    fitted, _, update, forecast, state = search
    state = update(fitted, state, seen(0, 5, 60.0))
    told = forecast(fitted, state, SURROGATE_STEPS)
    assert told.score.edges[-1] == 100.0 and bool(
        jnp.all((told.score.mean > 0.0) & (told.score.mean < 100.0))
    )
    assert float(told.seconds[0]) == 0.0 and bool(jnp.all(told.seconds[1:] > 0.0))


def test_places_go_to_new_runs_when_there_are_none_left(search):
    fitted, _, update, _, state = search
    state = state._replace(places=jnp.zeros(2, jnp.int32))
    for candidate, score in ((0, 50.0), (3, 20.0), (0, 60.0), (5, 70.0)):
        state = update(fitted, state, seen(candidate, 1, score))
    assert sorted(np.asarray(state.places)) == [0, 5] and int(state.taken) == 2


def test_one_trace_however_long_a_search_gets(search):
    fitted, candidates, _, _, state = search

    @jax.jit
    @chex.assert_max_traces(n=1)
    def advance(state: State, step: Seen) -> tuple[State, Forecast]:
        state = curve_transformer.update(fitted, state, step, MODEL)
        return state, curve_transformer.forecast(fitted, state, SURROGATE_STEPS, MODEL)

    for candidate in range(3):
        for step in (1, 2):
            state, _ = advance(state, seen(candidate, step, 10.0 * step))
    assert int(state.taken) == 3 and candidates.mask.all()


@pytest.mark.parametrize("bent", [0.0, 1.0])
def test_exercises_of_real_curves_hold_what_the_table_holds(bent):
    real = real_curves.load(meta_dataset())
    config = RealConfig(num_candidates=4, num_others=5, num_points=12, num_queries=6, mix=bent, warp=bent)
    own, others, questions = jax.jit(real_curves.sample, static_argnums=(2, 3))(
        jax.random.key(0), real, config, 64
    )
    there = np.asarray(questions.mask)
    np.testing.assert_array_equal(np.isnan(questions.score)[there], questions.crashed[there])
    assert questions.crashed[there].any() and others.progress.crashed.any()
    known = np.unique(np.asarray(real.curves[~np.isnan(real.curves)]))
    scores = np.asarray(questions.score)[there & ~np.asarray(questions.crashed)]
    is_of_table = np.abs(scores[:, None] - known[None]).min(1) < 1e-6
    assert is_of_table.mean() < 0.5 if bent else is_of_table.all()
    assert scores.min() >= 0.0 and scores.max() <= 1.0
    assert np.all(np.asarray(own.progress.done) <= NUM_STEPS)


def test_training_on_random_tasks_lowers_every_loss():
    config = TrainingConfig(MODEL, TINY, num_steps=80, learning_rate=1e-2)
    exercises = sample(jax.random.key(0), TINY, 64)
    vectors = tuple(jnp.broadcast_to(x[None], (64, *x.shape)) for x in VECTORS)
    advance = jax.jit(lambda state: curve_training.train_step(state, [(exercises, vectors)], config))
    state, first = advance(curve_training.init(jax.random.key(0), config))
    for _ in range(79):
        state, last = advance(state)
    assert all(new < old - 0.02 for new, old in zip(last, first, strict=True))


@pytest.mark.long
def test_pretraining_on_real_curves_goes_on_where_it_stopped():
    config = TrainingConfig(MODEL, TINY, RealConfig(4, 4, 12, 6), real_share=1.0, batch_size=4, num_steps=6)
    real = real_curves.load(meta_dataset())
    states: list[TrainState] = []

    def note(state: TrainState, losses: curve_training.Losses) -> None:
        states.append(state)
        assert all(jnp.isfinite(loss) for loss in losses)

    key = jax.random.key(0)
    weights = curve_training.pretrain(key, config, real, steps_per_call=2, on_steps=note)
    again = curve_training.pretrain(key, config, real, states[0], steps_per_call=2)
    chex.assert_trees_all_equal(weights, again)
    assert not jnp.array_equal(states[0].weights.run.first.kernel, weights.run.first.kernel)


def test_batches_hold_random_and_real_exercises_as_asked():
    """Without drawing any: shapes only."""
    config = TrainingConfig(MODEL, TINY, RealConfig(4, 4, 12, 6), real_share=0.25, batch_size=8)
    real = real_curves.load(meta_dataset())
    both = jax.eval_shape(lambda: curve_training.draw_batch(jax.random.key(0), config, real))
    assert [len(exercise.own.mask) for exercise, _ in both] == [6, 2]
    alone = jax.eval_shape(lambda: curve_training.draw_batch(jax.random.key(0), config))
    assert [len(exercise.own.mask) for exercise, _ in alone] == [8]
