"""Table 3: one-step errors of world models by the way their context was collected.

References:
    One-Shot World Models Using a Transformer Trained on a Synthetic Prior, appendix B and table 3. Where its text
    leaves room, the released code is followed: rows are drawn with replacement, contexts have no limit on an
    episode's length but the task's own, and the three test sets are averaged.
"""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np

from synthenv.core.files import to_json, write_atomic
from synthenv.core.types import Transition, WorldModel
from synthenv.runs.oswm.benchmark import error_contexts
from synthenv.runs.oswm.benchmark.paper_numbers import TABLE3, TABLE3_STRATEGIES, TASKS
from synthenv.runs.oswm.run.real_tasks import contents_of, world_model
from synthenv.runs.statistics.intervals import bootstrap_interval
from synthenv.runs.storage import locked_directory
from synthenv.runs.storage.csv_tables import read_csv, write_csv
from synthenv.worldmodel.context.action_strategies import Collection
from synthenv.worldmodel.regression.columns import targets_of

TEST_SETS = {"random": "random", "half": "p-expert", "expert": "expert"}  # names and their strategies
PADDED_SIZE = 14  # columns that the paper's errors are averaged over, whatever the task has


@dataclass(frozen=True)
class ProxyLoss:
    """What to measure.

    Attributes:
        tasks: Where.
        strategies: How contexts are collected.
        models: Who predicts.
        num_contexts: Contexts of each kind, all with seeds of their own.
        num_context_rows: Transitions in each.
        num_test_rows: Transitions collected for each test set.
        num_drawn: How many of these are asked about, drawn with replacement.
        expert_steps: Bound on the training steps of experts; None is as many as they need.
        seed: Of experts and test sets; contexts have those after it.
    """

    tasks: tuple[str, ...] = TASKS
    strategies: tuple[str, ...] = ("random", "held")
    models: tuple[str, ...] = (
        "persistence",
        "ridge",
        "quadratic",
        "gp-isotropic",
        "gp-ard",
        "experts",
    )
    num_contexts: int = 3
    num_context_rows: int = 1000
    num_test_rows: int = 5000
    num_drawn: int = 500
    expert_steps: int | None = None
    seed: int = 0


class Errors(NamedTuple):
    """Errors of one model given one context.

    Attributes:
        raw: mean squared errors as in table 3, by test set. [3]
        by_column: errors as shares of the variance of change and reward in the test sets; NaN without any. [d + 1]
    """

    raw: np.ndarray
    by_column: np.ndarray


def drawn_tests(config: ProxyLoss, out: Path, task: str) -> list[Transition]:
    """Return transitions [num_drawn] of each test set, drawn with replacement from those collected."""
    sets = []
    for index, strategy in enumerate(TEST_SETS.values()):
        steps = _context(config, out, task, strategy, config.num_test_rows, config.seed).transitions
        rows = np.random.default_rng((config.seed, index)).integers(0, config.num_test_rows, config.num_drawn)
        columns: dict[str, Any] = {name: value[rows] for name, value in steps._asdict().items()}
        sets.append(Transition(**columns))
    return sets


def _context(config: ProxyLoss, out: Path, task: str, strategy: str, num_rows: int, seed: int) -> Any:
    act = partial(error_contexts.expert, task, config.seed, config.expert_steps)
    collection = Collection(strategy, num_steps=num_rows)
    return error_contexts.context(out / "contexts", task, collection, seed, act)


def errors_of(model: WorldModel, cache: Any, tests: list[Transition]) -> Errors:
    """Ask an encoded context about all test sets."""
    ask = jax.jit(jax.vmap(model.predict, in_axes=(None, 0, 0)))
    squares = []
    for steps in tests:
        said = ask(cache, steps.obs, steps.action)
        of_obs = np.asarray(said.next_obs, np.float64) - steps.next_obs
        of_reward = np.asarray(said.reward, np.float64) - steps.reward
        squares.append(np.column_stack([of_obs, of_reward]) ** 2)
    targets = np.concatenate([np.asarray(targets_of(steps), np.float64) for steps in tests])
    variance = targets.var(axis=0)
    variance[variance < 1e-10 * (targets**2).mean(axis=0)] = np.nan
    by_column = np.concatenate(squares).mean(axis=0) / np.where(variance > 0, variance, np.nan)
    return Errors(np.array([each.mean(axis=0).sum() / PADDED_SIZE for each in squares]), by_column)


def run(config: ProxyLoss, out: Path, tell: Callable[[dict[str, Any]], None]) -> dict[str, Any]:
    """Write ``proxy_loss.csv``, with a line per task, strategy, model and context, and ``proxy_loss.json``.

    Lines that are in the file already are not measured again; contexts and test sets are kept in ``out/contexts``.

    Args:
        config: what to measure.
        out: the directory.
        tell: called with every new line.

    Returns:
        what ``summarise`` says of all lines in the file.

    Raises:
        UserError: a name is unknown, the lines there are of other settings, or the disk is full.
    """
    for name in config.models:
        world_model(name)
    with locked_directory.held(out, settings(config)):
        file = out / "proxy_loss.csv"
        lines: list[dict[str, Any]] = list(read_csv(file)) if file.exists() else []
        done = {(line["task"], line["strategy"], line["model"], int(line["context"])) for line in lines}
        for key in keys(config):
            if key not in done:
                lines.append(measure(config, out, *key))
                write_csv(file, lines)
                tell(lines[-1])
        summary = summarise(lines)
        write_atomic(out / "proxy_loss.json", f"{to_json({'results': summary}, indent=1)}\n".encode())
    return summary


def settings(config: ProxyLoss) -> dict[str, Any]:
    """Return what decides the numbers of a line, but neither which lines there are nor the number of contexts."""
    numbers = ("num_context_rows", "num_test_rows", "num_drawn", "expert_steps", "seed")
    return {name: getattr(config, name) for name in numbers} | {"contents": contents_of(*config.models)}


def keys(config: ProxyLoss) -> Iterator[tuple[str, str, str, int]]:
    """Yield task, strategy, model and context of every line, in order."""
    for task in config.tasks:
        for strategy in config.strategies:
            for model in config.models:
                for context in range(config.num_contexts):
                    yield task, strategy, model, context


def measure(
    config: ProxyLoss, out: Path, task: str, strategy: str, name: str, context: int
) -> dict[str, Any]:
    """Measure one line of ``proxy_loss.csv``; ``relative`` is the mean over the columns that vary.

    Args:
        config: what to measure.
        out: the directory, which keeps contexts and test sets.
        task: id of the task.
        strategy: how the context is collected.
        name: the world model.
        context: number of the context, from 0.
    """
    seed = config.seed + 1 + context
    collected = _context(config, out, task, strategy, config.num_context_rows, seed)
    tests = drawn_tests(config, out, task)
    model, began = world_model(name), time.process_time()
    cache = jax.block_until_ready(model.encode(model.params, collected.transitions, collected.num_actions))
    seconds = time.process_time() - began
    errors = errors_of(model, cache, tests)
    numbers = dict(zip(TEST_SETS, errors.raw, strict=True))
    numbers |= {"raw": errors.raw.mean(), "relative": np.nanmean(errors.by_column)}
    shown = {key: f"{value:.4g}" for key, value in numbers.items()}
    columns = " ".join(f"{value:.3g}" for value in errors.by_column)
    of = {"task": task, "strategy": strategy, "model": name, "context": context}
    return of | shown | {"encode_cpu_seconds": f"{seconds:.2f}", "by_column": columns}


def summarise(lines: list[dict[str, Any]]) -> dict[str, Any]:
    """Return means and 95 % bootstrap intervals over contexts by task, strategy and model, and the paper's numbers."""
    results: dict[str, Any] = {}
    for line in lines:
        of_task = results.setdefault(line["task"], {}).setdefault(line["strategy"], {})
        of_task.setdefault(line["model"], []).append(line)
    for task, strategies in results.items():
        for strategy, models in strategies.items():
            strategies[strategy] = {name: _summary(own) for name, own in models.items()}
            if strategy in TABLE3_STRATEGIES:
                strategies[strategy]["paper"] = {"raw": TABLE3[task][TABLE3_STRATEGIES.index(strategy)]}
    return results


def _summary(lines: list[dict[str, Any]]) -> dict[str, Any]:
    summary: dict[str, Any] = {"num_contexts": len(lines)}
    for name in ("raw", "relative", "encode_cpu_seconds"):
        values = np.array([float(line[name]) for line in lines])
        summary[name] = float(values.mean())
        if len(values) > 1:
            summary[f"ci95_{name}"] = bootstrap_interval(values)
    by_column = np.array([[float(x) for x in line["by_column"].split()] for line in lines])
    return summary | {"by_column": by_column.mean(axis=0).tolist()}
