"""One-step errors of a model in training on real tasks, beside those of the experts alone.

Contexts and questions are steps of our own compiled tasks. They are collected once and fitted by the experts once,
since that fit does not depend on any weight. Nothing is trained on these errors and nothing is chosen by them: a
pretraining leaves the weights of its last step, whatever the errors are. They show the user whether the transformer
adds anything.

References:
    Ferreira et al. (2024), One-shot world models, section 4.3, for the proxy loss; here as shares of a variance.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from synthenv.envs import registry
from synthenv.runs.oswm.run.presets import preset
from synthenv.worldmodel.context.action_strategies import Collection
from synthenv.worldmodel.context.collect import collect
from synthenv.worldmodel.context.context import Context
from synthenv.worldmodel.experts import world_model as experts_model
from synthenv.worldmodel.paper import world_model as paper_world_model
from synthenv.worldmodel.paper.network import PaperModelConfig
from synthenv.worldmodel.paper.world_model import Told
from synthenv.worldmodel.regression import columns
from synthenv.worldmodel.regression.double_precision import double_on_host
from synthenv.worldmodel.small import train_step as pretrain
from synthenv.worldmodel.small.network import ModelConfig
from synthenv.worldmodel.small.prior.sample import PriorBatch
from synthenv.worldmodel.small.prior.sensors import MAX_ACTIONS
from synthenv.worldmodel.small.training_examples import Examples, prepare

TASKS = ("GridWorld", "SimpleEnv", "CartPole-v0", "MountainCar-v0", "Pendulum-v1")
_FLOOR = 1e-6  # errors below this share of the variance count as nothing
_NUM_METRIC_ROWS = 64


@dataclass(frozen=True)
class RealConfig:
    """Where real steps come from.

    Attributes:
        tasks: Ids of compiled tasks; none to watch nothing.
        num_rows: Steps of a context, and as many questions about others.
    """

    tasks: tuple[str, ...] = TASKS
    num_rows: int = 256


NOTHING_REAL = RealConfig(())


class RealSteps(NamedTuple):
    """Contexts and questions of B real tasks.

    Attributes:
        contexts, questions: as they were collected.
        batch: both as tasks of a prior, in columns that suffice for all; questions follow the contexts.
        examples: the same with the experts' answers, as a model is trained on them.
    """

    contexts: list[Context]
    questions: list[Context]
    batch: PriorBatch
    examples: Examples


def collect_real(key: jax.Array, config: RealConfig, slots: ModelConfig) -> RealSteps:
    """Collect contexts and questions, and fit the experts to them.

    Args:
        key: random key, which decides all steps.
        config: where the steps come from.
        slots: a model whose ``max_obs`` is enough for all tasks.
    """
    contexts, questions = [], []
    for i, name in enumerate(config.tasks):
        spec, after = registry.make(name), preset(name).post_failure_steps
        collection = Collection("held", config.num_rows, post_failure_steps=after, num_resets=1)
        keys = jax.random.split(jax.random.fold_in(key, i))
        contexts.append(collect(keys[0], spec, collection))
        questions.append(collect(keys[1], spec, collection))
    rows = [_task(*pair, slots.max_obs) for pair in zip(contexts, questions, strict=True)]
    batch = PriorBatch(*(jnp.asarray(np.stack(leaves)) for leaves in zip(*rows, strict=True)))
    fit = partial(prepare, config=slots, num_context=config.num_rows, num_metric_rows=_NUM_METRIC_ROWS)
    with double_on_host():
        key_fit = jax.random.fold_in(key, len(config.tasks))  # earlier numbers are for collecting
        return RealSteps(contexts, questions, batch, jax.jit(fit)(key_fit, batch))


def _task(context: Context, questions: Context, max_obs: int) -> PriorBatch:
    """Return a context's distinct rows, filled up, and questions, in the columns of the prior."""
    size, num_rows = context.obs_size, context.num_rows
    told = columns.distinct(*experts_model.rows_of(context.transitions, context.num_actions))
    asked = experts_model.rows_of(questions.transitions, questions.num_actions)
    num_found = len(told[0])
    filled = (np.pad(array, ((0, num_rows - num_found), (0, 0))) for array in told)
    inputs, after, targets, ended = (
        np.concatenate(pair).astype(np.float32) for pair in zip(filled, asked, strict=True)
    )

    def widen(array: np.ndarray, rest: int) -> np.ndarray:
        """Widen observations and the columns behind them with zeros to the widths of the prior."""
        parts = (array[:, :size], max_obs), (array[:, size:], rest)
        return np.concatenate([np.pad(part, ((0, 0), (0, n - part.shape[1]))) for part, n in parts], axis=1)

    leaves: dict[str, Any] = {
        "inputs": widen(inputs, MAX_ACTIONS),
        "after": widen(after, MAX_ACTIONS),
        "targets": widen(targets, 1),
        "terminated": ended[:, 0] > 0.5,
        "num_context": np.int32(num_found),
        "used": np.append(np.arange(max_obs) < size, True),
        "sound": np.bool_(True),
    }
    return PriorBatch(**leaves)


def _obs_size(task: str) -> int:
    spec = registry.make(task)
    return spec.env.observation_space(spec.env_params).shape[0]


class Foreseen(NamedTuple):
    """Predictions [B, Q, Y], what came [B, Q, Y], and which of the columns exist, bool [B, Y].

    The units do not matter.
    """

    said: jax.Array
    came: jax.Array
    used: jax.Array


def error_shares(foreseen: Foreseen) -> jax.Array:
    """Return mean squared errors as shares of the variance, averaged over the columns that vary. [B]"""
    error = jnp.mean(jnp.square(foreseen.said - foreseen.came), axis=1)
    variance = jnp.var(foreseen.came, axis=1)
    counts = foreseen.used & (variance > 1e-9)
    shares = jnp.where(counts, error / jnp.where(counts, variance, 1.0), 0.0)
    return jnp.sum(shares, axis=1) / jnp.maximum(jnp.sum(counts, axis=1), 1)


def experts_alone(examples: Examples) -> Foreseen:
    """Return what the experts predict without any transformer."""

    said = jax.vmap(lambda questions: pretrain.blend_all(questions)[0])(examples.questions)
    return Foreseen(said, examples.y, examples.questions.used)


class RealErrors:
    """Errors of a model's weights on real tasks, as fields of a line of metrics.

    Args:
        tasks: names of the tasks.
        steps: what was collected from them.
        foresee: weights -> the model's answers to all questions; pure.
    """

    def __init__(self, tasks: tuple[str, ...], steps: RealSteps, foresee: Callable[[Any], Foreseen]):
        self._tasks = tasks
        self._experts = np.asarray(jax.jit(lambda it: error_shares(experts_alone(it)))(steps.examples))
        self._of_model = jax.jit(lambda params: error_shares(foresee(params)))

    def __call__(self, params: Any) -> dict[str, Any]:
        """``real``: task by task the error of the model and of the experts alone, as shares of the variance.
        ``real_gain``: ln(experts' / model's root mean squared error), mean over the tasks."""
        shares = np.asarray(self._of_model(params))
        gain = 0.5 * np.log((self._experts + _FLOOR) / (shares + _FLOOR))
        pairs = zip(self._tasks, shares.tolist(), self._experts.tolist(), strict=True)
        return {
            "real": {task: {"model": share, "experts": experts} for task, share, experts in pairs},
            "real_gain": float(gain.mean()),
        }


def of_paper(key: jax.Array, config: RealConfig, sizes: PaperModelConfig) -> Callable[[Any], dict[str, Any]]:
    """Make ``RealErrors`` for the paper's model."""
    if not config.tasks:
        return lambda params: {}
    max_obs = max(_obs_size(task) for task in config.tasks)
    steps = collect_real(key, config, ModelConfig(max_obs=max_obs))
    told, asked = (
        jax.tree.map(
            lambda *leaves: jnp.stack(leaves),
            *(paper_world_model.tell(context.transitions, context.num_actions) for context in contexts),
        )
        for contexts in (steps.contexts, steps.questions)
    )
    columns = np.append(np.arange(max_obs), paper_world_model.NUM_COLUMNS - 1)

    def foresee(params: Any) -> Foreseen:
        def of_task(told: Told, x: jax.Array) -> jax.Array:
            return paper_world_model.foresee(paper_world_model.encode_told(params, told, sizes), x, sizes)

        # The paper's model predicts where a step leads; the variance here is always that of how far it leads.
        start = jnp.concatenate([asked.x[..., :max_obs], jnp.zeros_like(asked.x[..., :1])], axis=-1)
        said, came = jax.vmap(of_task)(told, asked.x)[..., columns], asked.y[..., columns]
        return Foreseen(said - start, came - start, steps.batch.used)

    return RealErrors(config.tasks, steps, foresee)


def of_small(key: jax.Array, config: RealConfig, sizes: ModelConfig) -> Callable[[Any], dict[str, Any]]:
    """Make ``RealErrors`` for the small model."""
    if not config.tasks:
        return lambda params: {}
    steps = collect_real(key, config, sizes)
    examples = steps.examples

    def foresee(params: Any) -> Foreseen:
        said = pretrain.answers(params, sizes, examples).mean
        return Foreseen(said, examples.y, examples.questions.used)

    return RealErrors(config.tasks, steps, foresee)
