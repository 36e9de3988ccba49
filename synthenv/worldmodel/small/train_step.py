"""One gradient step of the small world model on a batch of random tasks, and its scores on others.

References:
    Ferreira et al. (2024), One-shot world models, algorithm 1; Müller et al. (2022), Transformers can do Bayesian
    inference, algorithm 1.
"""

from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from synthenv.worldmodel.small import network as model
from synthenv.worldmodel.small.network import Answer, ModelConfig, Params
from synthenv.worldmodel.small.prior.sample import PriorBatch, PriorConfig, sample
from synthenv.worldmodel.small.training_examples import Examples, prepare


@dataclass(frozen=True)
class PretrainConfig:
    """What is trained, on what, for how long.

    Attributes:
        model: Sizes of the model.
        prior: The tasks; how many rows their contexts have at most says ``context_sizes``.
        context_sizes: Rows of a context at most; batches take these in turn.
        num_metric_rows: Context rows that the experts choose their metrics with.
        num_steps: Gradient steps, one batch of the prior each.
        learning_rate: AdamW's highest.
        warmup_steps: Steps of a linear warm-up; half a cosine to zero follows.
        weight_decay: AdamW's.
        max_gradient_norm: Of all weights.
    """

    model: ModelConfig = field(default_factory=ModelConfig)
    prior: PriorConfig = field(default_factory=PriorConfig)
    context_sizes: tuple[int, ...] = (128,) * 11 + (256,)
    num_metric_rows: int = 48
    num_steps: int = 1_000
    learning_rate: float = 1.5e-3
    warmup_steps: int = 50
    weight_decay: float = 0.01
    max_gradient_norm: float = 1.0


class TrainState(NamedTuple):
    """What a gradient step changes; ``average`` follows the weights slowly and is what is kept in the end."""

    step: jax.Array
    params: Params
    average: Params
    opt_state: Any


class Scores(NamedTuple):
    """Scores of a batch: means over questions and columns.

    Attributes:
        loss: what is minimised.
        nats: log-likelihood that the bars give the targets, beyond that of the untrained head.
        gain: mean of ln(experts' absolute error / model's), both with a floor of a hundredth of their scale.
    """

    loss: jax.Array
    nats: jax.Array
    gain: jax.Array


def optimizer(config: PretrainConfig) -> optax.GradientTransformation:
    """Return AdamW under a bounded gradient norm."""
    rate = optax.warmup_cosine_decay_schedule(
        0.0, config.learning_rate, config.warmup_steps, config.num_steps
    )
    return optax.chain(
        optax.clip_by_global_norm(config.max_gradient_norm),
        optax.adamw(rate, weight_decay=config.weight_decay),
    )


def init(key: jax.Array, config: PretrainConfig) -> TrainState:
    """Draw fresh weights."""
    params: Any = model.init(key, config.model)
    return TrainState(jnp.int32(0), params, params, optimizer(config).init(params))


def draw_batch(key: jax.Array, config: PretrainConfig, num_context: int) -> PriorBatch:
    """Draw random tasks with contexts of at most ``num_context`` rows; call it in single precision."""
    return sample(key, replace(config.prior, num_context=num_context))


def fit_experts(key: jax.Array, batch: PriorBatch, config: PretrainConfig, num_context: int) -> Examples:
    """Turn such random tasks into contexts and questions; call it under ``jax.enable_x64()``."""
    return prepare(key, batch, config.model, num_context, config.num_metric_rows)


def answers(params: Params, config: ModelConfig, examples: Examples) -> Answer:
    """Return the model's answers to all questions. [B, Q, ...]"""

    def of_task(task: Examples) -> Answer:
        cache = model.encode(params, config, task.rows)

        return jax.vmap(partial(model.answer, params, config, cache), (model.QUESTION_AXES,))(task.questions)

    return jax.vmap(of_task)(examples)


def mean_loss(params: Params, config: ModelConfig, examples: Examples) -> jax.Array:
    """Return the mean loss over all questions of tasks that have something to predict."""
    given = answers(params, config, examples)
    per_question = jax.vmap(jax.vmap(model.loss, (0, 0, 0, None)))(
        given, examples.y, examples.terminated, examples.counts
    )
    there = jnp.any(examples.counts, axis=1)
    return jnp.sum(jnp.where(there, jnp.mean(per_question, axis=1), 0.0)) / jnp.maximum(jnp.sum(there), 1)


def train_step(state: TrainState, examples: Examples, config: PretrainConfig) -> tuple[TrainState, jax.Array]:
    """Make one gradient step; return the loss before it, too."""
    loss, grads = jax.value_and_grad(mean_loss)(state.params, config.model, examples)
    weights: Any = state.params
    updates, opt_state = optimizer(config).update(grads, state.opt_state, weights)
    params = jax.tree.map(jnp.add, state.params, updates)
    decay = jnp.minimum(0.999, (1.0 + state.step) / (10.0 + state.step))
    average = jax.tree.map(lambda old, new: decay * old + (1.0 - decay) * new, state.average, params)
    return TrainState(state.step + 1, params, average, opt_state), loss


def blend_all(questions: model.Question) -> tuple[jax.Array, jax.Array]:
    """Return the experts' means and spreads for one task's questions. [Q, Y] each"""
    return jax.vmap(model.blend, (model.QUESTION_AXES,))(questions)


def score(params: Params, config: ModelConfig, examples: Examples) -> Scores:
    """Return how the model does on tasks that it was not trained on."""
    given = answers(params, config, examples)
    untrained = model.bar_distribution.first_logits()
    centre, scale = jax.vmap(blend_all)(examples.questions)
    counts = jnp.broadcast_to(examples.counts[:, None], examples.y.shape)

    def mean(values: jax.Array) -> jax.Array:
        return jnp.sum(jnp.where(counts, values, 0.0)) / jnp.sum(counts)

    before = model.bar_distribution.log_density(
        jnp.broadcast_to(untrained, given.logits.shape), (examples.y - centre) / scale
    )
    after = model.bar_distribution.log_density(given.logits, (examples.y - given.mean) / given.scale)
    floor = 0.01 * scale
    gain = jnp.log((jnp.abs(examples.y - centre) + floor) / (jnp.abs(examples.y - given.mean) + floor))
    return Scores(mean_loss(params, config, examples), mean(after - before), mean(gain))
