"""From a batch of random tasks to what the small model is trained on: contexts and questions with the experts' answers.

The experts are fitted here, in double precision, so call ``prepare`` under ``jax.enable_x64()``. Columns go to random
slots of the model's, since their order means nothing.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp

from synthenv.worldmodel.experts import world_model as experts_model
from synthenv.worldmodel.experts.ensemble import MetricRows
from synthenv.worldmodel.experts.world_model import Cache, Word
from synthenv.worldmodel.regression.columns import standardise
from synthenv.worldmodel.small.network import ModelConfig, Question, Rows
from synthenv.worldmodel.small.prior.sample import PriorBatch
from synthenv.worldmodel.small.prior.sensors import MAX_ACTIONS


class Examples(NamedTuple):
    """B tasks of Q questions each.

    Attributes:
        rows: contexts. [B, C, ...]
        questions: [B, Q, ...]; ``error`` and ``used`` are those of the task, [B, ...].
        y: standardised targets. [B, Q, Y]
        terminated: which questions end an episode. bool [B, Q]
        counts: which targets the loss counts: those that exist and change, of tasks that are sound. bool [B, Y]
    """

    rows: Rows
    questions: Question
    y: jax.Array
    terminated: jax.Array
    counts: jax.Array


def prepare(
    key: jax.Array, batch: PriorBatch, config: ModelConfig, num_context: int, num_metric_rows: int
) -> Examples:
    """Fit the experts to every context and ask them every query; the result is in single precision.

    Args:
        key: random key, for the slots.
        batch: tasks of at most ``config.max_obs`` observed columns.
        config: the model's sizes.
        num_context: context rows of the batch, C.
        num_metric_rows: rows that the experts choose their metrics with.
    """
    keys = jax.random.split(key, batch.used.shape[0])
    examples = jax.lax.map(
        lambda pair: _prepare_one(pair[0], pair[1], config, num_context, num_metric_rows), (keys, batch)
    )
    return jax.tree.map(lambda leaf: leaf if leaf.dtype == bool else leaf.astype(jnp.float32), examples)


def _prepare_one(
    key: jax.Array, task: PriorBatch, config: ModelConfig, num_context: int, num_metric_rows: int
) -> Examples:
    wide = [array.astype(jnp.float64) for array in (task.inputs, task.after, task.targets)]
    mask = jnp.arange(num_context) < task.num_context
    inputs, after, targets = (array[:num_context] for array in wide)
    cache = experts_model.fit(inputs, after, targets, mask, MetricRows((num_metric_rows,), num_metric_rows))
    obs_size = task.used.shape[0] - 1
    asked = wide[0][num_context:, :obs_size], wide[0][num_context:, obs_size:]
    word = jax.vmap(experts_model.ask, in_axes=(None, 0, 0))(cache, *asked)
    columns = cache.columns
    x = standardise(wide[0], columns.input_mean, columns.input_std)
    y = standardise(wide[2], columns.target_mean, columns.target_std)
    input_slots, target_slots = slots(key, obs_size, config)
    rows = rows_of(cache, x[:num_context], y[:num_context], task.terminated[:num_context], mask)
    used = task.used @ target_slots > 0.5
    return Examples(
        rows=into_slots(rows, input_slots, target_slots),
        questions=question_of(x[num_context:], word, cache.error, used, input_slots, target_slots),
        y=y[num_context:] @ target_slots,
        terminated=task.terminated[num_context:],
        counts=((task.used & (columns.target_std > 0.0)) @ target_slots > 0.5) & task.sound,
    )


def slots(key: jax.Array, obs_size: int, config: ModelConfig) -> tuple[jax.Array, jax.Array]:
    """Return matrices that put inputs [obs_size + MAX_ACTIONS, D] and targets [obs_size + 1, Y] into random slots."""
    key_obs, key_actions = jax.random.split(key)
    obs = jax.nn.one_hot(jax.random.permutation(key_obs, config.max_obs)[:obs_size], config.max_obs)
    actions = jax.nn.one_hot(jax.random.permutation(key_actions, MAX_ACTIONS), MAX_ACTIONS)
    return jax.scipy.linalg.block_diag(obs, actions), jax.scipy.linalg.block_diag(obs, jnp.ones((1, 1)))


def rows_of(cache: Cache, x: jax.Array, y: jax.Array, terminated: jax.Array, mask: jax.Array) -> Rows:
    """Return a context's rows with what the experts miss when each is left out, in units of their error.

    Args:
        cache: the experts, fitted to the context.
        x: standardised inputs. [C, columns]
        y: standardised targets. [C, columns]
        terminated: which rows ended an episode. bool [C]
        mask: which rows are there. bool [C]
    """
    missed = jnp.einsum("ky,kyc->cy", cache.weights, cache.left_out)
    size = jnp.sqrt(jnp.sum(cache.weights * cache.error, axis=0))
    return Rows(x, y, missed / (size + 1e-9)[None], terminated, mask)


def question_of(
    x: jax.Array, word: Word, error: jax.Array, used: jax.Array, inputs: jax.Array, targets: jax.Array
) -> Question:
    """What the model is asked, in its slots: of inputs [..., D], what the experts say there and how far off they are.

    Args:
        x: standardised inputs.
        word: the experts' answers; their typical errors are ``error`` [K, Y].
        used: the slots of targets that there are.
        inputs: see ``slots``.
        targets: see ``slots``.
    """
    said, local, weights = (each @ targets for each in word)
    return Question(x @ inputs, said, error @ targets, weights, local, used)


def into_slots(rows: Rows, inputs: jax.Array, targets: jax.Array) -> Rows:
    """Move the columns of rows into the model's slots."""
    return rows._replace(x=rows.x @ inputs, y=rows.y @ targets, missed=rows.missed @ targets)
