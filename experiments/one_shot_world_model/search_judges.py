"""What the trials of a search are judged by: how well a model foresees steps that it was not trained on.

Whatever the source, questions are rows in the model's 14 columns, in units of the context before them. The judgement of
a task is the logarithm of the error's root mean square over the columns that vary in its context, and that of a trial
the mean over tasks: 0 is about what knowing the mean is worth, and a task with large numbers counts like any other.
"""

from functools import partial
from typing import Literal, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from synthenv.envs import registry
from synthenv.runs.oswm.pretrain.real_task_errors import TASKS
from synthenv.runs.oswm.run.presets import preset
from synthenv.worldmodel.context.action_strategies import Collection
from synthenv.worldmodel.context.collect import collect
from synthenv.worldmodel.context.context import MIN_ROWS
from synthenv.worldmodel.paper import network as paper_model
from synthenv.worldmodel.paper import world_model as paper_world_model
from synthenv.worldmodel.paper.network import NUM_ACTION, NUM_STATE, PaperModelConfig, PaperModelParams
from synthenv.worldmodel.paper.prior import sample as released_prior
from synthenv.worldmodel.paper.prior.transition_rows import moments
from synthenv.worldmodel.small.prior import sample as prior
from synthenv.worldmodel.small.prior.generic_families import GENERIC
from synthenv.worldmodel.small.prior.sample import PriorBatch, PriorConfig

Source = Literal["generic", "all", "released", "real"]
_LEAST = 1e-4  # root mean squares below this share of a deviation count as this


class Questions(NamedTuple):
    """Rows of B tasks, each in units of its first ``num_context`` rows.

    Attributes:
        x, y: [B, T, 14]
        num_context: rows of a context; the rest is asked about.
    """

    x: np.ndarray
    y: np.ndarray
    num_context: int


def draw(key: jax.Array, source: Source, num_tasks: int, num_rows: int) -> Questions:
    """Draw tasks and their rows, three quarters of them context.

    Args:
        key: decides them all.
        source: the prior of ``worldmodel/small/prior/sample.py``, its "generic" families or "all" of them; the
            "released" prior as the chapter describes it; or "real": the five compiled tasks that the world models
            are measured on.
        num_tasks: B, at least. Real tasks have as many contexts each as it takes.
        num_rows: T.
    """
    num_context = num_rows * 3 // 4
    if source == "released":
        sample = jax.jit(released_prior.sample, static_argnums=(1, 2, 3))
        rows = sample(key, released_prior.PAPER, num_tasks, num_rows)
        x, y = np.asarray(rows.x), np.asarray(rows.y)
    elif source == "real":
        num_each = -(-num_tasks // len(TASKS))
        parts = [_real(jax.random.fold_in(key, i), num_context, num_rows) for i in range(num_each)]
        x, y = (np.concatenate(column) for column in zip(*parts, strict=True))
    else:
        x, y = _of_our_prior(key, source, num_tasks, num_rows, num_context)
    x, y = in_units_of(x, num_context), in_units_of(y, num_context)
    alive = np.any(y[:, :num_context] != 0, axis=(1, 2))  # where nothing ever changes there is nothing to ask
    return Questions(x[alive], y[alive], num_context)


def _of_our_prior(
    key: jax.Array, source: Source, num_tasks: int, num_rows: int, num_context: int
) -> tuple[np.ndarray, np.ndarray]:
    families = tuple(GENERIC if source == "generic" else prior.FAMILIES)
    config = PriorConfig(
        families,
        tasks_per_family=-(-num_tasks // len(families)),
        num_context=num_context,
        min_context=num_context,
        num_queries=num_rows - num_context,
    )
    batch = jax.device_get(jax.jit(partial(prior.sample, config=config))(key))
    batch = PriorBatch(*(leaf[batch.sound] for leaf in batch))
    return columns_of(batch)


def columns_of(batch: PriorBatch) -> tuple[np.ndarray, np.ndarray]:
    """Rows of our prior in the columns of the paper's model: a discrete action is its number there. [B, T, 14] each"""
    obs_size = batch.targets.shape[2] - 1
    obs, actions = batch.inputs[..., :obs_size], batch.inputs[..., obs_size:]
    one_hot = ((actions == 0) | (actions == 1)).all(axis=2) & (actions.sum(axis=2) == 1)
    is_discrete = one_hot.all(axis=1)[:, None, None]
    numbers = np.zeros((*actions.shape[:2], NUM_ACTION), np.float32)
    numbers[..., :1] = actions.argmax(axis=2)[..., None]
    action = np.where(is_discrete, numbers, actions[..., :NUM_ACTION])
    x, y = (np.zeros((*obs.shape[:2], paper_model.NUM_COLUMNS), np.float32) for _ in range(2))
    x[..., :obs_size], x[..., NUM_STATE:] = obs, action
    y[..., :obs_size], y[..., -1] = batch.after[..., :obs_size], batch.targets[..., -1]
    return x, y


def _real(key: jax.Array, num_context: int, num_rows: int) -> tuple[np.ndarray, np.ndarray]:
    """Rows of each real task: a context of random actions, and questions about steps of held ones."""
    parts = []
    for i, name in enumerate(TASKS):
        spec, after = registry.make(name), preset(name).post_failure_steps
        told = []
        for j, (strategy, num) in enumerate((("random", num_context), ("held", num_rows - num_context))):
            asked = Collection(strategy, max(num, MIN_ROWS), post_failure_steps=after, num_resets=1)
            found = collect(jax.random.fold_in(key, 2 * i + j), spec, asked)
            rows = paper_world_model.tell(found.transitions, found.num_actions)
            told.append((np.asarray(rows.x)[:num], np.asarray(rows.y)[:num]))
        parts.append([np.concatenate(column) for column in zip(*told, strict=True)])
    x, y = (np.stack(column) for column in zip(*parts, strict=True))
    return x, y


def in_units_of(values: np.ndarray, num_context: int) -> np.ndarray:
    """Rows [B, T, 14] less the mean and over the deviation of the first ``num_context``; constant columns are 0."""
    mean, std = (np.asarray(it)[:, None] for it in jax.vmap(moments)(jnp.asarray(values[:, :num_context])))
    return np.where(std > 0, (values - mean) / np.where(std > 0, std, 1.0), 0.0).astype(np.float32)


def log_errors(params: PaperModelParams, sizes: PaperModelConfig, questions: Questions) -> np.ndarray:
    """Logarithm of the root mean squared error on each task, over the columns that vary in its context. [B]"""
    squares = _mean_squares(params, questions.x, questions.y, sizes, questions.num_context)
    return 0.5 * np.log(np.maximum(np.asarray(squares, np.float64), _LEAST**2))


@partial(jax.jit, static_argnames=("sizes", "num_context"))
def _mean_squares(
    params: PaperModelParams, x: jax.Array, y: jax.Array, sizes: PaperModelConfig, num_context: int
) -> jax.Array:
    def of_task(task: tuple[jax.Array, jax.Array]) -> jax.Array:
        x, y = task
        varies = jnp.any(y[:num_context] != 0, axis=0)
        return paper_model.loss(params, sizes, x[None], y[None], num_context, varies[None])

    return jax.lax.map(of_task, (x, y))
