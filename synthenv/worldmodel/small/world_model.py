"""The pretrained model as a world model: experts fitted to a context, the encoded context, and answers.

The context itself tells, target by target, how far an answer may move away from the experts. Half of the rows is shown
to the model, which is asked about the other half, given what the experts predict of a row that is left out. A task that
the experts know better than they knew any of the prior is left to them.
"""

from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from synthenv.core.errors import UserError
from synthenv.core.types import Prediction, Transition, WorldModel
from synthenv.nets import transformer
from synthenv.worldmodel.experts import world_model as experts_model
from synthenv.worldmodel.experts.world_model import Arrays
from synthenv.worldmodel.regression import closed_form
from synthenv.worldmodel.regression.columns import snap, standardise
from synthenv.worldmodel.small import network as model
from synthenv.worldmodel.small.network import QUESTION_AXES, ModelConfig, Params, Question, Rows
from synthenv.worldmodel.small.prior.sensors import MAX_ACTIONS
from synthenv.worldmodel.small.training_examples import into_slots, question_of, rows_of

_TRUSTS = (0.0, 0.25, 0.5, 0.75, 1.0)
_FLOOR = 0.01  # errors below this, in units of the experts' error near the query, count as nothing
_AT_ONCE = 64  # rows that are asked about together; all at once would take half a gigabyte


class Cache(NamedTuple):
    """What an answer needs.

    Attributes:
        params: weights.
        experts: the experts, fitted to the context.
        context: the encoded context.
        used: which of the model's targets are in use. bool [Y]
        trust: how much of the model's step away from the experts is taken. [Y]
    """

    params: Params
    experts: experts_model.Cache
    context: transformer.Cache
    used: jax.Array
    trust: jax.Array


def make(params: Params, config: ModelConfig, name: str = "small") -> WorldModel:
    """Make a world model of these weights."""
    return WorldModel(
        name,
        partial(encode, config=config),
        partial(predict, config=config),
        params,
        knows_ends=True,
        bytes_per_pair=max(experts_model.BYTES_PER_PAIR, transformer.bytes_per_pair(config.transformer)),
    )


def encode(params: Params, transitions: Transition, num_actions: int | None, config: ModelConfig) -> Cache:
    """Fit the experts to a context [C] and encode it.

    Raises:
        UserError: if the task has more columns than the model, or see ``experts.world_model.encode``.
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
    input_slots, target_slots = _slots(y.shape[1] - 1, x.shape[1], config)
    rows = rows_of(fitted, x, y, arrays.ended, arrays.mask)
    rows = into_slots(rows, input_slots, target_slots)
    questions = _left_out_questions(fitted, x, y, used, (input_slots, target_slots))
    trust = _trust(params, config, rows, questions)
    return Cache(params, fitted, model.encode(params, config, rows), jnp.asarray(used), trust)


def _left_out_questions(
    fitted: experts_model.Cache,
    x: jax.Array,
    y: jax.Array,
    used: jax.Array,
    slots: tuple[jax.Array, jax.Array],
) -> Question:
    """Return each row as a question, with what the experts predict when it is left out; axes C by ``QUESTION_AXES``.

    Reward experts that are asked where a step leads are told where the row truly led (``experts.world_model``).
    """
    every = jnp.arange(len(x))

    def near(row: tuple[jax.Array, jax.Array]) -> jax.Array:
        return experts_model.local_errors(fitted, row[0], every != row[1])

    local = jax.lax.map(near, (x, every), batch_size=_AT_ONCE)
    weights = jax.vmap(closed_form.weights)(local)
    said = y[:, None] - jnp.moveaxis(fitted.left_out, 2, 0)  # [C, K, Y]
    return question_of(x, experts_model.Word(said, local, weights), fitted.error, used, *slots)


def _trust(params: Params, config: ModelConfig, rows: Rows, questions: Question) -> jax.Array:
    """Return the share of the model's step, out of ``_TRUSTS``, that does best. [Y]

    The even rows are shown to the model, and it is asked about the odd ones.
    """
    is_odd = jnp.arange(len(rows.x)) % 2 == 1
    half = model.encode(params, config, rows._replace(mask=rows.mask & ~is_odd))

    def errors(question: Question, y: jax.Array) -> jax.Array:
        centre, scale = model.blend(question)
        step = model.answer(params, config, half, question).mean - centre
        error = (y - centre)[None] - jnp.array(_TRUSTS)[:, None] * step[None]
        return jnp.log1p(jnp.square(error / (_FLOOR * scale)[None]))  # [5, Y]

    counts = rows.mask & is_odd
    each = jax.vmap(errors, (QUESTION_AXES, 0))(questions, rows.y)
    total = jnp.sum(jnp.where(counts[:, None, None], each, 0.0), axis=0)
    return jnp.array(_TRUSTS)[jnp.argmin(total, axis=0)]


def _slots(obs_size: int, num_inputs: int, config: ModelConfig) -> tuple[jax.Array, jax.Array]:
    """Return matrices that put a task's columns into the model's first ones; training uses random ``slots``."""
    obs = jnp.eye(obs_size, config.max_obs)
    actions = jnp.eye(num_inputs - obs_size, MAX_ACTIONS)
    return jax.scipy.linalg.block_diag(obs, actions), jax.scipy.linalg.block_diag(obs, jnp.ones((1, 1)))


def predict(cache: Cache, obs: jax.Array, action: jax.Array, config: ModelConfig) -> Prediction:
    """Return the mean of the bars around the experts' prediction, and their standard deviation."""
    columns = cache.experts.columns
    num_inputs, obs_size = columns.input_mean.shape[0], obs.shape[0]
    if jnp.issubdtype(action.dtype, jnp.integer):
        action = jax.nn.one_hot(action, num_inputs - obs_size)
    word = experts_model.ask(cache.experts, obs, action)
    x = standardise(jnp.concatenate([obs, action]), columns.input_mean, columns.input_std)
    input_slots, target_slots = _slots(obs_size, num_inputs, config)
    question = question_of(x, word, cache.experts.error, cache.used, input_slots, target_slots)
    given, (centre, _) = model.answer(cache.params, config, cache.context, question), model.blend(question)
    mean = centre + cache.trust * (given.mean - centre)
    mean, std = (values @ target_slots.T for values in (mean, given.std))
    mean, std = mean * columns.target_std + columns.target_mean, std * columns.target_std
    odds: Any = jax.nn.sigmoid(given.termination)
    return Prediction(snap(columns, obs + mean[:-1]), mean[-1], std[:-1], std[-1], odds)
