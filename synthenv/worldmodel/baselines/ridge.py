"""Baselines that a world model has to beat: that nothing changes, and linear or quadratic regressions.

They predict the change of the observation and the reward, standardised by the context, as the other models do; whole
numbers are rounded as theirs are, and rows with equal inputs are averaged. None knows where episodes end. Their stated
uncertainty is their leave-one-out error on the context, whatever they are asked.

Axis letters here: C context, D inputs, Y targets, F features.

References:
    Hoerl and Kennard (1970), Ridge regression. Allen (1974), the relationship between variable selection and data
    augmentation, for the leave-one-out residuals in closed form.
"""

from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from synthenv.core.types import Prediction, Transition, WorldModel
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
from synthenv.worldmodel.regression.ridge_solution import solve_ridge


class Rows(NamedTuple):
    """A context as a regression sees it, standardised, in double precision; inputs [C, D] and targets [C, Y]."""

    columns: Columns
    inputs: jax.Array
    targets: jax.Array


class Still(NamedTuple):
    """What a context says to a model in which nothing changes; ``error`` [Y] is that of standardised targets."""

    columns: Columns
    error: jax.Array


class Ridge(NamedTuple):
    """A linear regression of standardised features.

    Attributes:
        columns: how inputs and targets are standardised.
        feature_mean: [F]
        feature_std: [F]
        beta: [F, Y]
        error: mean squared leave-one-out errors, standardised. [Y]
    """

    columns: Columns
    feature_mean: jax.Array
    feature_std: jax.Array
    beta: jax.Array
    error: jax.Array


def rows_of(transitions: Transition, num_actions: int | None) -> Rows:
    """Turn a context [C] into the rows of a regression."""
    inputs, after, targets = distinct(*in_double(transitions, num_actions))
    with double_on_host():
        return _standardised(inputs, after, targets)


@jax.jit
def _standardised(inputs: jax.Array, after: jax.Array, targets: jax.Array) -> Rows:
    columns = measure(inputs, after, targets, jnp.ones(len(inputs), bool))
    return Rows(
        columns,
        standardise(inputs, columns.input_mean, columns.input_std),
        standardise(targets, columns.target_mean, columns.target_std),
    )


def prediction(columns: Columns, obs: jax.Array, said: jax.Array, error: jax.Array) -> Prediction:
    """Turn standardised change and reward, and their mean squared errors, [Y] each, into a prediction."""
    mean = said * columns.target_std + columns.target_mean
    std = jnp.sqrt(error) * columns.target_std
    never = jnp.float32(0.0)  # nothing here learns where episodes end
    return Prediction(snap(columns, obs + mean[:-1]), mean[-1], std[:-1], std[-1], never)


def encode_still(params: None, transitions: Transition, num_actions: int | None) -> Still:
    """Average the rewards of a context [C].

    Raises:
        UserError: as ``single``.
    """
    columns = rows_of(transitions, num_actions).columns
    with double_on_host():
        std = jnp.where(columns.target_std > 0, columns.target_std, jnp.inf)
        # Predicting no change is off by the whole change, predicting the mean reward by its deviation alone.
        error = 1.0 + jnp.square(columns.target_mean / std).at[-1].set(0.0)
    return single(Still(columns, error))


def predict_still(cache: Still, obs: jax.Array, action: jax.Array) -> Prediction:
    """Predict that the state stays and pays the mean reward."""
    expected = prediction(cache.columns, obs, jnp.zeros_like(cache.error), cache.error)
    return expected._replace(next_obs=obs)


def features_of(inputs: Any, is_quadratic: bool) -> Any:
    """Return inputs [..., D] as features [..., F], with all their products of two if ``is_quadratic``."""
    if not is_quadratic:
        return inputs
    first, second = np.triu_indices(inputs.shape[-1])
    return jnp.concatenate([inputs, inputs[..., first] * inputs[..., second]], axis=-1)


def encode_ridge(params: None, transitions: Transition, num_actions: int | None, is_quadratic: bool) -> Ridge:
    """Fit every target of a context [C] with the penalty that has the smallest leave-one-out error.

    Raises:
        UserError: as ``single``.
    """
    rows = rows_of(transitions, num_actions)
    with double_on_host():
        features, mean, std = _standardised_features(rows.inputs, is_quadratic)
        beta, error = solve_ridge(np.asarray(features), np.asarray(rows.targets))
        ridge = Ridge(rows.columns, mean, std, jnp.asarray(beta), jnp.asarray(error))
    return single(ridge)


@partial(jax.jit, static_argnames="is_quadratic")
def _standardised_features(inputs: jax.Array, is_quadratic: bool) -> tuple[jax.Array, jax.Array, jax.Array]:
    """Return features [C, F], their means [F] and their deviations [F]."""
    features = features_of(inputs, is_quadratic)
    mean, std = jnp.mean(features, axis=0), jnp.std(features, axis=0)
    std = jnp.where(std > 1e-9, std, 0.0)
    return standardise(features, mean, std), mean, std


def predict_ridge(cache: Ridge, obs: jax.Array, action: jax.Array, is_quadratic: bool) -> Prediction:
    """Return what the regressions predict."""
    columns = cache.columns
    x = standardise(inputs_like(columns, obs, action), columns.input_mean, columns.input_std)
    z = standardise(features_of(x, is_quadratic), cache.feature_mean, cache.feature_std)
    said = jnp.matmul(z, cache.beta, precision=jax.lax.Precision.HIGHEST)
    return prediction(columns, obs, said, cache.error)


def _ridge(name: str, is_quadratic: bool) -> WorldModel:
    return WorldModel(
        name,
        partial(encode_ridge, is_quadratic=is_quadratic),
        partial(predict_ridge, is_quadratic=is_quadratic),
    )


PERSISTENCE = WorldModel("persistence", encode_still, predict_still)
RIDGE = _ridge("ridge", is_quadratic=False)
QUADRATIC = _ridge("quadratic", is_quadratic=True)
