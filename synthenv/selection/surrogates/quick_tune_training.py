"""Meta-training of Quick-Tune's deep kernel and of its predictor of costs, on the runs of other data sets.

Axis letters here: D data sets, N runs of a data set, B batch, F inputs of a configuration, K meta-features, T steps.

References:
    Arango et al. (2024), Quick-Tune, algorithm 2.
"""

from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax

from synthenv.selection.surrogates import deep_kernel
from synthenv.selection.surrogates.deep_kernel import DeepKernel, DeepKernelConfig, Points
from synthenv.selection.surrogates.inputs import Scaling, measure, of_configs, of_data_sets
from synthenv.selection.tables import columns
from synthenv.selection.tables.meta_dataset import MetaDataset

_GRADIENT_NORM = 1.0  # at most, of a step of meta-training
_CHECK_EVERY = 250  # steps between two looks at the data sets that are held out
_NUM_CHECKED = 32  # batches of such a look
_LEAST_SECONDS = 1e-3


class CostPredictor(NamedTuple):
    """Layers that tell the logarithm of a step's seconds, in units of its spread over the training runs."""

    layers: tuple[deep_kernel.Linear, ...]
    mean: jax.Array
    std: jax.Array


class Params(NamedTuple):
    """What was learnt: the kernel, the costs, how inputs are scaled, and the range of scores [2]."""

    kernel: DeepKernel
    costs: CostPredictor
    scaling: Scaling
    score_range: jax.Array


class Runs(NamedTuple):
    """The runs of the training data sets, padded to the largest.

    Attributes:
        config: inputs. [D, N, F]
        meta: inputs. [D, K]
        curve: scores in [0, 1], 0 beyond. [D, N, T]
        lengths: steps with a score. int32 [D, N]
        log_seconds: of a step on average; NaN where unknown. [D, N]
        count: of a data set's runs with a score, which come first. int32 [D]
    """

    config: jax.Array
    meta: jax.Array
    curve: jax.Array
    lengths: jax.Array
    log_seconds: jax.Array
    count: jax.Array


def _runs(meta: MetaDataset, scaling: Scaling, inputs: np.ndarray) -> Runs:
    pools = meta.pools()
    low, high = meta.score_range
    order = np.argsort(~(pools.mask & (pools.lengths > 0)), axis=1, kind="stable")
    config, curve, costs, lengths = (
        np.take_along_axis(x, order.reshape(order.shape + (1,) * (x.ndim - 2)), axis=1)
        for x in (pools.config, pools.curves, pools.costs, pools.lengths)
    )
    known = ~np.isnan(costs)
    seconds = np.where(known, costs, 0.0).sum(2) / np.maximum(known.sum(2), 1)
    log_seconds = np.where(known.any(2), np.log(np.maximum(seconds, _LEAST_SECONDS)), np.nan)
    return Runs(
        jnp.asarray(inputs[config]),
        of_data_sets(scaling, jnp.asarray(meta.meta_features)),
        jnp.asarray(np.nan_to_num((curve - low) / (high - low))),
        jnp.asarray(lengths),
        jnp.asarray(log_seconds, jnp.float32),
        jnp.asarray((pools.mask & (pools.lengths > 0)).sum(1)),
    )


def _batch(key: jax.Array, runs: Runs, datasets: jax.Array, size: int) -> tuple[Points, jax.Array, jax.Array]:
    """Points of one of some data sets: a run, a step of it, and how much of the curve before it is known.

    In one half of them that is all of it, in the other any part. The scores and the logarithms of costs come along.
    """
    key_data, key_run, key_after, key_known, key_half = jax.random.split(key, 5)
    d = datasets[jax.random.randint(key_data, (), 0, len(datasets))]
    n = jnp.floor(jax.random.uniform(key_run, (size,)) * runs.count[d]).astype(jnp.int32)
    after = 1 + jnp.floor(jax.random.uniform(key_after, (size,)) * runs.lengths[d, n]).astype(jnp.int32)
    part = jnp.floor(jax.random.uniform(key_known, (size,)) * after).astype(jnp.int32)
    known = jnp.where(jax.random.bernoulli(key_half, 0.5, (size,)), after - 1, part)
    points = Points(runs.config[d, n], runs.meta[d], runs.curve[d, n], known, after)
    return points, runs.curve[d, n, after - 1], runs.log_seconds[d, n]


def predicted_log_seconds(costs: CostPredictor, config: jax.Array, meta: jax.Array) -> jax.Array:
    """Logarithm of a step's seconds for inputs [B, F] of configurations on one data set [K]. [B]"""
    x = jnp.concatenate([config, jnp.broadcast_to(meta, (len(config), len(meta)))], axis=1)
    return deep_kernel.through(costs.layers, x, False)[:, 0] * costs.std + costs.mean


def _loss(
    weights: tuple[DeepKernel, CostPredictor], points: Points, scores: jax.Array, log_seconds: jax.Array
) -> tuple[jax.Array, jax.Array]:
    """What the kernel and the predictor of costs are trained to make small."""
    kernel, costs = weights
    rows = deep_kernel.coordinates(kernel, points)
    nll = deep_kernel.negative_log_likelihood(kernel.process, rows, scores, jnp.ones(len(scores), bool))
    error = (predicted_log_seconds(costs, points.config, points.meta) - log_seconds) / costs.std
    return nll, 0.5 * jnp.mean(jnp.where(jnp.isnan(error), 0.0, jnp.square(error)))


def fit(key: jax.Array, meta: MetaDataset, config: DeepKernelConfig) -> Params:
    """Train on the runs of a meta-data set.

    A fifth of its data sets is held out; of the weights on the way, those count that tell these data sets best. With
    fewer than three data sets none is held out, and the last weights count.
    """
    inputs_of = columns.features(meta.columns, meta.configs)
    scaling = measure(inputs_of[meta.config_of], meta.meta_features)
    inputs = np.asarray(of_configs(scaling, jnp.asarray(inputs_of)))
    runs = _runs(meta, scaling, inputs)
    key_init, key_costs, key_split, key_train, key_check = jax.random.split(key, 5)
    num_inputs, num_meta = inputs.shape[1], runs.meta.shape[1]
    known = runs.log_seconds[~jnp.isnan(runs.log_seconds)]
    spread = jnp.maximum(jnp.std(known), 1e-3) if len(known) else jnp.asarray(1.0)
    costs = CostPredictor(
        deep_kernel.init_layers(key_costs, num_inputs + num_meta, config.width, config.width, 1),
        jnp.mean(known) if len(known) else jnp.asarray(0.0),
        spread,
    )
    weights = deep_kernel.init(key_init, config, num_inputs, num_meta, meta.num_steps)
    order = jax.random.permutation(key_split, jnp.flatnonzero(runs.count > 0))
    num_held_out = len(order) // 5 if len(order) >= 5 else int(len(order) >= 3)
    training, held_out = order[num_held_out:], order[:num_held_out]
    kernel, costs = _train(config, key_train, key_check, (weights, costs), runs, training, held_out)
    return Params(kernel, costs, scaling, jnp.asarray(meta.score_range))


@partial(jax.jit, static_argnames="config")
def _train(
    config: DeepKernelConfig,
    key: jax.Array,
    key_check: jax.Array,
    weights: tuple[DeepKernel, CostPredictor],
    runs: Runs,
    training: jax.Array,
    held_out: jax.Array,
) -> tuple[DeepKernel, CostPredictor]:
    """Alternate between some gradient steps and a look at the held-out data sets; keep the best of each part."""
    schedule = optax.cosine_decay_schedule(config.learning_rate, config.num_iterations, 1e-3)
    optimizer = optax.chain(optax.clip_by_global_norm(_GRADIENT_NORM), optax.adam(schedule))

    def step(carry: tuple[Any, Any], key: jax.Array) -> tuple[tuple[Any, Any], None]:
        weights, state = carry
        batch = _batch(key, runs, training, config.batch_size)
        gradient = jax.grad(lambda w: sum(_loss(w, *batch)))(weights)
        gradient = (gradient[0], gradient[1]._replace(mean=jnp.zeros(()), std=jnp.zeros(())))
        updates, state = optimizer.update(gradient, state, weights)
        return (optax.apply_updates(weights, updates), state), None

    def errors(weights: Any) -> jax.Array:
        keys = jax.random.split(key_check, _NUM_CHECKED)
        batches = jax.vmap(lambda k: _batch(k, runs, held_out, config.batch_size))(keys)
        nll, error = jax.lax.map(lambda batch: _loss(weights, *batch), batches)
        return jnp.stack([jnp.mean(nll), jnp.mean(error)])

    def chunk(carry: tuple[Any, Any, jax.Array], keys: jax.Array) -> tuple[Any, None]:
        (weights, state), best, least = carry
        (weights, state), _ = jax.lax.scan(step, (weights, state), keys)
        if not len(held_out):
            return ((weights, state), weights, least), None
        error = errors(weights)
        best = tuple(_if(better, *parts) for better, *parts in zip(error < least, weights, best, strict=True))
        return ((weights, state), best, jnp.minimum(error, least)), None

    num_chunks = -(-config.num_iterations // _CHECK_EVERY)
    keys = jax.random.split(key, (num_chunks, _CHECK_EVERY))
    start = ((weights, optimizer.init(weights)), weights, jnp.full(2, jnp.inf))
    return jax.lax.scan(chunk, start, keys)[0][1]


def _if(condition: jax.Array, new: Any, old: Any) -> Any:
    return jax.tree.map(lambda a, b: jnp.where(condition, a, b), new, old)
