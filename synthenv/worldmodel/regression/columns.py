"""How transitions become inputs and targets of a regression: standardised with the numbers of the context alone.

Inputs are the observation and the action (one column for every discrete one), targets the change of the observation
and the reward. Predicting the change makes staying where one is the zero of the scale: positions that move by a
hundredth of their spread per step would otherwise be predicted well by anything that copies them.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from synthenv.core.types import Transition


class Columns(NamedTuple):
    """Means and standard deviations over a context; a deviation of 0 says that the column is constant.

    Attributes:
        input_mean: of observation and action. [D]
        input_std: [D]
        after_mean: of the observation that follows, and the action. [D]
        after_std: [D]
        target_mean: of the observation's change and the reward. [Y]
        target_std: [Y]
        whole: which observations are whole numbers wherever the context looks. bool [d]
    """

    input_mean: jax.Array
    input_std: jax.Array
    after_mean: jax.Array
    after_std: jax.Array
    target_mean: jax.Array
    target_std: jax.Array
    whole: jax.Array


def action_columns(action: jax.Array, num_actions: int | None) -> jax.Array:
    """Actions as columns [..., a]: one-hot if there is a finite number of them, else as they are."""
    if num_actions is None:
        return action.astype(jnp.float32)
    return jax.nn.one_hot(action, num_actions)


def inputs_of(obs: jax.Array, action: jax.Array, num_actions: int | None) -> jax.Array:
    """Observation, before or after the step, and action. [..., D]"""
    return jnp.concatenate([obs, action_columns(action, num_actions)], axis=-1)


def inputs_like(columns: Columns, obs: jax.Array, action: jax.Array) -> jax.Array:
    """A question's observation [d] and action as the columns of the context. [D]"""
    if jnp.issubdtype(action.dtype, jnp.integer):
        action = jax.nn.one_hot(action, columns.input_mean.shape[0] - obs.shape[0])
    return jnp.concatenate([obs, action])


def in_double(transitions: Transition, num_actions: int | None) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Inputs, what follows and targets of transitions [C] as they are, float64."""
    rows = Transition(*(jnp.asarray(leaf) for leaf in transitions))
    return (
        np.asarray(inputs_of(rows.obs, rows.action, num_actions), np.float64),
        np.asarray(inputs_of(rows.next_obs, rows.action, num_actions), np.float64),
        np.asarray(targets_of(rows), np.float64),
    )


def targets_of(transitions: Transition) -> jax.Array:
    """Change of the observation, and reward. [..., Y]"""
    change = transitions.next_obs - transitions.obs
    return jnp.concatenate([change, transitions.reward[..., None]], axis=-1)


def measure(inputs: jax.Array, after: jax.Array, targets: jax.Array, mask: jax.Array) -> Columns:
    """Means and deviations over the rows of a context [C, ...] that are there (bool [C])."""
    obs_size = targets.shape[1] - 1
    seen = jnp.concatenate([inputs[:, :obs_size], after[:, :obs_size]])
    whole = jnp.all((seen == jnp.round(seen)) | ~jnp.tile(mask, 2)[:, None], axis=0)
    return Columns(*_moments(inputs, mask), *_moments(after, mask), *_moments(targets, mask), whole)


def _moments(values: jax.Array, mask: jax.Array) -> tuple[jax.Array, jax.Array]:
    count = jnp.maximum(jnp.sum(mask), 1)
    mean = jnp.sum(jnp.where(mask[:, None], values, 0.0), axis=0) / count
    rest = jnp.where(mask[:, None], values - mean[None], 0.0)
    std = jnp.sqrt(jnp.sum(jnp.square(rest), axis=0) / count)
    # A constant column of rounded numbers has a deviation of its own; it is no information.
    return mean, jnp.where(std > 1e-6 * jnp.abs(mean), std, 0.0)


def standardise(values: jax.Array, mean: jax.Array, std: jax.Array) -> jax.Array:
    """Values [..., N] in units of the context; constant columns are zero whatever they hold."""
    mean, std = (jnp.broadcast_to(each, jnp.shape(values)) for each in (mean, std))
    return jnp.where(std > 0.0, (values - mean) / jnp.where(std > 0.0, std, 1.0), 0.0)


def snap(columns: Columns, obs: jax.Array) -> jax.Array:
    """Round what is a whole number wherever the context looks. [d]"""
    return jnp.where(columns.whole, jnp.round(obs), obs)


def distinct(inputs: np.ndarray, *values: np.ndarray) -> tuple[np.ndarray, ...]:
    """Average the values [C, ...] of rows that ask the same, and shuffle the rows; inputs come first.

    A row whose twin stays in is not left out: errors of a board game's experts would all be zero. Neighbours in time
    are alike, and experts choose their metrics with the first few rows.
    """
    asked, group, count = np.unique(inputs, axis=0, return_inverse=True, return_counts=True)
    order = np.random.default_rng(0).permutation(len(asked))

    def mean(array: np.ndarray) -> np.ndarray:
        total = np.zeros((len(asked), array.shape[1]))
        np.add.at(total, group.reshape(-1), array)
        return (total / count[:, None])[order]

    return asked[order], *(mean(array) for array in values)
