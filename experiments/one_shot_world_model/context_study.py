"""How many transitions does a world model need, and how should they be collected? One-step errors and agents' returns.

The paper compares ways of collecting contexts of 1,000 transitions (tables 2 and 3); their number it leaves open.

References:
    One-Shot World Models Using a Transformer Trained on a Synthetic Prior, section 4.3 and appendix B.
"""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

from experiments.command_line import execute, parse
from experiments.one_shot_world_model import dream_runs
from experiments.one_shot_world_model.figure2 import Task
from synthenv.core.files import to_json, write_atomic
from synthenv.runs.arguments import Common
from synthenv.runs.oswm.run.arguments import OswmRun, StrategyName
from synthenv.runs.statistics.intervals import bootstrap_interval
from synthenv.runs.storage.csv_tables import write_csv

MEASURED = (
    "next_obs_error",
    "reward_error",
    "final_return",
    "random_return",
    "encode_seconds",
    "train_seconds",
)


@dataclass(frozen=True)
class Config:
    """Train agents in dreams of contexts of many sizes, collected in several ways.

    ``python -m experiments.one_shot_world_model.context_study --preset cpu --out runs/context_study``

    Every combination is an ``oswm run`` in OUT; calling it again with the same flags goes on where it was stopped.

    Attributes:
        preset: Named configuration that the other flags override.
        out: Directory of the runs, context_study.csv, context_study.json and context_study.png.
        tasks: Where.
        models: Who dreams.
        strategies: How contexts are collected; those with an expert train one for every seed.
        rows: Transitions of a context.
        num_seeds: Contexts of each kind, with an agent each.
        max_steps: Training steps; each task's own preset if not given.
        test_episodes: Real episodes that an agent is judged by at its end.
        seed: Randomness.
    """

    preset: Literal["cpu", "paper", "smoke"] = "cpu"
    out: Path = Path("runs/context_study")
    tasks: tuple[Task, ...] = ("Pendulum-v1", "CartPole-v0")
    models: tuple[str, ...] = ("experts",)
    strategies: tuple[StrategyName, ...] = ("held", "random", "repeat")
    rows: tuple[int, ...] = (50, 100, 200, 500, 1000, 2000)
    num_seeds: int = 5
    max_steps: int | None = None
    test_episodes: int = 100
    seed: int = 0


PRESETS = {
    "cpu": Config(),
    "paper": Config(
        preset="paper",
        tasks=("GridWorld", "CartPole-v0", "MountainCar-v0", "SimpleEnv", "Pendulum-v1"),
        strategies=("held", "random", "repeat", "expert", "p-expert", "mixture"),
    ),
    "smoke": Config(
        preset="smoke",
        tasks=("SimpleEnv",),
        strategies=("held", "random"),
        rows=(20, 40),
        num_seeds=2,
        max_steps=1_024,
        test_episodes=2,
    ),
}


def commands(config: Config) -> Iterator[OswmRun]:
    """All runs, the small contexts first."""
    for task in config.tasks:
        for model in config.models:
            for rows in config.rows:
                for strategy in config.strategies:
                    yield OswmRun(
                        task=task,
                        context=rows,
                        strategy=strategy,
                        model=model,
                        seeds=config.num_seeds,
                        max_steps=config.max_steps,
                        evaluations=1,
                        eval_episodes=1,
                        test_episodes=config.test_episodes,
                        common=Common(seed=config.seed),
                    )


def run(config: Config) -> None:
    """Finish every run, and write ``context_study.csv`` and its summary after each of them.

    Raises:
        UserError: as ``dream_runs.finish``.
    """
    config.out.mkdir(parents=True, exist_ok=True)
    lines: list[dict[str, Any]] = []
    for command in commands(config):
        name = f"{command.task}_{Path(command.model).name}_{command.strategy}_{command.context}"
        done = dream_runs.finish(command, config.out / name.replace("/", "_"))
        lines += [line_of(command, line) for line in done]
        write_csv(config.out / "context_study.csv", lines)
        text = to_json({"results": summarise(lines)}, indent=1)
        write_atomic(config.out / "context_study.json", f"{text}\n".encode())


def line_of(command: OswmRun, line: dict[str, Any]) -> dict[str, Any]:
    """One seed of a run, a line of ``context_study.csv``."""
    errors = {f"{name}_error": value for name, value in line["one_step_error"].items()}
    measured = {name: (errors | line)[name] for name in MEASURED}
    return {
        "task": command.task,
        "model": command.model,
        "strategy": command.strategy,
        "rows": command.context,
        "seed": line["generation"],
        **{name: "nan" if value is None else f"{value:.5g}" for name, value in measured.items()},
    }


def summarise(lines: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Means over seeds with 95 % bootstrap intervals, for every kind of context.

    Errors are those of single steps over the variance of what there is to predict, on 1,000 fresh steps of held
    actions. They span orders of magnitude, so their means are geometric ones. NaN where nothing
    varies.
    """
    found: dict[tuple[str, str, str, int], list[dict[str, Any]]] = {}
    for line in lines:
        key = (line["task"], line["model"], line["strategy"], int(line["rows"]))
        found.setdefault(key, []).append(line)
    results = []
    for key, own in found.items():
        summary: dict[str, Any] = dict(zip(("task", "model", "strategy", "rows"), key, strict=True))
        summary["num_seeds"] = len(own)
        for name in MEASURED:
            values = np.array([line[name] for line in own], float)
            is_error = name.endswith("_error")
            values = np.log(np.maximum(values, 1e-20)) if is_error else values
            mean, ends = values.mean(), np.array(bootstrap_interval(values))
            mean, ends = (np.exp(mean), np.exp(ends)) if is_error else (mean, ends)
            summary |= {name: float(mean), f"ci95_{name}": ends.tolist()}
        results.append(summary)
    return results


def plot(config: Config) -> None:
    """Draw ``context_study.png``."""
    from experiments.one_shot_world_model.context_plot import draw

    results = json.loads((config.out / "context_study.json").read_text())["results"]
    draw(results, config.out / "context_study.png")
    print(f"wrote {config.out / 'context_study.png'}")


if __name__ == "__main__":
    raise SystemExit(execute(parse(PRESETS), run, plot))
