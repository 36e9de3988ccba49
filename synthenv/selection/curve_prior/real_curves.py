"""Real curves as exercises: a data set at hand, runs on others, and curves bent so that few tasks become many.

Two runs of a data set are mixed to one in between, configuration and curve alike, and where every configuration was
run on every data set, two data sets are mixed before. A monotone warp of all scores keeps who is better and changes how
hard the task is.

References:
    Lee et al. (2025), Cost-aware freeze-thaw with transfer (mixing). Adam-PFN (2025) (warps).
"""

from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.scipy.special import betainc

from synthenv.selection.curve_prior import training_order
from synthenv.selection.curve_prior.examples import Exercise, Questions, Table, progress
from synthenv.selection.tables import columns
from synthenv.selection.tables.meta_dataset import MetaDataset


@dataclass(frozen=True)
class RealConfig:
    """Sizes of exercises, and how far they leave the curves as they are.

    Attributes:
        num_candidates: S at most.
        num_others: R.
        num_points: tickets drawn, see ``training_order``.
        num_queries: Q.
        mix: share of exercises whose runs are mixed.
        warp: share of exercises whose scores are warped.
    """

    num_candidates: int = 64
    num_others: int = 48
    num_points: int = 300
    num_queries: int = 48
    mix: float = 0.5
    warp: float = 0.5


class RealCurves(NamedTuple):
    """A meta-data set on the device; data set by run, with rows that are not there masked.

    Attributes:
        features: [D, N, F]
        meta_features: standardised. [D, K]
        curves: scores from 0 to 1, NaN from where a run ended. [D, N, T]
        log_seconds: mean over the steps. [D, N]
        lengths: steps with a score. int32 [D, N]
        crashed: bool [D, N]
        mask: bool [D, N]
        is_dense: whether run i has the same configuration on every data set. bool []
    """

    features: jax.Array
    meta_features: jax.Array
    curves: jax.Array
    log_seconds: jax.Array
    lengths: jax.Array
    crashed: jax.Array
    mask: jax.Array
    is_dense: jax.Array


class _Runs(NamedTuple):
    """Some runs of one data set, [S]."""

    features: jax.Array
    curves: jax.Array
    log_seconds: jax.Array
    lengths: jax.Array
    crashed: jax.Array
    mask: jax.Array


def scale_meta(meta_features: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean and standard deviation of the logarithms of meta-features [D, K], where known. [K] each"""
    values = log_meta(meta_features)
    there = ~np.isnan(values)
    count = np.maximum(there.sum(0), 1)
    mean = np.where(there, values, 0.0).sum(0) / count
    std = np.sqrt(np.where(there, np.square(values - mean), 0.0).sum(0) / count)
    return mean.astype(np.float32), np.where(std > 1e-6, std, 1.0).astype(np.float32)


def log_meta(meta_features: Any) -> Any:
    """Logarithms that know negative numbers: sizes of data sets differ by factors."""
    xp = jnp if isinstance(meta_features, jax.Array) else np
    return xp.sign(meta_features) * xp.log1p(xp.abs(meta_features))


def mean_log_seconds(costs: np.ndarray) -> np.ndarray:
    """Of the steps [..., T] whose cost is known and not 0; NaN if none is. [...]"""
    there = costs > 0.0
    total = np.where(there, np.log(np.where(there, costs, 1.0)), 0.0).sum(-1)
    return np.where(there.any(-1), total / np.maximum(there.sum(-1), 1), np.nan).astype(np.float32)


def load(meta: MetaDataset) -> RealCurves:
    """Pad the runs of each data set and scale scores to 0 to 1."""
    pools = meta.pools()
    low, high = meta.score_range
    mean, std = scale_meta(meta.meta_features)
    every = pools.config[:1] == pools.config
    return RealCurves(
        features=jnp.asarray(columns.features(meta.columns, meta.configs)[pools.config]),
        meta_features=jnp.asarray((log_meta(meta.meta_features) - mean) / std),
        curves=jnp.asarray((pools.curves - low) / (high - low), jnp.float32),
        log_seconds=jnp.asarray(mean_log_seconds(pools.costs)),
        lengths=jnp.asarray(pools.lengths),
        crashed=jnp.asarray(pools.crashed),
        mask=jnp.asarray(pools.mask),
        is_dense=jnp.asarray(every.all() and pools.mask.all()),
    )


def sample(key: jax.Array, real: RealCurves, config: RealConfig, batch_size: int) -> Exercise:
    """Draw a batch of exercises; all leaves have [batch_size, ...]."""
    return jax.vmap(partial(_exercise, real, config))(jax.random.split(key, batch_size))


def _exercise(real: RealCurves, config: RealConfig, key: jax.Array) -> Exercise:
    keys = jax.random.split(key, 5)
    num_datasets = len(real.mask)
    dataset, second = jax.random.choice(keys[0], num_datasets, (2,), replace=num_datasets < 2)
    own = _choose(keys[1], real, config, dataset, second)
    curves = _warp(keys[2], config, own.curves)
    num_steps = jnp.full(own.lengths.shape, curves.shape[1], jnp.int32)
    crash_step = jnp.where(own.crashed, own.lengths + 1, curves.shape[1] + 1)
    tickets = jnp.where(own.mask, jnp.minimum(own.lengths + own.crashed, num_steps), 0)
    key_weights, key_order = jax.random.split(keys[3])
    weights = training_order.draw_weights(key_weights, len(tickets))
    order = training_order.draw(
        key_order, weights, tickets, config.num_points, curves.shape[1], config.num_queries
    )
    seen = progress(
        order.done,
        crash_step,
        num_steps,
        own.log_seconds,
        lambda at: jnp.take_along_axis(curves, at - 1, axis=1),
    )
    meta = jnp.broadcast_to(real.meta_features[dataset][None], (len(tickets), real.meta_features.shape[1]))
    crashed = order.step >= crash_step[order.candidate]
    questions = Questions(
        candidate=order.candidate,
        step=order.step,
        score=jnp.where(crashed, jnp.nan, curves[order.candidate, order.step - 1]),
        log_seconds=own.log_seconds[order.candidate],
        crashed=crashed,
        mask=order.mask,
    )
    own_table = Table(own.features, meta, seen, own.mask)
    return Exercise(own_table, draw_others(keys[4], real, config.num_others, dataset), questions)


def draw_others(key: jax.Array, real: RealCurves, num: int, left_out: jax.Array | int = -1) -> Table:
    """Whole runs, half of the time of fewer, of all data sets but one. [R]"""
    key_dataset, key_run, key_count = jax.random.split(key, 3)
    allowed = (jnp.arange(len(real.mask)) != left_out) & jnp.any(real.mask, axis=1)
    odds = jnp.where(allowed[:, None] & real.mask, 0.0, -jnp.inf)
    chosen = jax.random.categorical(key_run, odds.reshape(-1), shape=(num,))
    dataset, run = chosen // odds.shape[1], chosen % odds.shape[1]
    most = jnp.where(jax.random.bernoulli(key_dataset), num, jax.random.randint(key_count, (), 0, num + 1))
    picked = jax.tree.map(lambda x: x[dataset, run], _Runs(*_columns(real)))
    num_steps = jnp.full((num,), picked.curves.shape[1], jnp.int32)
    done = jnp.minimum(picked.lengths + picked.crashed, num_steps)
    crash_step = jnp.where(picked.crashed, picked.lengths + 1, num_steps + 1)
    seen = progress(
        done,
        crash_step,
        num_steps,
        picked.log_seconds,
        lambda at: jnp.take_along_axis(picked.curves, at - 1, 1),
    )
    mask = picked.mask & (jnp.arange(num) < most) & jnp.any(allowed)
    return Table(picked.features, real.meta_features[dataset], seen, mask)


def _columns(real: RealCurves) -> tuple[jax.Array, ...]:
    return real.features, real.curves, real.log_seconds, real.lengths, real.crashed, real.mask


def _choose(
    key: jax.Array, real: RealCurves, config: RealConfig, dataset: jax.Array, second: jax.Array
) -> _Runs:
    """Random runs of a data set, mixed with each other, and with the same runs of a second one. [S]"""
    key_rows, key_mix, key_pairs, key_shares, key_partner = jax.random.split(key, 5)
    num_rows = real.mask.shape[1]
    rows = jnp.arange(num_rows)
    one, two = (_Runs(*(x[d] for x in _columns(real))) for d in (dataset, second))
    share_set, share = jax.random.uniform(key_shares, (2,))
    share_set = jnp.where(real.is_dense, share_set, 1.0)
    mixed = _mixed(one, two, jnp.broadcast_to(share_set, rows.shape))
    partner = jax.random.categorical(key_pairs, jnp.where(one.mask, 0.0, -jnp.inf), shape=(num_rows,))
    shares = jax.random.uniform(key_partner, rows.shape) * share + (1.0 - share)
    mixed = _mixed(mixed, jax.tree.map(lambda x: x[partner], mixed), shares)
    is_mixed = jax.random.bernoulli(key_mix, config.mix)
    runs = jax.tree.map(lambda new, old: jnp.where(is_mixed, new, old), mixed, one)
    order = jax.random.uniform(key_rows, rows.shape) - ~runs.mask
    _, chosen = jax.lax.top_k(order, min(config.num_candidates, num_rows))
    return jax.tree.map(lambda x: x[chosen], runs)


def _mixed(one: _Runs, two: _Runs, share: jax.Array) -> _Runs:
    """Runs between two, as long as the shorter; where either crashed, the first one as it is."""
    share = jnp.where(one.crashed | two.crashed | ~two.mask, 1.0, share)

    def between(x: jax.Array, y: jax.Array) -> jax.Array:
        s = share.reshape(share.shape + (1,) * (x.ndim - 1))
        return jnp.where(s == 1.0, x, s * x + (1.0 - s) * y)

    return _Runs(
        between(one.features, two.features),
        between(one.curves, two.curves),
        between(one.log_seconds, two.log_seconds),
        jnp.where(share == 1.0, one.lengths, jnp.minimum(one.lengths, two.lengths)),
        one.crashed,
        one.mask,
    )


def _warp(key: jax.Array, config: RealConfig, scores: jax.Array) -> jax.Array:
    """The distribution function of a random beta distribution, of scores, or the scores as they are."""
    key_mode, key_size, key_whether = jax.random.split(key, 3)
    mode = jax.random.uniform(key_mode)
    size = 10.0 ** jax.random.uniform(key_size, (), minval=-0.5, maxval=1.0)
    known = jnp.where(jnp.isnan(scores), 0.5, scores)
    bent = betainc(1.0 + mode * size, 1.0 + (1.0 - mode) * size, known)
    bent = jnp.where(jnp.isnan(scores), jnp.nan, jnp.clip(bent, 0.0, 1.0))
    return jnp.where(jax.random.bernoulli(key_whether, config.warp), bent, scores)
