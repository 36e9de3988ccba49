"""Random tasks as exercises: the prior that a curve transformer is trained on.

One random network makes all runs of an exercise: those on the data set at hand and those on others, which differ in
what it sees of them. Its outputs are the curves, the seconds of a step and where configurations crash.

``PriorConfig()`` is the prior of ifBO: plain columns, one data set, no costs, no crashes. ``FULL`` has everything.

References:
    Rakotoarison et al. (2024), In-context freeze-thaw Bayesian optimization, and its released prior.
"""

from dataclasses import dataclass, field
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax.scipy.stats import norm

from synthenv.selection.curve_prior import curves, random_networks, search_space, training_order
from synthenv.selection.curve_prior.curves import NUM_PARAMETERS, Curve
from synthenv.selection.curve_prior.examples import Exercise, Progress, Questions, Table, progress
from synthenv.selection.curve_prior.random_networks import NetworkConfig
from synthenv.selection.curve_prior.search_space import Configurations, SpaceConfig

_SECONDS, _CRASH = NUM_PARAMETERS, NUM_PARAMETERS + 1  # of the network's outputs


@dataclass(frozen=True)
class PriorConfig:
    """Sizes of exercises, and what there is in them.

    Attributes:
        num_candidates: S.
        num_others: R, runs on other data sets.
        num_datasets: other data sets at most.
        num_meta: K, meta-features.
        most_steps: of a whole run.
        num_points: tickets drawn, see ``training_order``.
        num_queries: Q.
        space: of configurations.
        network: that makes everything from them.
        seconds: how often costs are known.
        crashes: how often there are regions that crash.
    """

    num_candidates: int = 1000
    num_others: int = 0
    num_datasets: int = 1
    num_meta: int = 1
    most_steps: int = 1000
    num_points: int = 1000
    num_queries: int = 1000
    space: SpaceConfig = field(default_factory=SpaceConfig)
    network: NetworkConfig = field(default_factory=NetworkConfig)
    seconds: float = 0.0
    crashes: float = 0.0


IFBO = PriorConfig()
FULL = PriorConfig(
    num_candidates=64,
    num_others=48,
    num_datasets=8,
    num_meta=4,
    most_steps=50,
    num_points=300,
    num_queries=48,
    space=SpaceConfig(12, 5, choices=0.35, levels=0.25, inactive=0.2, hidden=0.1, least_relevance=-1.2),
    seconds=0.85,
    crashes=0.5,
)


class _DataSets(NamedTuple):
    """What tells the data sets of an exercise apart; the first is the one at hand. [G] and [G, K]"""

    meta_features: jax.Array
    inputs: jax.Array
    start: jax.Array
    most: jax.Array
    log_seconds: jax.Array


class _Runs(NamedTuple):
    """All runs of an exercise, whole. [S + R]"""

    curve: Curve
    log_seconds: jax.Array
    num_steps: jax.Array
    crash_step: jax.Array


def sample(key: jax.Array, config: PriorConfig, batch_size: int) -> Exercise:
    """Draw a batch of exercises; all leaves have [batch_size, ...]."""
    key_hidden, key_each = jax.random.split(key)
    hidden = random_networks.draw_hidden(key_hidden, config.network)
    keys = jax.random.split(key_each, batch_size)
    return jax.vmap(partial(_exercise, config), (0, None))(keys, hidden)


def _exercise(config: PriorConfig, key: jax.Array, hidden: jax.Array) -> Exercise:
    keys = jax.random.split(key, 7)
    num_own, num_all = config.num_candidates, config.num_candidates + config.num_others
    space = search_space.draw_space(keys[0], config.space)
    rows = search_space.draw_configurations(keys[1], config.space, space, num_all)
    data = _draw_datasets(keys[2], config)
    dataset, mask = _assign(keys[3], config)
    inputs = jnp.concatenate([rows.inputs, data.inputs[dataset]], axis=1)
    outputs = random_networks.apply(keys[4], config.network, hidden, inputs, _CRASH + 1)
    scores = random_networks.normal_scores(outputs)
    runs = _draw_runs(keys[5], config, scores, data, dataset, rows)
    key_weights, key_order, key_done, key_seen, key_truth = jax.random.split(keys[6], 5)
    order = training_order.draw(
        key_order,
        training_order.draw_weights(key_weights, num_own),
        jnp.minimum(runs.num_steps, runs.crash_step)[:num_own],
        config.num_points,
        config.most_steps,
        config.num_queries,
    )
    done = jnp.concatenate([order.done, _others_done(key_done, runs, num_own)])
    seen = _seen(key_seen, runs, done)
    table = Table(rows.features, data.meta_features[dataset], seen, mask)
    return Exercise(
        own=jax.tree.map(lambda x: x[:num_own], table),
        others=jax.tree.map(lambda x: x[num_own:], table),
        questions=_truth(key_truth, runs, order),
    )


def _draw_datasets(key: jax.Array, config: PriorConfig) -> _DataSets:
    """Draw meta-features and what else belongs to a data set; some meta-features matter and some are not told."""
    keys = jax.random.split(key, 9)
    num = config.num_datasets + 1
    shape = (num, config.num_meta)
    meta = jax.random.normal(keys[0], shape)
    strength = 10.0 ** jax.random.uniform(keys[1], (1, config.num_meta), minval=-2.0, maxval=0.0)
    # Data sets differ in more than their meta-features say.
    unknown = jax.random.normal(keys[2], shape) * 10.0 ** jax.random.uniform(
        keys[3], (), minval=-2.0, maxval=-0.5
    )
    told = jax.random.bernoulli(keys[4], 0.8, (1, config.num_meta)) & jax.random.bernoulli(keys[5], 0.8)
    ends = jnp.sort(jax.random.uniform(keys[6], (2, num)), axis=0)
    slope = jax.random.normal(keys[7], (config.num_meta,)) / config.num_meta**0.5
    key_mean, key_rest, key_most = jax.random.split(keys[8], 3)
    mean = 3.0 + 2.0 * jax.random.normal(key_mean)
    return _DataSets(
        meta_features=jnp.where(told, meta, jnp.nan),
        inputs=(meta + unknown) * jnp.broadcast_to(strength, shape),
        start=ends[0],
        most=jnp.where(jax.random.bernoulli(key_most, 0.25, (num,)), ends[1], 1.0),
        log_seconds=mean + meta @ slope + 0.3 * jax.random.normal(key_rest, (num,)),
    )


def _assign(key: jax.Array, config: PriorConfig) -> tuple[jax.Array, jax.Array]:
    """The data set of each run, and which runs there are; often there are none on other data sets. [S + R] each"""
    key_num, key_any, key_which, key_rows = jax.random.split(key, 4)
    num = jax.random.randint(key_num, (), 1, config.num_datasets + 1)
    others = 1 + jax.random.randint(key_which, (config.num_others,), 0, num)
    most = jax.random.randint(key_rows, (), 0, config.num_others + 1)
    there = (jnp.arange(config.num_others) < most) & jax.random.bernoulli(key_any, 0.7)
    own = jnp.zeros(config.num_candidates, jnp.int32)
    return jnp.concatenate([own, others]), jnp.concatenate([own == 0, there])


def _draw_runs(
    key: jax.Array,
    config: PriorConfig,
    scores: jax.Array,
    data: _DataSets,
    dataset: jax.Array,
    rows: Configurations,
) -> _Runs:
    """Read the network's outputs, as normal scores [S + R, 25], as runs."""
    keys = jax.random.split(key, 8)
    num = dataset.shape
    most_log = jnp.log10(float(config.most_steps))
    num_steps = jnp.round(10.0 ** jax.random.uniform(keys[0], (), minval=0.0, maxval=most_log)).astype(
        jnp.int32
    )
    # Choices such as the network to fine-tune decide what a step costs.
    price = jax.random.normal(keys[1], (config.space.most_columns, config.space.places))
    price = price * 1.5 * jax.random.uniform(keys[2], (config.space.most_columns, 1)) ** 3
    chosen = jnp.arange(config.space.most_columns)[None]
    log_seconds = (
        data.log_seconds[dataset]
        + jnp.sum(price[jnp.broadcast_to(chosen, rows.option.shape), rows.option], axis=1)
        + jax.random.uniform(keys[3]) * scores[:, _SECONDS]
    )
    log_seconds = jnp.where(jax.random.bernoulli(keys[4], config.seconds), log_seconds, jnp.nan)
    can_crash = jax.random.bernoulli(keys[5], config.crashes)
    threshold = norm.isf(jax.random.uniform(keys[6], minval=0.01, maxval=0.3))
    crashes = can_crash & (scores[:, _CRASH] > threshold)
    when = jnp.ceil(jax.random.uniform(keys[7], num) ** 4 * num_steps).astype(jnp.int32)
    return _Runs(
        curve=curves.from_scores(scores[:, :NUM_PARAMETERS], data.start[dataset], data.most[dataset]),
        log_seconds=log_seconds,
        num_steps=jnp.full(num, num_steps),
        crash_step=jnp.where(crashes, jnp.maximum(when, 1), num_steps + 1),
    )


def _others_done(key: jax.Array, runs: _Runs, num_own: int) -> jax.Array:
    """How long the runs on other data sets went: most of them to their end. int32 [R]"""
    key_whole, key_part = jax.random.split(key)
    most = jnp.minimum(runs.num_steps, runs.crash_step)[num_own:]
    part = jnp.ceil(jax.random.uniform(key_part, most.shape) * most).astype(jnp.int32)
    return jnp.where(jax.random.bernoulli(key_whole, 0.7, most.shape), most, jnp.maximum(part, 1))


def _seen(key: jax.Array, runs: _Runs, done: jax.Array) -> Progress:
    """What was seen of all runs after so many steps [S + R]."""
    key_score, key_seconds = jax.random.split(key)

    def score(steps: jax.Array) -> jax.Array:
        exact = jax.vmap(curves.noise_free, (None, 1), 1)(runs.curve, steps / runs.num_steps[:, None])
        # The same step shown twice has the same noise.
        first = jnp.argmax(steps[:, :, None] == steps[:, None, :], axis=2)
        noise = jnp.take_along_axis(jax.random.normal(key_score, steps.shape), first, axis=1)
        return jnp.clip(exact + noise * runs.curve.noise[:, None], 0.0, 1.0)

    spread = 0.05 * jax.random.normal(key_seconds, done.shape)
    return progress(done, runs.crash_step, runs.num_steps, runs.log_seconds + spread, score)


def _truth(key: jax.Array, runs: _Runs, order: training_order.Order) -> Questions:
    """What comes of the candidates that are asked for."""
    curve, num_steps = jax.tree.map(lambda x: x[order.candidate], (runs.curve, runs.num_steps))
    crashed = order.step >= runs.crash_step[order.candidate]
    score = curves.observe(key, curve, order.step / num_steps)
    return Questions(
        candidate=order.candidate,
        step=order.step,
        score=jnp.where(crashed, jnp.nan, score),
        log_seconds=runs.log_seconds[order.candidate],
        crashed=crashed,
        mask=order.mask,
    )
