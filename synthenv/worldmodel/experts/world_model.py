"""The closed-form experts as a world model of their own: no weights, nothing trained, one pass over the context.

The pretrained model starts from it, and as an ablation it tells what pretraining adds.

Many rewards depend on where a step leads rather than on where it begins. Every reward expert is fitted to both, and
the one of the two with the smaller leave-one-out error is kept. If that is the expert of where a step leads, it is
later asked about the predicted observation, though its residuals belong to the true one. The error that a wrong
prediction adds to the reward is not counted, so ``reward_std`` is too small where the model knows rewards better than
dynamics.

Experts are weighted by how well they did near the query, on rows that were left out.
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from synthenv.core.types import Prediction, Transition, WorldModel
from synthenv.worldmodel.experts import ensemble
from synthenv.worldmodel.experts.ensemble import METRIC_ROWS, Experts, MetricRows
from synthenv.worldmodel.regression import closed_form, end_limits
from synthenv.worldmodel.regression.blas_threads import one_blas_thread
from synthenv.worldmodel.regression.columns import (
    Columns,
    distinct,
    in_double,
    inputs_like,
    measure,
    snap,
    standardise,
)
from synthenv.worldmodel.regression.double_precision import double_on_host, single
from synthenv.worldmodel.regression.end_limits import Limits

_BLOCK = 32  # rows
# XLA reserves 15 matrices of all pairs of rows for ``fit`` in double precision, and the decomposition takes 2 more.
BYTES_PER_PAIR = 136.0


class Cache(NamedTuple):
    """An encoded context.

    Attributes:
        columns: how its numbers are standardised.
        step: experts for change and reward, asked about observation and action.
        reward: experts for the reward, asked about the observation that follows and the action; Y is 1.
        after: which experts in ``reward`` did better than those in ``step``. bool [K]
        error: typical squared leave-one-out errors, see ``closed_form.typical``. [K, Y]
        rounding: squared errors that single precision adds. [K, Y]
        weights: the experts' shares where no row is near. [K, Y]
        left_out: leave-one-out residuals of all experts, standardised. [K, Y, C]
        limits: limits beyond which episodes end; None where they are not needed.
    """

    columns: Columns
    step: Experts
    reward: Experts
    after: jax.Array
    error: jax.Array
    rounding: jax.Array
    weights: jax.Array
    left_out: jax.Array
    limits: Limits | None = None


class Word(NamedTuple):
    """What the experts say to one query, standardised.

    Attributes:
        said: each expert's prediction. [K, Y]
        local: each expert's typical squared error near the query. [K, Y]
        weights: the experts' shares, by these errors. [K, Y]
    """

    said: jax.Array
    local: jax.Array
    weights: jax.Array

    @property
    def mean(self) -> jax.Array:
        """Return the experts' weighted mean. [Y]"""
        return jnp.sum(self.weights * self.said, axis=0)


def fit(
    inputs: jax.Array,
    after: jax.Array,
    targets: jax.Array,
    mask: jax.Array,
    metric_rows: MetricRows = METRIC_ROWS,
) -> Cache:
    """Fit all experts.

    Args:
        inputs: observation and action; rows in random order, those that are there first. [C, D]
        after: observation that follows, and action. [C, D]
        targets: change and reward. [C, Y]
        mask: which rows are there. bool [C]
        metric_rows: see ``ensemble.fit``.
    """
    columns = measure(inputs, after, targets, mask)
    targets = standardise(targets, columns.target_mean, columns.target_std)
    step = ensemble.fit(
        standardise(inputs, columns.input_mean, columns.input_std), targets, mask, metric_rows
    )
    after = standardise(after, columns.after_mean, columns.after_std)
    reward = ensemble.fit(after, targets[:, -1:], mask, metric_rows)
    left_out, of_reward = (jnp.swapaxes(each.fits.left_out, 1, 2) for each in (step, reward))
    error, rounding = closed_form.typical(left_out, mask), step.fits.rounding
    error_of_reward = closed_form.typical(of_reward[:, 0], mask)
    better = error_of_reward + reward.fits.rounding[:, 0] < error[:, -1] + rounding[:, -1]

    def take(ours: jax.Array, of_reward: jax.Array) -> jax.Array:
        better_one = better.reshape((-1,) + (1,) * (of_reward.ndim - 1))
        return ours.at[:, -1].set(jnp.where(better_one, of_reward, ours[:, -1]))

    error, rounding = take(error, error_of_reward), take(rounding, reward.fits.rounding[:, 0])
    left_out = take(left_out, of_reward[:, 0])
    return Cache(
        columns, step, reward, better, error, rounding, closed_form.weights(error + rounding), left_out
    )


def ask(cache: Cache, obs: jax.Array, action: jax.Array) -> Word:
    """Ask all experts about obs [d] and the action's columns [a]."""
    columns = cache.columns
    x = standardise(jnp.concatenate([obs, action]), columns.input_mean, columns.input_std)
    local = local_errors(cache, x)
    word = Word(ensemble.predict(cache.step, x), local, closed_form.weights(local))
    change = word.mean * columns.target_std + columns.target_mean
    following = snap(columns, obs + change[:-1])
    z = standardise(jnp.concatenate([following, action]), columns.after_mean, columns.after_std)
    rewards = ensemble.predict(cache.reward, z)[:, 0]
    return word._replace(said=word.said.at[:, -1].set(jnp.where(cache.after, rewards, word.said[:, -1])))


def local_errors(cache: Cache, x: jax.Array, counts: jax.Array | None = None) -> jax.Array:
    """Return the experts' typical squared errors near standardised inputs x [D]. [K, Y]

    Args:
        cache: an encoded context.
        x: the query.
        counts: rows that are asked; all that are there if it is None. bool [C]
    """
    near = ensemble.near(cache.step, x)
    near = near if counts is None else near * counts[None]
    return closed_form.nearby(cache.left_out, cache.error, near) + cache.rounding


def encode(params: None, transitions: Transition, num_actions: int | None) -> Cache:
    """Fit the experts to a context [C], in double precision, whatever the precision elsewhere.

    Raises:
        UserError: if the context's numbers are too large or too small to compute with.
    """
    cache = fit_arrays(arrays_of(transitions, num_actions))
    next_obs, terminated = np.asarray(transitions.next_obs), np.asarray(transitions.terminated)
    return cache._replace(limits=end_limits.find(next_obs, terminated))


class Arrays(NamedTuple):
    """A context's distinct rows in random order, float64, filled up with masked ones.

    Inputs, what follows, targets and mask are as ``fit`` takes them; ``ended`` [C] marks rows that ended an episode.
    """

    inputs: Any
    after: Any
    targets: Any
    ended: Any
    mask: Any


def arrays_of(transitions: Transition, num_actions: int | None) -> Arrays:
    """Bring a context into the form that everything here is fitted to."""
    found = distinct(*rows_of(transitions, num_actions))
    # Averaging leaves any number of rows, and each number needs a program of its own, here and in whatever asks for
    # predictions. Masked rows fill them up, so that few numbers occur.
    num_found = len(found[0])
    num_rows = min(len(transitions.reward), -(-num_found // _BLOCK) * _BLOCK)
    inputs, after, targets, ended = (np.pad(x, ((0, num_rows - num_found), (0, 0))) for x in found)
    return Arrays(inputs, after, targets, ended[:, 0], np.arange(num_rows) < num_found)


def rows_of(transitions: Transition, num_actions: int | None) -> tuple[np.ndarray, ...]:
    """Return inputs, what follows, targets and ends [C, 1] of transitions, not standardised, float64."""
    ended = np.asarray(transitions.terminated, np.float64)[:, None]
    return *in_double(transitions, num_actions), ended


def fit_arrays(arrays: Arrays) -> Cache:
    """Fit in double precision, return in single.

    Raises:
        UserError: the result holds numbers that are not finite.
    """
    with double_on_host(), one_blas_thread():
        cache = _fit(arrays.inputs, arrays.after, arrays.targets, arrays.mask)
    return single(cache)


_fit = jax.jit(fit)


def predict(cache: Cache, obs: jax.Array, action: jax.Array) -> Prediction:
    """Return the experts' weighted mean; its spread is how far they disagree and err near the query."""
    columns = cache.columns
    word = ask(cache, obs, inputs_like(columns, obs, action)[obs.shape[0] :])
    mean = word.mean
    spread = jnp.sqrt(jnp.sum(word.weights * (word.local + jnp.square(word.said - mean[None])), axis=0))
    mean, std = mean * columns.target_std + columns.target_mean, spread * columns.target_std
    next_obs = snap(columns, obs + mean[:-1])
    assert cache.limits is not None  # encode has found them
    ended = end_limits.is_beyond(cache.limits, next_obs).astype(jnp.float32)
    return Prediction(next_obs, mean[-1], std[:-1], std[-1], ended)


EXPERTS = WorldModel("experts", encode, predict, knows_ends=True, bytes_per_pair=BYTES_PER_PAIR)
