"""Table 3: one-step errors of world models by the way their context was collected, beside those of simple regressions.

References:
    One-Shot World Models Using a Transformer Trained on a Synthetic Prior, appendix B and table 3. Where its text
    leaves room, the released code is followed: rows are drawn with replacement, contexts have no limit on an
    episode's length but the task's own, and the three test sets are averaged.
"""

import json
import time
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Literal, NamedTuple

import jax
import numpy as np

from experiments.command_line import execute, parse
from experiments.one_shot_world_model import proxy_tasks
from experiments.tables import read_csv, write_csv
from synthenv.core.files import to_json, write_atomic
from synthenv.core.types import Transition, WorldModel
from synthenv.runs.evaluate import bootstrap_interval
from synthenv.worldmodel import baselines, experts_model, gaussian_process
from synthenv.worldmodel.columns import targets_of
from synthenv.worldmodel.strategies import Collection

TEST_SETS = {"random": "random", "half": "p-expert", "expert": "expert"}  # by the strategy that makes them
PADDED_SIZE = 14  # columns that the paper's errors are averaged over, whatever the task has
MODELS = {
    model.name: model
    for model in (
        baselines.PERSISTENCE,
        baselines.RIDGE,
        baselines.QUADRATIC,
        gaussian_process.ISOTROPIC,
        gaussian_process.ARD,
        experts_model.EXPERTS,
    )
}
TABLE3 = {  # random, repeat, expert, p-expert, mixture
    "GridWorld": (0.468, 0.413, np.nan, 0.218, 0.203),
    "CartPole-v0": (0.0048, 0.0054, 0.0138, 0.00079, 0.00186),
    "MountainCar-v0": (0.00065, 0.00025, 5e-05, 1.19e-05, 8.5e-06),
    "SimpleEnv": (0.38, 0.701, 9.614, 0.103, 0.139),
    "Pendulum-v1": (0.025, 0.03173, 0.0779, 0.0578, 0.018),
    "Reacher-v5": (0.312, 0.552, 1.456, 0.347, 0.322),  # in the paper Reacher-v4
}
Strategy = Literal["random", "repeat", "held", "expert", "p-expert", "mixture"]
Task = Literal["GridWorld", "CartPole-v0", "MountainCar-v0", "SimpleEnv", "Pendulum-v1", "Reacher-v5"]
Model = Literal["persistence", "ridge", "quadratic", "gp-isotropic", "gp-ard", "experts"]


@dataclass(frozen=True)
class Config:
    """Show models 1,000 transitions of a task and ask them about others, of random to expert behaviour.

    ``python -m experiments.one_shot_world_model.proxy_loss --preset cpu --out runs/proxy_loss``

    Calling it again with the same flags goes on where it was stopped; contexts and test sets are kept in OUT/contexts.
    Cost: 5 CPU-minutes for one random context of every task, nearly all of it the Gaussian processes' (4 to 30
    CPU-seconds a context) and the experts' (11 to 25); cpu has six such sets, paper 48, neither measured as a whole.
    Numbers to expect: the paper's model has between 8.5e-6 (MountainCar) and 0.3 (Reacher) with its best contexts.

    Attributes:
        preset: Named configuration that the other flags override.
        out: Directory of proxy_loss.csv, proxy_loss.json and proxy_loss.png.
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

    preset: Literal["cpu", "paper", "smoke"] = "cpu"
    out: Path = Path("runs/proxy_loss")
    tasks: tuple[Task, ...] = proxy_tasks.TASKS
    strategies: tuple[Strategy, ...] = ("random", "held")
    models: tuple[Model, ...] = (
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


PRESETS = {
    "cpu": Config(),
    "paper": Config(
        preset="paper",
        strategies=("random", "repeat", "expert", "p-expert", "mixture", "held"),
        num_contexts=8,
    ),
    "smoke": Config(
        preset="smoke",
        tasks=("SimpleEnv", "MountainCar-v0"),
        strategies=("random", "mixture"),
        models=("persistence", "ridge"),
        num_contexts=2,
        num_context_rows=60,
        num_test_rows=80,
        num_drawn=40,
        expert_steps=1024,
    ),
}


class Errors(NamedTuple):
    """Of one model given one context.

    Attributes:
        raw: as in table 3, by test set. [3]
        by_column: over the variance of change and reward in the test sets, NaN where there is none. [d + 1]
    """

    raw: np.ndarray
    by_column: np.ndarray


def drawn_tests(config: Config, task: str) -> list[Transition]:
    """Transitions [num_drawn] of each test set, drawn with replacement from those collected."""
    sets = []
    for index, strategy in enumerate(TEST_SETS.values()):
        steps = _context(config, task, strategy, config.num_test_rows, config.seed).transitions
        rows = np.random.default_rng((config.seed, index)).integers(0, config.num_test_rows, config.num_drawn)
        columns: dict[str, Any] = {name: value[rows] for name, value in steps._asdict().items()}
        sets.append(Transition(**columns))
    return sets


def _context(config: Config, task: str, strategy: str, num_rows: int, seed: int) -> Any:
    act = partial(proxy_tasks.expert, task, config.seed, config.expert_steps)
    collection = Collection(strategy, num_steps=num_rows)
    return proxy_tasks.context(config.out / "contexts", task, collection, seed, act)


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


def run(config: Config) -> None:
    """Write ``proxy_loss.csv``, a line per task, strategy, model and context, as they come, and the summary of all."""
    config.out.mkdir(parents=True, exist_ok=True)
    file = config.out / "proxy_loss.csv"
    lines: list[dict[str, Any]] = list(read_csv(file)) if file.exists() else []
    done = {(line["task"], line["strategy"], line["model"], int(line["context"])) for line in lines}
    for task in config.tasks:
        for key in _keys(config, task):
            if key not in done:
                lines.append(measure(config, *key))
                write_csv(file, lines)
                print("{task}  {strategy}  {model}  {raw}  {relative}".format(**lines[-1]), flush=True)
        text = to_json({"results": summarise(lines)}, indent=1)
        write_atomic(config.out / "proxy_loss.json", f"{text}\n".encode())


def _keys(config: Config, task: str) -> Iterator[tuple[str, str, str, int]]:
    for strategy in config.strategies:
        for model in config.models:
            for context in range(config.num_contexts):
                yield task, strategy, model, context


def measure(config: Config, task: str, strategy: str, name: str, context: int) -> dict[str, Any]:
    """One line of ``proxy_loss.csv``; ``relative`` is the mean over the columns where there is something to predict."""
    seed = config.seed + 1 + context
    collected = _context(config, task, strategy, config.num_context_rows, seed)
    tests = drawn_tests(config, task)
    model, began = MODELS[name], time.process_time()
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
    """Means and 95 % bootstrap intervals over contexts, by task, strategy and model, and the paper's own numbers."""
    results: dict[str, Any] = {}
    paper = ("random", "repeat", "expert", "p-expert", "mixture")
    for line in lines:
        of_task = results.setdefault(line["task"], {}).setdefault(line["strategy"], {})
        of_task.setdefault(line["model"], []).append(line)
    for task, strategies in results.items():
        for strategy, models in strategies.items():
            strategies[strategy] = {name: _summary(own) for name, own in models.items()}
            if strategy in paper:
                strategies[strategy]["paper"] = {"raw": TABLE3[task][paper.index(strategy)]}
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


def plot(config: Config) -> None:
    """Draw ``proxy_loss.png`` from the summary."""
    from experiments.one_shot_world_model.proxy_plot import draw

    results = json.loads((config.out / "proxy_loss.json").read_text())["results"]
    draw(results, config.out / "proxy_loss.png")
    print(f"wrote {config.out / 'proxy_loss.png'}")


if __name__ == "__main__":
    raise SystemExit(execute(parse(PRESETS), run, plot))
