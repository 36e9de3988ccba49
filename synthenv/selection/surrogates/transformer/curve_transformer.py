"""The curve transformer as a surrogate: trained once, then told of runs as they grow, and asked for all candidates.

What configurations and data sets are, and the runs on other data sets, are encoded when a search starts. Each step
encodes the runs of the search anew, one token each, and one pass of all candidates gives scores, seconds and crashes.
Nothing is fitted during a search.

The context has a fixed number of places. A search that starts more runs than there are gives the place of the run with
the worst last score to the new one; the run that lost its place is still known in the question about itself.
"""

from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp

from synthenv.selection.curve_prior import real_curves
from synthenv.selection.curve_prior.examples import Progress, Table, progress
from synthenv.selection.forecast import Forecast, Histogram
from synthenv.selection.surrogates.surrogate import Candidates, Seen, Surrogate
from synthenv.selection.surrogates.transformer import curve_network as network
from synthenv.selection.surrogates.transformer.curve_answers import Answer, edges
from synthenv.selection.surrogates.transformer.curve_network import Context, ModelConfig, Weights
from synthenv.selection.tables.meta_dataset import MetaDataset

MOST_RUNS = 128  # places of the context
NUM_OTHERS = 128  # runs on other data sets in it


class Fitted(NamedTuple):
    """What a search needs.

    Attributes:
        weights: of the network.
        others: runs on other data sets. [R]
        meta_mean: of the logarithms of meta-features. [K]
        meta_std: [K]
        score_range: least and greatest score. [2]
    """

    weights: Weights
    others: Table
    meta_mean: jax.Array
    meta_std: jax.Array
    score_range: jax.Array


class State(NamedTuple):
    """A search so far.

    Attributes:
        base: what each candidate's configuration and the data set are. [N, W]
        scores: from 0 to 1, NaN where there is none. [N, T]
        log_seconds: sum of the logarithms of the seconds of steps. [N]
        timed: steps that such seconds are known of. int32 [N]
        done: steps of each candidate. int32 [N]
        crashed: bool [N]
        places: the candidates in the context. int32 [C]
        taken: how many places are. int32 []
        before: encoded runs on other data sets.
        context: encoded runs.
    """

    base: jax.Array
    scores: jax.Array
    log_seconds: jax.Array
    timed: jax.Array
    done: jax.Array
    crashed: jax.Array
    places: jax.Array
    taken: jax.Array
    before: network.Cache
    context: Context


Fit = Callable[[jax.Array, MetaDataset], Weights]


def make(config: ModelConfig, weights: Weights | Fit, name: str = "curve_transformer") -> Surrogate:
    """A surrogate of weights, or of what learns them from other data sets."""

    def fit(key: jax.Array, meta: MetaDataset) -> Fitted:
        key_weights, key_others = jax.random.split(key)
        learnt = weights if isinstance(weights, Weights) else weights(key_weights, meta)
        return attach(key_others, learnt, meta)

    return Surrogate(
        name,
        "transformer that has learnt from many curves; nothing is fitted during a search",
        fit,
        partial(start, config=config),
        partial(update, config=config),
        partial(forecast, config=config),
    )


def attach(key: jax.Array, weights: Weights, meta: MetaDataset) -> Fitted:
    """Choose runs on other data sets that every search sees."""
    real = real_curves.load(meta)
    others = real_curves.draw_others(key, real, NUM_OTHERS)
    others = others._replace(mask=jnp.ones_like(others.mask))
    mean, std = real_curves.scale_meta(meta.meta_features)
    return Fitted(
        weights, others, jnp.asarray(mean), jnp.asarray(std), jnp.asarray(meta.score_range, jnp.float32)
    )


def start(fitted: Fitted, candidates: Candidates, num_steps: int, config: ModelConfig) -> State:
    """Encode configurations, the data set and the runs on others."""
    weights, others = fitted.weights, fitted.others
    columns = network.columns_of(candidates.features, candidates.mask)
    vectors = network.column_vectors(candidates.features.shape[1], config)
    meta_vectors = network.column_vectors(len(fitted.meta_mean), config)
    meta = (real_curves.log_meta(candidates.meta_features) - fitted.meta_mean) / fitted.meta_std
    base_others = network.embed_configs(weights, columns, vectors, others.features)
    base_others = base_others + network.embed_meta(weights, meta_vectors, others.meta_features)
    base = network.embed_configs(weights, columns, vectors, candidates.features)
    base = base + jnp.broadcast_to(network.embed_meta(weights, meta_vectors, meta)[None], base.shape)
    num = len(base)
    zeros = jnp.zeros(num, jnp.int32)
    before = network.encode_others(weights, config, base_others, others.progress, others.mask)
    places = jnp.zeros(min(num, MOST_RUNS), jnp.int32)
    nothing = _progress(jnp.full((num, num_steps), jnp.nan), jnp.zeros(num), zeros, zeros, zeros > 0)
    nobody = jnp.zeros(len(places), bool)
    seen = jax.tree.map(lambda x: x[places], nothing)
    context = network.encode_own(weights, config, before, base[places], seen, nobody)
    return State(
        base=base,
        scores=jnp.full((num, num_steps), jnp.nan),
        log_seconds=jnp.zeros(num),
        timed=zeros,
        done=zeros,
        crashed=zeros > 0,
        places=places,
        taken=jnp.int32(0),
        before=before,
        context=context,
    )


def _progress(
    scores: jax.Array, log_seconds: jax.Array, timed: jax.Array, done: jax.Array, crashed: jax.Array
) -> Progress:
    """What was seen of candidates [C], of which ``scores`` are [C, T]."""
    total = jnp.full(done.shape, scores.shape[1], jnp.int32)
    mean = jnp.where(timed > 0, log_seconds / jnp.maximum(timed, 1), jnp.nan)
    crash_step = jnp.where(crashed, done, scores.shape[1] + 1)
    return progress(done, crash_step, total, mean, lambda at: jnp.take_along_axis(scores, at - 1, axis=1))


def _seen_of(state: State, rows: jax.Array | slice) -> Progress:
    parts = state.scores, state.log_seconds, state.timed, state.done, state.crashed
    return _progress(*(x[rows] for x in parts))


def update(fitted: Fitted, state: State, seen: Seen, config: ModelConfig) -> State:
    """Note a step and encode the runs anew; a score that is NaN is a crash."""
    low, high = fitted.score_range
    which = seen.candidate
    crashed = jnp.isnan(seen.score)
    score = jnp.clip((seen.score - low) / (high - low), 0.0, 1.0)
    is_timed = seen.seconds > 0.0
    place, taken = _place(state, which)
    state = state._replace(
        scores=state.scores.at[which, seen.step - 1].set(score),
        log_seconds=state.log_seconds.at[which].add(jnp.where(is_timed, jnp.log(seen.seconds), 0.0)),
        timed=state.timed.at[which].add(is_timed),
        done=state.done.at[which].set(seen.step),
        crashed=state.crashed.at[which].set(crashed),
        places=state.places.at[place].set(which),
        taken=taken,
    )
    own, mask = _seen_of(state, state.places), jnp.arange(len(state.places)) < taken
    context = network.encode_own(fitted.weights, config, state.before, state.base[state.places], own, mask)
    return state._replace(context=context)


def _place(state: State, which: jax.Array) -> tuple[jax.Array, jax.Array]:
    """The place for a candidate in the context, and how many are taken then."""
    most = len(state.places)
    is_taken = jnp.arange(most) < state.taken
    has_it = is_taken & (state.places == which)
    last = jnp.take_along_axis(state.scores, jnp.maximum(state.done - 1, 0)[:, None], axis=1)[:, 0]
    worst = jnp.argmin(jnp.where(jnp.isnan(last), -1.0, last)[state.places])
    new = jnp.where(state.taken < most, state.taken, worst)
    place = jnp.where(jnp.any(has_it), jnp.argmax(has_it), new)
    return place, jnp.maximum(state.taken, jnp.where(state.taken < most, place + 1, most))


def answer(fitted: Fitted, state: State, steps: jax.Array, config: ModelConfig) -> Answer:
    """Scores from 0 to 1, seconds of a step and crashes of every candidate, after so many steps [N]."""
    return network.ask(fitted.weights, config, state.context, state.base, _seen_of(state, slice(None)), steps)


def forecast(fitted: Fitted, state: State, steps: jax.Array, config: ModelConfig) -> Forecast:
    """Scores of every candidate if it does not crash until then, and the mean seconds until then."""
    given = answer(fitted, state, steps, config)
    low, high = fitted.score_range
    per_step = jnp.exp(given.log_seconds + 0.5 * jnp.square(given.log_seconds_std))
    return Forecast(
        Histogram(given.logits, low + (high - low) * jnp.asarray(edges(config.num_bins))),
        jnp.maximum(steps - state.done, 0) * per_step,
    )
