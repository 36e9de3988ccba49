"""Training a curve transformer: on random tasks, on real curves of other data sets, or on both.

One batch depends on the key and the step alone, so a training that goes on from a saved state takes the same steps as
one that was never stopped. Batches are drawn on the device, inside the step's program.

References:
    Rakotoarison et al. (2024), In-context freeze-thaw Bayesian optimization; Lee et al. (2025), Cost-aware freeze-thaw
    with transfer, for mixing curves; Adam-PFN (2025), for warping them.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Any, NamedTuple, cast

import jax
import jax.numpy as jnp
import optax

from synthenv.selection.curve_prior import real_curves, tasks
from synthenv.selection.curve_prior.examples import Exercise, Table
from synthenv.selection.curve_prior.real_curves import RealConfig, RealCurves
from synthenv.selection.curve_prior.tasks import PriorConfig
from synthenv.selection.surrogates.transformer import curve_network as network
from synthenv.selection.surrogates.transformer.curve_answers import Answer, surprise
from synthenv.selection.surrogates.transformer.curve_network import ModelConfig, Weights

_LOSS_WEIGHTS = (1.0, 0.2, 0.5)  # of score, seconds and crash
_WEIGHTS = 2**31 - 1  # folded into the key, for first weights


@dataclass(frozen=True)
class TrainingConfig:
    """How to train.

    Attributes:
        model: sizes of the network.
        prior: random tasks.
        real: exercises made of real curves.
        real_share: of each batch; the rest are random tasks.
        batch_size: exercises of a step.
        num_steps: gradient steps.
        learning_rate: its highest value.
        warmup: share of the steps until then.
        weight_decay: of AdamW.
        most_gradient: gradients are shortened to this norm.
    """

    model: ModelConfig = field(default_factory=ModelConfig)
    prior: PriorConfig = tasks.FULL
    real: RealConfig = field(default_factory=RealConfig)
    real_share: float = 0.0
    batch_size: int = 24
    num_steps: int = 20_000
    learning_rate: float = 1e-3
    warmup: float = 0.05
    weight_decay: float = 0.0
    most_gradient: float = 1.0

    @property
    def num_real(self) -> int:
        """Exercises of a batch that are made of real curves."""
        return round(self.batch_size * self.real_share)


class TrainState(NamedTuple):
    """Everything that a training is continued from: steps taken, weights, the optimiser's state."""

    step: jax.Array
    weights: Weights
    opt_state: Any


class Losses(NamedTuple):
    """Means over questions, in nats: of the score, of the seconds where known, of the crash."""

    score: jax.Array
    seconds: jax.Array
    crash: jax.Array


def optimizer(config: TrainingConfig) -> optax.GradientTransformation:
    """AdamW with a bounded gradient norm and a cosine schedule."""
    rate = optax.warmup_cosine_decay_schedule(
        0.0, config.learning_rate, round(config.warmup * config.num_steps), config.num_steps
    )
    return optax.chain(
        optax.clip_by_global_norm(config.most_gradient),
        optax.adamw(rate, b2=0.98, weight_decay=config.weight_decay),
    )


def init(key: jax.Array, config: TrainingConfig, weights: Weights | None = None) -> TrainState:
    """Fresh weights, or those that are given."""
    weights = network.init(key, config.model) if weights is None else weights
    moments: Any = optimizer(config).init(cast(Any, weights))
    return TrainState(jnp.int32(0), weights, moments)


def answers(
    weights: Weights, config: ModelConfig, exercise: Exercise, vectors: tuple[jax.Array, jax.Array]
) -> Answer:
    """Answer the questions [Q] of one exercise; ``vectors`` are those of its columns and meta-features."""
    own, others, questions = exercise
    columns = network.columns_of(own.features, own.mask)

    def base(table: Table) -> jax.Array:
        configs = network.embed_configs(weights, columns, vectors[0], table.features)
        return configs + network.embed_meta(weights, vectors[1], table.meta_features)

    before = network.encode_others(weights, config, base(others), others.progress, others.mask)
    base_own, seen = base(own), own.progress
    context = network.encode_own(weights, config, before, base_own, seen, own.mask & (seen.done > 0))
    base_asked, asked = jax.tree.map(lambda x: x[questions.candidate], (base_own, seen))
    return network.ask(weights, config, context, base_asked, asked, questions.step)


def random_vectors(key: jax.Array, config: ModelConfig, exercise: Exercise) -> tuple[jax.Array, jax.Array]:
    """Vectors for the columns and meta-features of an exercise that has nothing to do with any other."""
    key_columns, key_meta = jax.random.split(key)
    num_columns, num_meta = exercise.own.features.shape[-1], exercise.own.meta_features.shape[-1]
    return (
        jax.random.normal(key_columns, (num_columns, config.column_size)),
        jax.random.normal(key_meta, (num_meta, config.column_size)),
    )


def own_vectors(config: ModelConfig, exercise: Exercise) -> tuple[jax.Array, jax.Array]:
    """Vectors of the columns and meta-features of a real search space."""
    num_columns, num_meta = exercise.own.features.shape[-1], exercise.own.meta_features.shape[-1]
    return network.column_vectors(num_columns, config), network.column_vectors(num_meta, config)


def losses(given: Answer, exercise: Exercise) -> Losses:
    """Means over the questions of a batch of exercises; answers are [B, Q]."""
    questions = exercise.questions
    each = surprise(given, questions.score, questions.log_seconds, questions.crashed)
    counts = (
        questions.mask & ~questions.crashed & ~jnp.isnan(questions.score),
        questions.mask & ~jnp.isnan(questions.log_seconds),
        questions.mask,
    )
    return Losses(
        *(
            jnp.sum(jnp.where(m, x, 0.0)) / jnp.maximum(jnp.sum(m), 1)
            for x, m in zip(each, counts, strict=True)
        )
    )


def _total(
    weights: Weights, config: ModelConfig, batch: list[tuple[Exercise, Any]]
) -> tuple[jax.Array, Losses]:
    """Loss of exercises of several kinds, each batched with its vectors; weighted by how many of each there are."""
    sizes = [len(exercise.own.mask) for exercise, _ in batch]
    parts = []
    for exercise, vectors in batch:
        given = jax.vmap(partial(answers, weights, config))(exercise, vectors)
        parts.append(losses(given, exercise))
    mean = jax.tree.map(lambda *x: sum(n * y for n, y in zip(sizes, x, strict=True)) / sum(sizes), *parts)
    total = jnp.sum(jnp.stack([w * x for w, x in zip(_LOSS_WEIGHTS, mean, strict=True)]))
    return total, mean


def draw_batch(
    key: jax.Array, config: TrainingConfig, real: RealCurves | None = None
) -> list[tuple[Exercise, Any]]:
    """Random tasks, and exercises made of real curves; each kind with its vectors."""
    key_tasks, key_vectors, key_real = jax.random.split(key, 3)
    batch = []
    if num_random := config.batch_size - (config.num_real if real is not None else 0):
        exercises = tasks.sample(key_tasks, config.prior, num_random)
        vectors = jax.vmap(partial(random_vectors, config=config.model))(
            jax.random.split(key_vectors, num_random), exercise=exercises
        )
        batch.append((exercises, vectors))
    if real is not None and config.num_real:
        exercises = real_curves.sample(key_real, real, config.real, config.num_real)
        vectors = own_vectors(config.model, exercises)
        batch.append(
            (
                exercises,
                jax.tree.map(lambda x: jnp.broadcast_to(x[None], (config.num_real, *x.shape)), vectors),
            )
        )
    return batch


def train_step(
    state: TrainState, batch: list[tuple[Exercise, Any]], config: TrainingConfig
) -> tuple[TrainState, Losses]:
    """One gradient step; returns the losses before it."""
    grads, parts = jax.grad(_total, has_aux=True)(state.weights, config.model, batch)
    updates, opt_state = optimizer(config).update(grads, state.opt_state, cast(Any, state.weights))
    weights = jax.tree.map(jnp.add, state.weights, updates)
    return TrainState(state.step + 1, weights, opt_state), parts


@partial(jax.jit, static_argnames=("config", "num"))
def _advance(
    key: jax.Array, state: TrainState, real: RealCurves | None, config: TrainingConfig, num: int
) -> tuple[TrainState, Losses]:
    """So many steps as one program, and their mean losses."""

    def one(state: TrainState, _: None) -> tuple[TrainState, Losses]:
        batch = draw_batch(jax.random.fold_in(key, state.step), config, real)
        return train_step(state, batch, config)

    state, parts = jax.lax.scan(one, state, None, length=num)
    return state, jax.tree.map(jnp.mean, parts)


def pretrain(
    key: jax.Array,
    config: TrainingConfig,
    real: RealCurves | None = None,
    state: TrainState | None = None,
    steps_per_call: int = 50,
    on_steps: Callable[[TrainState, Losses], None] = lambda state, losses: None,
) -> Weights:
    """Train to the end.

    Args:
        key: the only source of randomness; batch i depends on it and i alone.
        config: what to train.
        real: curves of other data sets, if the config wants any.
        state: what to go on from, as ``on_steps`` was given it.
        steps_per_call: steps between two calls of ``on_steps``.
        on_steps: told the state and the mean losses of the steps since the last call.
    """
    now = init(jax.random.fold_in(key, _WEIGHTS), config) if state is None else state
    while (done := int(now.step)) < config.num_steps:
        num = min(steps_per_call, config.num_steps - done)
        now, parts = _advance(key, now, real, config, num)
        on_steps(now, parts)
    return now.weights
