"""Figure 2: returns on the real task of agents that train in a dream of it, against their training steps.

The paper shows GridWorld, CartPole-v0 and SimpleEnv; here are all of its tasks, and what its figure leaves open: what
the best of as many untrained policies and random actions reach.

References:
    One-Shot World Models Using a Transformer Trained on a Synthetic Prior, section 4.1.2.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np

from experiments.command_line import execute, parse
from experiments.one_shot_world_model import dream_runs
from synthenv.core.errors import UserError
from synthenv.core.files import to_json, write_atomic
from synthenv.runs.arguments import Common
from synthenv.runs.oswm.run.arguments import OswmRun, StrategyName
from synthenv.runs.statistics.intervals import bootstrap_interval
from synthenv.runs.storage.csv_tables import read_csv, write_csv

Task = Literal["GridWorld", "CartPole-v0", "SimpleEnv", "MountainCar-v0", "Pendulum-v1", "Reacher-v5"]
TASKS: tuple[Task, ...] = get_args(Task)
_KEPT = ("final_return", "best_return", "untrained_control", "random_return")


@dataclass(frozen=True)
class Config:
    """Train agents in dreams of each task and test them on the real one as they go.

    ``python -m experiments.one_shot_world_model.figure2 --preset cpu --out runs/figure2``

    Every task is an ``oswm run`` in OUT; calling it again with the same flags goes on where it was stopped. With --runs
    nothing is trained, and what finished or unfinished runs of whatever settings hold is drawn. Numbers to expect: the
    paper's mean curves end near 5 (GridWorld), rise and fall on CartPole and SimpleEnv, and are not given elsewhere.

    Attributes:
        preset: Named configuration that the other flags override.
        out: Directory of the runs, figure2.csv, figure2.json and figure2.png.
        runs: Directories of ``synthenv oswm run`` to draw instead, one a task.
        tasks: Where, unless --runs says it.
        model: The world model.
        strategy: How contexts are collected.
        context: Transitions in each.
        num_seeds: Agents a task, each in a dream of its own.
        max_steps: Training steps; each task's own preset if not given.
        evaluations: Tests during training.
        eval_episodes: Episodes of each.
        test_episodes: Episodes at the end, and of the controls.
        seed: Randomness.
    """

    preset: Literal["cpu", "paper", "smoke"] = "cpu"
    out: Path = Path("runs/figure2")
    runs: tuple[Path, ...] = ()
    tasks: tuple[Task, ...] = TASKS
    model: str = "experts"
    strategy: StrategyName = "held"
    context: int = 1000
    num_seeds: int = 10
    max_steps: int | None = None
    evaluations: int = 50
    eval_episodes: int = 10
    test_episodes: int = 100
    seed: int = 0


PRESETS = {
    "cpu": Config(),
    # Random actions and 50,000 steps, 200,000 on MountainCar alone, which no one number says: its preset here has more.
    "paper": Config(
        preset="paper",
        tasks=("GridWorld", "CartPole-v0", "SimpleEnv"),
        strategy="random",
        num_seeds=3,
        max_steps=50_000,
        evaluations=500,
    ),
    "smoke": Config(
        preset="smoke",
        tasks=("SimpleEnv", "GridWorld"),
        context=40,
        num_seeds=2,
        max_steps=2_048,
        evaluations=2,
        eval_episodes=2,
        test_episodes=2,
    ),
}


def command_of(config: Config, task: str) -> OswmRun:
    """The run of one task."""
    return OswmRun(
        task=task,
        context=config.context,
        strategy=config.strategy,
        model=config.model,
        seeds=config.num_seeds,
        max_steps=config.max_steps,
        evaluations=config.evaluations,
        eval_episodes=config.eval_episodes,
        test_episodes=config.test_episodes,
        common=Common(seed=config.seed),
    )


def run(config: Config) -> None:
    """Finish every run, or read those of ``--runs``; write ``figure2.csv`` and ``figure2.json`` after each of them.

    Raises:
        UserError: as ``dream_runs.finish`` and ``dream_runs.read``, or two of the runs are of one task.
    """
    config.out.mkdir(parents=True, exist_ok=True)
    rows: list[dict[str, Any]] = []
    results: dict[str, Any] = {}
    for path in config.runs or [config.out / task.replace("/", "_") for task in config.tasks]:
        if not config.runs:
            task = config.tasks[len(results)]
            dream_runs.finish(command_of(config, task), path)
        asked, lines = dream_runs.read(path)
        task = asked["task"] or Path(asked["context_file"]).stem
        if task in results:
            raise UserError(f"two runs are of {task}, {path} among them: pass one for each task")
        rows += [row for line in lines for row in rows_of(task, line)]
        results[task] = summarise(asked["model"], lines)
        write_csv(config.out / "figure2.csv", rows)
        text = to_json({"results": results}, indent=1)
        write_atomic(config.out / "figure2.json", f"{text}\n".encode())


def rows_of(task: str, line: dict[str, Any]) -> list[dict[str, Any]]:
    """A seed's tests, one a row of ``figure2.csv``."""
    pairs = zip(line["curve"]["steps"], line["curve"]["returns"], strict=True)
    return [
        {"task": task, "seed": line["generation"], "steps": steps, "mean_return": f"{mean:.6g}"}
        for steps, mean in pairs
    ]


def summarise(model: str, lines: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Means over seeds with 95 % bootstrap intervals.

    ``lost_return`` is how far the last test of a seed lies below its best one: what early stopping by real tests, as in
    the paper's table 1, would have saved, and what the luck of many tests adds to it.
    """
    curves = [np.array(line["curve"]["returns"], float) for line in lines]
    values = {name: np.array([line[name] for line in lines], float) for name in _KEPT}
    values["lost_return"] = np.array([curve.max() - curve[-1] for curve in curves])
    summary: dict[str, Any] = {"model": model, "num_seeds": len(lines)}
    for name, each in values.items():
        summary |= {name: float(each.mean()), f"ci95_{name}": bootstrap_interval(each)}
    return summary


def plot(config: Config) -> None:
    """Draw ``figure2.png``."""
    from experiments.one_shot_world_model.figure2_plot import draw

    results = json.loads((config.out / "figure2.json").read_text())["results"]
    draw(read_csv(config.out / "figure2.csv"), results, config.out / "figure2.png")
    print(f"wrote {config.out / 'figure2.png'}")


if __name__ == "__main__":
    raise SystemExit(execute(parse(PRESETS), run, plot))
