"""Quick-Tune without refitting: a deep kernel and a predictor of costs, learnt from the runs of other data sets.

``fit`` trains on curves that were seen before; in a search nothing is trained, the process is told what was seen. It
differs from the paper in five ways, each of which is measured in ``experiments/pipeline_selection``: it looks
``reach`` steps ahead instead of one, has one row for each candidate instead of one for each step, compares with the
best score of all steps, has a mean that the network tells, and does not refit.

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

from synthenv.selection.forecast import Forecast, Normal
from synthenv.selection.surrogates import deep_kernel
from synthenv.selection.surrogates.deep_kernel import DeepKernel, DeepKernelConfig, Points
from synthenv.selection.surrogates.inputs import Scaling, measure, of_configs, of_data_sets
from synthenv.selection.surrogates.surrogate import Candidates, Seen, Surrogate
from synthenv.selection.tables import columns
from synthenv.selection.tables.meta_dataset import MetaDataset

_GRADIENT_NORM = 1.0  # at most, of a step of meta-training
_CHECK_EVERY = 250  # steps between two looks at the data sets that are held out
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


class State(NamedTuple):
    """A data set in search.

    Attributes:
        config: inputs of the candidates. [N, F]
        meta: inputs of the data set. [K]
        curve: scores so far in [0, 1], 0 beyond. [N, T]
        steps: steps seen. int32 [N]
        seconds: of a step: as predicted, then as last seen. [N]
    """

    config: jax.Array
    meta: jax.Array
    curve: jax.Array
    steps: jax.Array
    seconds: jax.Array


class _Runs(NamedTuple):
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


def _runs(meta: MetaDataset, scaling: Scaling, inputs: np.ndarray) -> _Runs:
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
    return _Runs(
        jnp.asarray(inputs[config]),
        of_data_sets(scaling, jnp.asarray(meta.meta_features)),
        jnp.asarray(np.nan_to_num((curve - low) / (high - low))),
        jnp.asarray(lengths),
        jnp.asarray(log_seconds, jnp.float32),
        jnp.asarray((pools.mask & (pools.lengths > 0)).sum(1)),
    )


def _batch(
    key: jax.Array, runs: _Runs, datasets: jax.Array, size: int
) -> tuple[Points, jax.Array, jax.Array]:
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


def _log_seconds(costs: CostPredictor, config: jax.Array, meta: jax.Array) -> jax.Array:
    """Logarithm of a step's seconds for inputs [B, F] of configurations on one data set [K]. [B]"""
    x = jnp.concatenate([config, jnp.broadcast_to(meta, (len(config), len(meta)))], axis=1)
    return deep_kernel._through(costs.layers, x, False)[:, 0] * costs.std + costs.mean


def _loss(
    weights: tuple[DeepKernel, CostPredictor], points: Points, scores: jax.Array, log_seconds: jax.Array
):
    kernel, costs = weights
    rows = deep_kernel.coordinates(kernel, points)
    nll = deep_kernel.negative_log_likelihood(kernel.process, rows, scores, jnp.ones(len(scores), bool))
    error = (_log_seconds(costs, points.config, points.meta) - log_seconds) / costs.std
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
        deep_kernel._init_layers(key_costs, num_inputs + num_meta, config.width, config.width, 1),
        jnp.mean(known) if len(known) else jnp.asarray(0.0),
        spread,
    )
    kernel = deep_kernel.init(key_init, config, num_inputs, num_meta, meta.num_steps)
    order = jax.random.permutation(key_split, jnp.flatnonzero(runs.count > 0))
    num_held_out = len(order) // 5 if len(order) >= 5 else int(len(order) >= 3)
    train = partial(_train, config, key_train, key_check)
    kernel, costs = jax.jit(train)((kernel, costs), runs, order[num_held_out:], order[:num_held_out])
    return Params(kernel, costs, scaling, jnp.asarray(meta.score_range))


def _train(
    config: DeepKernelConfig,
    key: jax.Array,
    key_check: jax.Array,
    weights: tuple[DeepKernel, CostPredictor],
    runs: _Runs,
    training: jax.Array,
    held_out: jax.Array,
) -> tuple[DeepKernel, CostPredictor]:
    """Alternate between some gradient steps and a look at the held-out data sets; keep the best of each part."""
    schedule = optax.cosine_decay_schedule(config.learning_rate, config.num_iterations, 1e-3)
    optimizer = optax.chain(optax.clip_by_global_norm(_GRADIENT_NORM), optax.adam(schedule))

    def step(carry, key):
        weights, state = carry
        batch = _batch(key, runs, training, config.batch_size)
        gradient = jax.grad(lambda w: sum(_loss(w, *batch)))(weights)
        gradient = (gradient[0], gradient[1]._replace(mean=jnp.zeros(()), std=jnp.zeros(())))
        updates, state = optimizer.update(gradient, state, weights)
        return (optax.apply_updates(weights, updates), state), None

    def errors(weights) -> jax.Array:
        keys = jax.random.split(key_check, 32)
        batches = jax.vmap(lambda k: _batch(k, runs, held_out, config.batch_size))(keys)
        return jnp.stack(_loss_of_batches(weights, batches))

    def chunk(carry, keys):
        (weights, state), best, least = carry
        (weights, state), _ = jax.lax.scan(step, (weights, state), keys)
        if not len(held_out):
            return ((weights, state), weights, least), None
        error = errors(weights)
        best = tuple(_if(better, *parts) for better, *parts in zip(error < least, weights, best, strict=True))
        return ((weights, state), best, jnp.minimum(error, least)), error

    num_chunks = -(-config.num_iterations // _CHECK_EVERY)
    keys = jax.random.split(key, (num_chunks, _CHECK_EVERY))
    start = ((weights, optimizer.init(weights)), weights, jnp.full(2, jnp.inf))
    return jax.lax.scan(chunk, start, keys)[0][1]


def _if(condition: jax.Array, new: Any, old: Any) -> Any:
    return jax.tree.map(lambda a, b: jnp.where(condition, a, b), new, old)


def _loss_of_batches(weights, batches) -> tuple[jax.Array, jax.Array]:
    nll, error = jax.lax.map(lambda batch: _loss(weights, *batch), batches)
    return jnp.mean(nll), jnp.mean(error)


def start(params: Params, candidates: Candidates, num_steps: int) -> State:
    """A data set of which nothing is seen yet."""
    config = of_configs(params.scaling, candidates.features)
    meta = of_data_sets(params.scaling, candidates.meta_features)
    num = len(candidates.mask)
    seconds = jnp.exp(_log_seconds(params.costs, config, meta))
    return State(config, meta, jnp.zeros((num, num_steps)), jnp.zeros(num, jnp.int32), seconds)


def update(params: Params, state: State, seen: Seen) -> State:
    """Remember a score and its cost; a crash (NaN) has no score to remember."""
    low, high = params.score_range
    place = (seen.candidate, seen.step - 1)
    score = jnp.where(jnp.isnan(seen.score), state.curve[place], (seen.score - low) / (high - low))
    has_score = ~jnp.isnan(seen.score)
    seconds = jnp.where(jnp.isnan(seen.seconds), state.seconds[seen.candidate], seen.seconds)
    return state._replace(
        curve=state.curve.at[place].set(score),
        steps=state.steps.at[seen.candidate].set(
            jnp.where(has_score, seen.step, state.steps[seen.candidate])
        ),
        seconds=state.seconds.at[seen.candidate].set(seconds),
    )


def forecast(reach: int, params: Params, state: State, steps: jax.Array) -> Forecast:
    """Scores of all candidates after ``steps`` [N], in units of the meta-data set, and the seconds of the way there."""
    kernel, started = params.kernel, state.steps > 0
    told = Points(state.config, state.meta, state.curve, jnp.maximum(state.steps - reach, 0), state.steps)
    asked = Points(state.config, state.meta, state.curve, state.steps, steps)
    last = jnp.take_along_axis(state.curve, jnp.maximum(state.steps - 1, 0)[:, None], axis=1)[:, 0]
    rows, queries = (deep_kernel.coordinates(kernel, points) for points in (told, asked))
    mean, variance = deep_kernel.posterior(kernel.process, rows, last, started, queries)
    low, high = params.score_range
    score = Normal(low + mean * (high - low), jnp.sqrt(variance) * (high - low))
    return Forecast(score, state.seconds * (steps - state.steps))


def quick_tune_surrogate(name: str, about: str, config: DeepKernelConfig) -> Surrogate:
    """The surrogate under a name."""
    return Surrogate(name, about, partial(fit, config=config), start, update, partial(forecast, config.reach))
