"""Histories: what is kept, what is dropped, and which points of a curve tell the most."""

import chex
import jax
import jax.numpy as jnp
import numpy as np

from synthenv.selection.surrogates import step_seconds
from synthenv.selection.surrogates.history import append, empty, telling_rows
from synthenv.selection.surrogates.surrogate import Seen
from synthenv.selection.tables import columns
from tests.selection.synthetic_curves import synthetic


def seen(candidate, step, score, seconds=1.0) -> Seen:
    return Seen(np.int32(candidate), np.int32(step), np.float32(score), np.float32(seconds))


def test_rows_and_curves_of_what_was_seen_compile_once():
    chex.clear_trace_counter()
    add = jax.jit(chex.assert_max_traces(append, 1))
    history = empty(3, 4, 3)
    for what in (seen(2, 1, 0.5), seen(0, 1, 0.1), seen(2, 2, np.nan), seen(0, 2, 0.2)):
        history = add(history, what)
    assert history.count == 4
    np.testing.assert_array_equal(history.candidate, [0, 0, 2])  # the newest stands where the oldest was
    np.testing.assert_array_equal(history.step, [2, 1, 2])
    np.testing.assert_array_equal(history.mask, [True, True, False])
    np.testing.assert_array_equal(history.steps, [2, 0, 2])
    np.testing.assert_array_equal(history.crashed, [False, False, True])
    expected = np.full((3, 4), np.nan, np.float32)
    expected[0, :2], expected[2, 0] = [0.1, 0.2], 0.5
    np.testing.assert_array_equal(history.curves, expected)


def test_ends_of_curves_tell_the_most():
    history = empty(2, 9, 1)
    curves = history.curves.at[0].set(jnp.arange(1.0, 10.0)).at[1, 0].set(0.5)
    history = history._replace(curves=curves, steps=jnp.array([9, 1]))
    rows = jax.jit(telling_rows, static_argnums=1)(history, 7)
    pairs = list(zip(rows.candidate.tolist(), rows.step.tolist(), strict=True))
    assert pairs[:3] == [(0, 9), (1, 1), (0, 1)] and rows.mask.all()
    assert pairs[3:] == [(0, 8), (0, 7), (0, 5), (0, 6)]
    np.testing.assert_array_equal(rows.score, [9, 0.5, 1, 8, 7, 5, 6])
    few = jax.jit(telling_rows, static_argnums=1)(history, 100)
    assert len(few.mask) == 18 and few.mask.sum() == 10 and not few.score[~few.mask].any()


def test_seconds_of_a_step_follow_kinds_and_what_was_seen():
    meta = synthetic()
    params = step_seconds.fit(meta)
    x = columns.features(meta.columns, meta.configs)
    forecast, add = jax.jit(step_seconds.forecast), jax.jit(append)
    history = empty(len(x), meta.num_steps, 5)
    before = forecast(params, x, history)
    ratio = before[1::2].mean() / before[::2].mean()
    assert 4.0 < float(ratio) < 5.5
    for step in (1, 2, 3):
        history = add(history, seen(0, step, 0.5, 10 * before[0]))
    after = forecast(params, x, history)
    assert (after > 7 * before).all()  # the whole data set is slower
    np.testing.assert_array_equal(
        step_seconds.until(after, history, jnp.full(12, 5)), after * np.where(np.arange(12) == 0, 2, 5)
    )


def test_steps_of_unknown_cost_take_a_second():
    meta = synthetic()
    params = step_seconds.fit(meta.__class__(**(vars(meta) | {"costs": np.full_like(meta.costs, np.nan)})))
    x = columns.features(meta.columns, meta.configs)
    np.testing.assert_array_equal(jax.jit(step_seconds.forecast)(params, x, empty(12, 10, 2)), 1.0)
