"""The latent Kronecker Gaussian process: a kernel over configurations times a kernel over steps.

If all curves were complete, their covariance would be a Kronecker product; of those that are not, the part that was
seen is conditioned on. Length scales (one for every feature, one for the steps' logarithms) and noise climb the
marginal likelihood: first over the curves of other data sets, then, from there and held back by it, by a step of Adam
with every score. Mean and variance of the signal are in closed form.

The part that was seen is small here, so its covariance is factorised as it is; conjugate gradients with the product,
as the paper has them for tens of thousands of points, would not pay. Beyond ``capacity`` points, those are left out
that tell the least of what comes next.

Axis letters here: D data sets, N candidates, F features, T steps, M points.

References:
    Lin, Ament, Balandat and Bakshy (2024), Scaling Gaussian processes for learning curve prediction via latent
    Kronecker structure.
"""

from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax.scipy.linalg import solve_triangular

from synthenv.nets.gaussian_process import exact
from synthenv.nets.gaussian_process.kernels import matern52, squared_distance
from synthenv.nets.gaussian_process.marginal_likelihood import Belief, condition, slopes
from synthenv.nets.gaussian_process.sign_steps import Logs
from synthenv.selection.forecast import Forecast, Mixture
from synthenv.selection.surrogates import step_seconds
from synthenv.selection.surrogates.history import History, Rows, append, empty, telling_rows
from synthenv.selection.surrogates.step_seconds import StepSeconds
from synthenv.selection.surrogates.surrogate import Candidates, Seen, Surrogate
from synthenv.selection.tables import columns
from synthenv.selection.tables.meta_dataset import MetaDataset

NOISE_FLOOR = 1e-4  # as a share of the signal's variance
_FIRST_NOISE = 1e-3
_ADAM = optax.adam(0.05)
_SPREAD = 1.0  # of hyperparameters round those of other data sets, in nats
_SURPRISES = 0.03  # of scores that lie as far off as if nothing were known
_FIT_STEPS, _FIT_POINTS = 100, 192


class Params(NamedTuple):
    """What was learnt from other data sets.

    Attributes:
        logs: inverse length scales, of features and then of steps [F + 1], and noise.
        belief: in a new data set's mean and signal.
        low: the least score.
        width: from the least to the greatest score.
        seconds: what steps take.
    """

    logs: Logs
    belief: Belief
    low: jax.Array
    width: jax.Array
    seconds: StepSeconds


class State(NamedTuple):
    """A data set half seen.

    Attributes:
        features: of the candidates. [N, F]
        history: what was seen, scores in [0, 1].
        logs: hyperparameters of this data set.
        adam: state of their search.
    """

    features: jax.Array
    history: History
    logs: Logs
    adam: Any


def kernel(
    logs: Logs, features: jax.Array, steps: jax.Array, others: jax.Array, other_steps: jax.Array
) -> jax.Array:
    """Covariance of points in units of the signal's variance: features [M, F] and [L, F], log steps [M] and [L]."""
    scales = jnp.exp(logs.scales)
    moved, moved_others = features * scales[None, :-1], others * scales[None, :-1]
    # Rough over steps, since curves have sudden ends; a smooth kernel is too sure of what comes.
    over_steps = jnp.exp(-scales[-1] * jnp.abs(steps[:, None] - other_steps[None]))
    return matern52(squared_distance(moved, moved_others)) * over_steps


def _time(step: jax.Array, num_steps: int) -> jax.Array:
    """The logarithm of a step, in [0, 1]."""
    return jnp.log(step.astype(jnp.float32)) / max(float(np.log(num_steps)), 1.0)


def _covariance(logs: Logs, features: jax.Array, time: jax.Array, mask: jax.Array) -> jax.Array:
    noise = (NOISE_FLOOR + jnp.exp(logs.noise)) * jnp.eye(len(time))
    return exact.masked(kernel(logs, features, time, features, time) + noise, mask)


def _slopes(logs: Logs, belief: Belief, features: jax.Array, time: jax.Array, rows: Rows) -> Logs:
    """Of the negative logarithm of the likelihood of some points."""
    covariance = partial(_covariance, features=features, time=time, mask=rows.mask)
    posterior = condition(exact.cholesky(covariance(logs)), rows.score, rows.mask, belief)
    found = slopes(logs, covariance, posterior)
    return jax.tree.map(lambda slope: jnp.where(jnp.isfinite(slope), slope, 0.0), found)


def fit(key: jax.Array, meta: MetaDataset) -> Params:
    """Learn where a search for hyperparameters begins, and how scores and seconds usually are."""
    pools = meta.pools()
    low, high = meta.score_range
    curves = (jnp.asarray(pools.curves) - low) / (high - low)
    means = jnp.nanmean(curves, axis=(1, 2))
    within = jnp.nanmean(jnp.nanvar(curves, axis=(1, 2)))
    belief = Belief(jnp.nanmean(means), jnp.ones(()), jnp.maximum(within, 1e-6), jnp.full((), 2.0))
    x = jnp.asarray(columns.features(meta.columns, meta.configs))
    num_features = max(x.shape[1], 1)
    start = Logs(jnp.full(x.shape[1] + 1, -0.5 * np.log(num_features)), jnp.asarray(np.log(_FIRST_NOISE)))
    logs = _climb(key, start._replace(scales=start.scales.at[-1].set(0.0)), belief, x, curves, pools.config)
    scale = (jnp.asarray(low, jnp.float32), jnp.asarray(high - low, jnp.float32))
    return Params(logs, belief, *scale, step_seconds.fit(meta))


@jax.jit
def _climb(
    key: jax.Array, logs: Logs, belief: Belief, x: jax.Array, curves: jax.Array, config: jax.Array
) -> Logs:
    """Adam over random points of a random data set at each step."""
    num_datasets, _, num_steps = curves.shape
    num_points = min(_FIT_POINTS, curves[0].size)

    def one(carry: tuple[Logs, Any], key: jax.Array) -> tuple[Any, None]:
        logs, adam = carry
        key_dataset, key_points = jax.random.split(key)
        dataset = jax.random.randint(key_dataset, (), 0, num_datasets)
        scores = curves[dataset].ravel()
        lot = jax.random.uniform(key_points, scores.shape) + jnp.isnan(scores)
        place = jax.lax.top_k(-lot, num_points)[1]
        mask, candidate, step = ~jnp.isnan(scores[place]), place // num_steps, place % num_steps + 1
        rows = Rows(candidate, step, jnp.where(mask, scores[place], 0.0), mask)
        found = _slopes(logs, belief, x[config[dataset]][candidate], _time(step, num_steps), rows)
        change, adam = _ADAM.update(found, adam)
        return (optax.apply_updates(logs, change), adam), None

    return jax.lax.scan(one, (logs, _ADAM.init(logs)), jax.random.split(key, _FIT_STEPS))[0][0]


def start(params: Params, candidates: Candidates, num_steps: int, capacity: int) -> State:
    """Nothing seen yet."""
    history = empty(len(candidates.features), num_steps, capacity)
    return State(jnp.asarray(candidates.features), history, params.logs, _ADAM.init(params.logs))


def _points(state: State, capacity: int) -> tuple[Rows, jax.Array, jax.Array]:
    """The points that count, their features and times."""
    rows = telling_rows(state.history, capacity)
    return rows, state.features[rows.candidate], _time(rows.step, state.history.curves.shape[1])


def update(params: Params, state: State, seen: Seen, capacity: int) -> State:
    """One more score, and a step of Adam up the likelihood times that of the hyperparameters themselves."""
    score = (seen.score - params.low) / params.width
    state = state._replace(history=append(state.history, seen._replace(score=score)))
    rows, features, time = _points(state, capacity)
    found = _slopes(state.logs, params.belief, features, time, rows)
    found = jax.tree.map(
        lambda slope, log, usual: slope + (log - usual) / _SPREAD**2, found, state.logs, params.logs
    )
    change, adam = _ADAM.update(found, state.adam)
    return state._replace(logs=optax.apply_updates(state.logs, change), adam=adam)


def forecast(params: Params, state: State, steps: jax.Array, capacity: int) -> Forecast:
    """Scores with their noise, in the data set's own units; what is not known of the mean counts, too."""
    rows, features, time = _points(state, capacity)
    logs = state.logs
    factor = exact.cholesky(_covariance(logs, features, time, rows.mask))
    posterior = condition(factor, rows.score, rows.mask, params.belief)
    asked = _time(jnp.maximum(steps, 1), state.history.curves.shape[1])
    crossed = kernel(logs, features, time, state.features, asked)
    crossed = solve_triangular(factor, jnp.where(rows.mask[:, None], crossed, 0.0), lower=True)
    residual = jnp.where(rows.mask, rows.score - posterior.mean, 0.0)
    both = jnp.stack([residual, rows.mask.astype(residual.dtype)], axis=1)
    white, ones = solve_triangular(factor, both, lower=True).T
    noise = NOISE_FLOOR + jnp.exp(logs.noise)
    said = exact.from_white(white, crossed, jnp.ones(len(steps)))
    of_mean = jnp.square(1.0 - ones @ crossed) / (ones @ ones + params.belief.mean_weight)
    std = jnp.sqrt(posterior.signal * (said.variance + noise + of_mean))
    # Some curves break off in a way that no process expects: then they are anywhere where scores of data sets are.
    stds = params.width * jnp.stack([std, jnp.maximum(std, jnp.sqrt(params.belief.signal))], axis=-1)
    mean = params.low + params.width * (posterior.mean + said.mean)
    shares = jnp.broadcast_to(jnp.asarray([1.0 - _SURPRISES, _SURPRISES]), stds.shape)
    score = Mixture(jnp.broadcast_to(mean[:, None], stds.shape), stds, shares)
    seconds = step_seconds.forecast(params.seconds, state.features, state.history)
    return Forecast(score, step_seconds.until(seconds, state.history, steps))


def latent_kronecker(capacity: int = 256) -> Surrogate:
    """The surrogate that looks at so many points of curves at a time."""
    return Surrogate(
        "latent_kronecker",
        "a Gaussian process over configurations times steps",
        fit,
        partial(start, capacity=capacity),
        partial(update, capacity=capacity),
        partial(forecast, capacity=capacity),
    )
