"""The paper's transformer as a world model: normalise with the context, encode it once, predict the next state.

States go to the first state slots in their order and actions to the first action slots, a discrete one as its number;
unused slots are zero. Predictions are a mean without a spread, and nothing says where episodes end. Two things differ
from the released code, neither of which changes a number: the context is encoded once rather than in every step, and a
column that is constant in the context stays at its value instead of dividing by zero.

References:
    OSWM: section 3 of the chapter; released code automl/oswm at 70647fb (its environment wrapper).
"""

from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp

from synthenv.core.errors import UserError
from synthenv.core.types import Prediction, Transition, WorldModel
from synthenv.nets import transformer
from synthenv.worldmodel.paper import network as paper_model
from synthenv.worldmodel.paper.network import (
    NUM_ACTION,
    NUM_COLUMNS,
    NUM_STATE,
    PaperModelConfig,
    PaperModelParams,
)
from synthenv.worldmodel.paper.prior.transition_rows import moments
from synthenv.worldmodel.regression.columns import standardise


class Told(NamedTuple):
    """A context in the model's columns, not normalised; it does not depend on weights.

    Attributes:
        x: states and actions. [C, 14]
        y: next states and rewards. [C, 14]
        whole: which state slots hold whole numbers throughout. bool [11]
    """

    x: jax.Array
    y: jax.Array
    whole: jax.Array


class Cache(NamedTuple):
    """What an answer needs: weights, the encoded context, means and deviations of x and y, slots that are rounded."""

    params: PaperModelParams
    context: transformer.Cache
    x_mean: jax.Array
    x_std: jax.Array
    y_mean: jax.Array
    y_std: jax.Array
    whole: jax.Array


def make(params: PaperModelParams, config: PaperModelConfig, name: str = "paper") -> WorldModel:
    """Make a world model of these weights."""
    return WorldModel(
        name,
        partial(encode, config=config),
        partial(predict, config=config),
        params,
        bytes_per_pair=transformer.bytes_per_pair(config.transformer),
    )


def encode(
    params: PaperModelParams, transitions: Transition, num_actions: int | None, config: PaperModelConfig
) -> Cache:
    """Encode a context [C].

    Raises:
        UserError: if the task has more columns than the model.
    """
    return _encode(params, tell(transitions, num_actions), config)


def tell(transitions: Transition, num_actions: int | None) -> Told:
    """Write a context in the model's columns.

    Raises:
        UserError: if the task has more columns than the model.
    """
    obs_size = transitions.obs.shape[1]
    action_size = 1 if num_actions is not None else transitions.action.shape[1]
    if obs_size > NUM_STATE or action_size > NUM_ACTION:
        raise UserError(
            f"this world model takes {NUM_STATE} observed numbers and {NUM_ACTION} of an action, the task has"
            f" {obs_size} and {action_size}: use --model experts, which takes any number"
        )
    steps = Transition(*(jnp.asarray(leaf) for leaf in transitions))
    x = jax.vmap(columns_of)(steps.obs, steps.action)
    following = jax.vmap(lambda obs: _fill(obs, NUM_COLUMNS - 1))(steps.next_obs)
    seen = jnp.concatenate([x[:, :NUM_STATE], following[:, :NUM_STATE]])
    return Told(
        x,
        jnp.concatenate([following, steps.reward[:, None]], axis=1),
        jnp.all(seen == jnp.round(seen), axis=0),
    )


def columns_of(obs: jax.Array, action: jax.Array) -> jax.Array:
    """Write a state [d] and an action, [] if discrete, in the model's columns. [14]"""
    return jnp.concatenate([_fill(obs, NUM_STATE), _fill(jnp.atleast_1d(action), NUM_ACTION)])


def _fill(values: jax.Array, size: int) -> jax.Array:
    return jnp.pad(values.astype(jnp.float32), (0, size - values.shape[0]))


def encode_told(params: PaperModelParams, told: Told, config: PaperModelConfig) -> Cache:
    """Encode a context that is in the model's columns; pure."""
    (x_mean, x_std), (y_mean, y_std) = moments(told.x), moments(told.y)
    x, y = standardise(told.x, x_mean, x_std), standardise(told.y, y_mean, y_std)
    context = paper_model.encode_context(params, config, x, y, jnp.ones(x.shape[0], bool))
    return Cache(params, context, x_mean, x_std, y_mean, y_std, told.whole)


_encode = partial(jax.jit, static_argnames="config")(encode_told)


def foresee(cache: Cache, x: jax.Array, config: PaperModelConfig) -> jax.Array:
    """Return next states and rewards [..., 14] after states and actions x [..., 14], in the task's units."""
    said = paper_model.predict(cache.params, config, cache.context, standardise(x, cache.x_mean, cache.x_std))
    return said * jnp.broadcast_to(cache.y_std, said.shape) + jnp.broadcast_to(cache.y_mean, said.shape)


def predict(cache: Cache, obs: jax.Array, action: jax.Array, config: PaperModelConfig) -> Prediction:
    """Predict the reward and the next state, which is rounded where the context holds whole numbers only."""
    said = foresee(cache, columns_of(obs, action), config)
    size = obs.shape[0]
    next_obs = jnp.where(cache.whole[:size], jnp.round(said[:size]), said[:size])
    nothing = jnp.float32(0.0)
    return Prediction(next_obs, said[-1], jnp.zeros_like(next_obs), nothing, nothing)
