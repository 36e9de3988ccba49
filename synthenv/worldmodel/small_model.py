"""The pretrained model as a world model: experts fitted to a context, the encoded context, and answers."""

from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from synthenv.core.errors import UserError
from synthenv.core.types import Prediction, Transition, WorldModel
from synthenv.nets import transformer
from synthenv.worldmodel import experts_model, model
from synthenv.worldmodel.columns import standardise
from synthenv.worldmodel.examples import into_slots, rows_of
from synthenv.worldmodel.experts_model import Arrays, local_errors, means, snap
from synthenv.worldmodel.model import ModelConfig, Params, Question
from synthenv.worldmodel.sensors import MAX_ACTIONS


class Cache(NamedTuple):
    """What an answer needs: weights, the experts, the encoded context, and which of the model's targets are in use."""

    params: Params
    experts: experts_model.Cache
    context: transformer.Cache
    used: jax.Array


def make(params: Params, config: ModelConfig, name: str = "small") -> WorldModel:
    """A world model of these weights."""
    return WorldModel(name, partial(encode, config=config), partial(predict, config=config), params)


def encode(params: Params, transitions: Transition, num_actions: int | None, config: ModelConfig) -> Cache:
    """Fit the experts to a context [C] and encode it.

    Raises:
        UserError: if the task has more columns than the model, or see ``experts_model.encode``.
    """
    obs_size = transitions.obs.shape[1]
    num_columns = num_actions or transitions.action.shape[1]
    if obs_size > config.max_obs or num_columns > MAX_ACTIONS:
        raise UserError(
            f"this world model takes {config.max_obs} observed numbers and {MAX_ACTIONS} actions, the task has"
            f" {obs_size} and {num_columns}: use --model experts, which takes any number"
        )
    arrays = experts_model.arrays_of(transitions, num_actions)
    fitted = experts_model.fit_arrays(arrays)
    single = Arrays(*(np.asarray(array, np.float32) for array in arrays[:-1]), mask=arrays.mask)
    used = np.append(np.arange(config.max_obs) < obs_size, True)
    return _encode(params, fitted, single, used, config)


@partial(jax.jit, static_argnames="config")
def _encode(
    params: Params, fitted: experts_model.Cache, arrays: Arrays, used: jax.Array, config: ModelConfig
) -> Cache:
    columns = fitted.columns
    x = standardise(arrays.inputs, columns.input_mean, columns.input_std)
    y = standardise(arrays.targets, columns.target_mean, columns.target_std)
    rows = rows_of(fitted, x, y, arrays.ended, arrays.mask)
    input_slots, target_slots = _slots(y.shape[1] - 1, x.shape[1], config)
    context = model.encode(params, config, into_slots(rows, input_slots, target_slots))
    return Cache(params, fitted, context, jnp.asarray(used))


def _slots(obs_size: int, num_inputs: int, config: ModelConfig) -> tuple[jax.Array, jax.Array]:
    """Matrices that put a task's columns into the model's first ones, as ``examples.slots`` does at random."""
    obs = jnp.eye(obs_size, config.max_obs)
    actions = jnp.eye(num_inputs - obs_size, MAX_ACTIONS)
    return jax.scipy.linalg.block_diag(obs, actions), jax.scipy.linalg.block_diag(obs, jnp.ones((1, 1)))


def predict(cache: Cache, obs: jax.Array, action: jax.Array, config: ModelConfig) -> Prediction:
    """The mean of the bars around the experts, and their standard deviation."""
    columns = cache.experts.columns
    num_inputs, obs_size = columns.input_mean.shape[0], obs.shape[0]
    if jnp.issubdtype(action.dtype, jnp.integer):
        action = jax.nn.one_hot(action, num_inputs - obs_size)
    said, local = means(cache.experts, obs, action), local_errors(cache.experts, obs, action)
    x = standardise(jnp.concatenate([obs, action]), columns.input_mean, columns.input_std)
    input_slots, target_slots = _slots(obs_size, num_inputs, config)
    question = Question(
        x=x @ input_slots,
        said=said @ target_slots,
        error=cache.experts.error @ target_slots,
        weights=cache.experts.weights @ target_slots,
        local=local @ target_slots,
        used=cache.used,
    )
    given = model.answer(cache.params, config, cache.context, question)
    mean, std = (values @ target_slots.T for values in (given.mean, given.std))
    mean, std = mean * columns.target_std + columns.target_mean, std * columns.target_std
    odds: Any = jax.nn.sigmoid(given.termination)
    return Prediction(snap(columns, obs + mean[:-1]), mean[-1], std[:-1], std[-1], odds)
