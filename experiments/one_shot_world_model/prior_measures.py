"""How well small world models foresee contexts that they share: errors, what they add to the experts, calibration.

Measured is the model as it is trained: what its head says. As a world model it takes only as large a share of the step
away from the experts as does well on the context itself (``worldmodel.small.world_model``); that is not part of it.
"""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from synthenv.core.checkpoint import load_arrays
from synthenv.core.errors import UserError
from synthenv.runs.oswm.pretrain.batches import Batches
from synthenv.runs.oswm.pretrain.real_task_errors import Foreseen, RealConfig, collect_real, error_shares
from synthenv.runs.oswm.pretrain.run import REAL
from synthenv.runs.statistics.intervals import NUM_BOOTSTRAP
from synthenv.worldmodel.small import train_step as pretrain
from synthenv.worldmodel.small.network import ModelConfig, Params
from synthenv.worldmodel.small.train_step import PretrainConfig
from synthenv.worldmodel.small.training_examples import Examples
from synthenv.zoo import world_models

_FLOOR = 1e-6  # of errors as shares of a variance: what is smaller counts as nothing
MEASURED = ("error", "experts_error", "gain", "calibration", "experts_calibration")
ALL_TASKS = "mean of tasks"


class Pretrained(NamedTuple):
    """A model's name, which it may share with those of other seeds, its seed, sizes and weights."""

    name: str
    seed: int
    sizes: ModelConfig
    params: Params


class Asked(NamedTuple):
    """The same questions for all models: where they come from, the tasks' names [B], and the experts' answers."""

    kind: str
    context: int
    tasks: tuple[str, ...]
    examples: Examples


def load(name: str, path: Path) -> Pretrained:
    """Load a finished run of ``synthenv oswm pretrain``.

    Raises:
        UserError: there is none, or it is one of the paper's model, which has no experts.
    """
    params = world_models.load(str(path)).params
    metadata = load_arrays(path / world_models.FILE if path.is_dir() else path)[1]
    if metadata["form"] != "small":
        raise UserError(f"{path} is a model of the {metadata['form']} form: pass small ones")
    sizes = world_models.config_from_stored(metadata).model
    return Pretrained(name, metadata["seed"], sizes, params)


def held_out(base: PretrainConfig, seed: int, num: int) -> Iterator[Asked]:
    """Batches of the prior's tasks with numbers that no pretraining gets to, whatever its seed."""
    families, num_each = base.prior.families, base.prior.tasks_per_family
    names = tuple(np.repeat(families, num_each).tolist())
    with Batches(jax.random.key(seed), base, 0, 1) as batches:
        for context, examples in enumerate(batches.held_out(num)):
            yield Asked("held_out", context, names, examples)


def real(seed: int, tasks: tuple[str, ...], num: int, num_rows: int, sizes: ModelConfig) -> Iterator[Asked]:
    """Contexts of held actions of each real task, with questions about others."""
    if not tasks or not num:
        return
    key = jax.random.fold_in(jax.random.key(seed), REAL)
    every = collect_real(key, RealConfig(tasks * num, num_rows), sizes).examples
    for context in range(num):
        own = slice(context * len(tasks), (context + 1) * len(tasks))
        yield Asked("real", context, tasks, jax.tree.map(lambda leaf, own=own: leaf[own], every))


def lines_of(asked: Asked, models: Sequence[Pretrained]) -> Iterator[dict[str, Any]]:
    """A line for every model and task; tasks whose numbers are no numbers are left out."""
    examples = asked.examples
    sound = np.asarray(jnp.any(examples.counts, axis=1))
    centre, scale = jax.vmap(pretrain.blend_all)(examples.questions)
    experts_error, experts_calibration = scores(centre, scale, examples)
    for model in models:
        given = _answers(model.params, model.sizes, examples)
        error, calibration = scores(given.mean, given.std, examples)
        gain = 0.5 * np.log((experts_error + _FLOOR) / (error + _FLOOR))
        columns = (error, experts_error, gain, calibration, experts_calibration)
        for i in np.flatnonzero(sound):
            head = {"kind": asked.kind, "task": asked.tasks[i], "context": asked.context}
            numbers = {name: f"{column[i]:.6g}" for name, column in zip(MEASURED, columns, strict=True)}
            yield head | {"model": model.name, "seed": model.seed} | numbers


_answers = jax.jit(pretrain.answers, static_argnames="config")


@jax.jit
def _scores(mean: jax.Array, std: jax.Array, examples: Examples) -> tuple[jax.Array, jax.Array]:
    y, used = examples.y, examples.questions.used
    counts = jnp.broadcast_to((used & (jnp.var(y, axis=1) > 1e-9))[:, None], y.shape)
    squares = jnp.square((y - mean) / std)
    mean_square = jnp.sum(jnp.where(counts, squares, 0.0), (1, 2)) / jnp.maximum(jnp.sum(counts, (1, 2)), 1)
    return error_shares(Foreseen(mean, y, used)), jnp.sqrt(mean_square)


def scores(mean: jax.Array, std: jax.Array, examples: Examples) -> tuple[np.ndarray, np.ndarray]:
    """Errors as shares of the variance, and root mean squares of error over predicted deviation. [B] each

    Args:
        mean: predictions. [B, Q, Y]
        std: predicted deviations. [B, Q, Y]
        examples: what came.
    """
    error, calibration = _scores(mean, std, examples)
    return np.asarray(error, np.float64), np.asarray(calibration, np.float64)


def summarise(lines: Sequence[Mapping[str, str]]) -> list[dict[str, Any]]:
    """By kind, task and model: means over contexts and seeds with 95 % bootstrap intervals.

    ``gain`` is ln(experts' / model's root mean squared error). Errors and calibrations are geometric means: they span
    orders of magnitude. In ``ALL_TASKS`` every context counts with the mean over its tasks.
    """
    found: dict[tuple[str, str, str], list[Mapping[str, str]]] = {}
    for line in lines:
        for task in (line["task"], ALL_TASKS):
            found.setdefault((line["kind"], task, line["model"]), []).append(line)
    results = []
    for (kind, task, model), own in found.items():
        summary: dict[str, Any] = {"kind": kind, "task": task, "model": model}
        for name in MEASURED:
            table = table_of(own, name)
            mean, ends = float(table.mean()), interval(table)
            if name != "gain":
                mean, ends = float(np.exp(mean)), np.exp(ends).tolist()
            summary |= {"num_seeds": len(table), "num_contexts": table.shape[1]}
            summary |= {name: mean, f"ci95_{name}": ends}
        results.append(summary)
    return results


def table_of(lines: Sequence[Mapping[str, str]], name: str) -> np.ndarray:
    """A number of one model, or its logarithm unless it is one already, by seed and context; mean over tasks. [S, C]"""
    seeds, contexts = (sorted({int(line[axis]) for line in lines}) for axis in ("seed", "context"))
    cells: dict[tuple[int, int], list[float]] = {}
    for line in lines:
        value = float(line[name])
        value = value if name == "gain" else float(np.log(max(value, _FLOOR)))
        cells.setdefault((int(line["seed"]), int(line["context"])), []).append(value)
    return np.array([[np.mean(cells[seed, context]) for context in contexts] for seed in seeds])


def interval(table: np.ndarray, seed: int = 0) -> list[float]:
    """95 % percentile bootstrap interval of the mean of [S, C], seeds and contexts drawn apart: models share contexts.

    One seed's interval is over contexts alone and says nothing about another pretraining.
    """
    random = np.random.default_rng(seed)
    rows, columns = (random.integers(0, size, (NUM_BOOTSTRAP, size)) for size in table.shape)
    means = table[rows[:, :, None], columns[:, None, :]].mean(axis=(1, 2))
    return [float(x) for x in np.percentile(means, [2.5, 97.5])]
