"""Transitions as inputs and targets of a regression, standardised with the numbers of the context alone.

Inputs are the observation and the action (one column for every discrete one), targets are the change of the observation
and the reward. As the change is predicted, zero means that nothing moves. If positions were predicted that move by a
hundredth of their spread per step, anything that copies them would seem to predict well.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from synthenv.core.types import Transition


class Columns(NamedTuple):
    """Means and standard deviations over a context; a deviation of 0 says that the column is constant.

    Attributes:
        input_mean: means of observation and action. [D]
        input_std: their deviations. [D]
        after_mean: means of the observation that follows, and the action. [D]
        after_std: their deviations. [D]
        target_mean: means of the observation's change and the reward. [Y]
        target_std: their deviations. [Y]
        whole: which columns of observations hold whole numbers throughout the context. bool [d]
    """

    input_mean: jax.Array
    input_std: jax.Array
    after_mean: jax.Array
    after_std: jax.Array
    target_mean: jax.Array
    target_std: jax.Array
    whole: jax.Array


def action_columns(action: jax.Array, num_actions: int | None) -> jax.Array:
    """Return actions as columns [..., a]: one-hot if there is a finite number of them, else as they are."""
    if num_actions is None:
        return action.astype(jnp.float32)
    return jax.nn.one_hot(action, num_actions)


def inputs_of(obs: jax.Array, action: jax.Array, num_actions: int | None) -> jax.Array:
    """Join an observation, before or after the step, and the action. [..., D]"""
    return jnp.concatenate([obs, action_columns(action, num_actions)], axis=-1)


def inputs_like(columns: Columns, obs: jax.Array, action: jax.Array) -> jax.Array:
    """Join the observation [d] and action of a query as the columns of the context are. [D]"""
    if jnp.issubdtype(action.dtype, jnp.integer):
        action = jax.nn.one_hot(action, columns.input_mean.shape[0] - obs.shape[0])
    return jnp.concatenate([obs, action])


def in_double(transitions: Transition, num_actions: int | None) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return inputs, what follows and targets of transitions [C], not standardised, float64."""
    rows = Transition(*(jnp.asarray(leaf) for leaf in transitions))
    return (
        np.asarray(inputs_of(rows.obs, rows.action, num_actions), np.float64),
        np.asarray(inputs_of(rows.next_obs, rows.action, num_actions), np.float64),
        np.asarray(targets_of(rows), np.float64),
    )


def targets_of(transitions: Transition) -> jax.Array:
    """Return the change of the observation, and the reward. [..., Y]"""
    change = transitions.next_obs - transitions.obs
    return jnp.concatenate([change, transitions.reward[..., None]], axis=-1)


def measure(inputs: jax.Array, after: jax.Array, targets: jax.Array, mask: jax.Array) -> Columns:
    """Return means and deviations over the rows of a context [C, ...] that are there (bool [C])."""
    obs_size = targets.shape[1] - 1
    seen = jnp.concatenate([inputs[:, :obs_size], after[:, :obs_size]])
    whole = jnp.all((seen == jnp.round(seen)) | ~jnp.tile(mask, 2)[:, None], axis=0)
    return Columns(*_moments(inputs, mask), *_moments(after, mask), *_moments(targets, mask), whole)


def _moments(values: jax.Array, mask: jax.Array) -> tuple[jax.Array, jax.Array]:
    count = jnp.maximum(jnp.sum(mask), 1)
    mean = jnp.sum(jnp.where(mask[:, None], values, 0.0), axis=0) / count
    rest = jnp.where(mask[:, None], values - mean[None], 0.0)
    std = jnp.sqrt(jnp.sum(jnp.square(rest), axis=0) / count)
    # Rounding gives a constant column a small deviation, which carries no information.
    return mean, jnp.where(std > 1e-6 * jnp.abs(mean), std, 0.0)


def standardise(values: jax.Array, mean: jax.Array, std: jax.Array) -> jax.Array:
    """Return values [..., N] in units of the context; constant columns are zero whatever they hold."""
    mean, std = (jnp.broadcast_to(each, jnp.shape(values)) for each in (mean, std))
    return jnp.where(std > 0.0, (values - mean) / jnp.where(std > 0.0, std, 1.0), 0.0)


def snap(columns: Columns, obs: jax.Array) -> jax.Array:
    """Round the columns of an observation [d] that hold whole numbers throughout the context."""
    return jnp.where(columns.whole, jnp.round(obs), obs)


def distinct(inputs: np.ndarray, *values: np.ndarray) -> tuple[np.ndarray, ...]:
    """Average the values [C, ...] of rows with equal inputs, and shuffle the rows; inputs come first.

    Leaving out a row means nothing while its twin stays in: in a board game all leave-one-out errors would be zero. The
    rows are shuffled because neighbours in time are alike, and experts choose their metrics with the first few rows.
    """
    asked, group, count = np.unique(inputs, axis=0, return_inverse=True, return_counts=True)
    order = np.random.default_rng(0).permutation(len(asked))

    def mean(array: np.ndarray) -> np.ndarray:
        total = np.zeros((len(asked), array.shape[1]))
        np.add.at(total, group.reshape(-1), array)
        return (total / count[:, None])[order]

    return asked[order], *(mean(array) for array in values)
