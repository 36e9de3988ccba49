"""Figures 4 and 7: the reward that a world model dreams beside the real one, in GridWorld, CartPole and Pendulum.

References:
    One-Shot World Models Using a Transformer Trained on a Synthetic Prior, section 4.4 and appendix E.
"""

import functools
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import jax
import numpy as np

from experiments.command_line import execute, parse
from experiments.one_shot_world_model.reward_questions import QUESTIONS, Questions, is_standing
from synthenv.core.files import to_json, write_atomic
from synthenv.runs.oswm.benchmark import error_contexts
from synthenv.runs.oswm.run import real_tasks
from synthenv.runs.oswm.run.presets import preset
from synthenv.runs.statistics.intervals import bootstrap_interval
from synthenv.runs.storage import locked_directory
from synthenv.runs.storage.csv_tables import read_csv, write_csv
from synthenv.worldmodel.context.action_strategies import Collection

NUM_BINS = {"GridWorld": 0, "CartPole-v0": 20, "Pendulum-v1": 100}  # cells are their own bins
_AT_ONCE = 256  # questions that are answered side by side
Line = dict[str, str]


@dataclass(frozen=True)
class Config:
    """Show a world model random transitions of a task and ask it what single steps pay.

    ``python -m experiments.one_shot_world_model.figure4 --preset cpu --out runs/figure4``

    Calling it again with the same flags goes on where it was stopped; contexts are kept in OUT/contexts. Numbers to
    expect: the paper shows colours and curves only, of a smoother reward than the real one.

    Attributes:
        preset: Named configuration that the other flags override.
        out: Directory of figure4.csv, figure4.json and figure4_7.png.
        tasks: Where.
        models: Who dreams.
        strategy: How contexts are collected.
        num_contexts: Contexts of each task.
        num_context_rows: Transitions in each.
        num_questions: Steps that are asked about; in GridWorld it is every action in every cell.
        seed: Of the questions; contexts have those after it.
    """

    preset: Literal["cpu", "paper", "smoke"] = "cpu"
    out: Path = Path("runs/figure4")
    tasks: tuple[Literal["GridWorld", "CartPole-v0", "Pendulum-v1"], ...] = (
        "GridWorld",
        "CartPole-v0",
        "Pendulum-v1",
    )
    models: tuple[str, ...] = ("experts",)
    strategy: Literal["random", "held", "repeat"] = "random"
    num_contexts: int = 5
    num_context_rows: int = 1000
    num_questions: int = 10_000
    seed: int = 0


PRESETS = {
    "cpu": Config(),
    "paper": Config(preset="paper", num_questions=1000),
    "smoke": Config(preset="smoke", num_contexts=2, num_context_rows=60, num_questions=200),
}


def run(config: Config) -> None:
    """Write ``figure4.csv``, a line per task, model, context and bin, as they come, and the summary of all.

    Raises:
        UserError: OUT holds lines of other flags, or a model is not there.
    """
    asked = {
        name: getattr(config, name) for name in ("strategy", "num_context_rows", "num_questions", "seed")
    }
    with locked_directory.held(config.out, asked | {"contents": real_tasks.contents_of(*config.models)}):
        file = config.out / "figure4.csv"
        lines: list[dict[str, Any]] = list(read_csv(file)) if file.exists() else []
        done = {(line["task"], line["model"], int(line["context"])) for line in lines}
        for task, model, context in _keys(config):
            if (task, model, context) not in done:
                lines += measure(config, task, model, context)
                write_csv(file, lines)
                print(f"{task}  {model}  context {context}", flush=True)
        text = to_json({"results": summarise(read_csv(file))}, indent=1)
        write_atomic(config.out / "figure4.json", f"{text}\n".encode())


def _keys(config: Config) -> Iterator[tuple[str, str, int]]:
    for task in config.tasks:
        for model in config.models:
            for context in range(config.num_contexts):
                yield task, model, context


def measure(config: Config, task: str, name: str, context: int) -> list[dict[str, Any]]:
    """The lines of one context: means over the questions of each bin that has any."""
    rows = Collection(
        config.strategy, config.num_context_rows, post_failure_steps=preset(task).post_failure_steps
    )
    seed = config.seed + 1 + context
    shown = error_contexts.context(config.out / "contexts", task, rows, seed, _nobody)
    model = real_tasks.world_model(name)
    cache = model.encode(model.params, shown.transitions, shown.num_actions)
    questions = QUESTIONS[task](jax.random.key(config.seed), config.num_questions, NUM_BINS[task])
    dreamt = np.asarray(_rewards(cache, questions.obs, questions.action, model.predict), np.float64)
    head = {"task": task, "model": name, "context": context}
    return [head | line for line in in_bins(questions, dreamt)]


def _nobody() -> Any:
    raise AssertionError("strategies without an expert need none")


@functools.partial(jax.jit, static_argnames="predict")
def _rewards(cache: Any, obs: jax.Array, action: jax.Array, predict: Any) -> jax.Array:
    """What the model says that single steps pay. [N]"""
    return jax.lax.map(lambda pair: predict(cache, *pair).reward, (obs, action), batch_size=_AT_ONCE)


def in_bins(questions: Questions, dreamt: np.ndarray) -> Iterator[dict[str, Any]]:
    """Bin by bin: mean rewards, the variance of the real one and the mean squared error of the dreamt one."""
    real = np.asarray(questions.reward, np.float64)
    for index, place in enumerate(questions.places):
        own = questions.index == index
        if own.any():
            numbers = {
                "real": real[own].mean(),
                "dreamt": dreamt[own].mean(),
                "real_variance": real[own].var(),
                "squared_error": np.square(dreamt[own] - real[own]).mean(),
            }
            shown = {key: f"{value:.6g}" for key, value in numbers.items()}
            yield {"place": " ".join(f"{x:.6g}" for x in place), "num": int(own.sum())} | shown


def summarise(lines: list[Line]) -> dict[str, Any]:
    """By task and model, means over contexts with 95 % bootstrap intervals.

    ``relative_error`` is the mean squared error of single steps over the variance of what they pay, ``correlation``
    that of the bins' means: the former counts every miss, the latter only whether the picture looks alike. In GridWorld
    both are over the cells in which a step can begin.
    """
    found: dict[str, Any] = {}
    for line in lines:
        of_model = found.setdefault(line["task"], {}).setdefault(line["model"], {})
        of_model.setdefault(line["context"], []).append(line)
    for task, models in found.items():
        for model, contexts in models.items():
            models[model] = _summary([agreement(own, task) for own in contexts.values()])
    return found


def _summary(rows: list[dict[str, float]]) -> dict[str, Any]:
    summary: dict[str, Any] = {"num_contexts": len(rows)}
    for name in rows[0]:
        values = np.array([row[name] for row in rows])
        summary |= {name: float(values.mean()), f"ci95_{name}": bootstrap_interval(values)}
    return summary


def agreement(lines: list[Line], task: str) -> dict[str, float]:
    """How far one context's dream and the real task agree; see ``summarise``."""
    if task == "GridWorld":
        standing = is_standing(np.array([place_of(line) for line in lines]))
        lines = [line for line, stands in zip(lines, standing, strict=True) if stands]
    num, real, dreamt, variance, error = (
        np.array([float(line[name]) for line in lines])
        for name in ("num", "real", "dreamt", "real_variance", "squared_error")
    )
    share = num / num.sum()
    mean = share @ real
    total = share @ (variance + np.square(real - mean))
    with np.errstate(invalid="ignore"):  # a constant has no correlation: NaN
        correlation = float(np.corrcoef(real, dreamt)[0, 1])
    return {"relative_error": float(share @ error / total), "correlation": correlation}


def place_of(line: Line) -> list[float]:
    """Where a bin is."""
    return [float(word) for word in line["place"].split()]


def plot(config: Config) -> None:
    """Draw ``figure4_7.png``."""
    from experiments.one_shot_world_model.figure4_plot import draw

    results = json.loads((config.out / "figure4.json").read_text())["results"]
    draw(read_csv(config.out / "figure4.csv"), results, config.out / "figure4_7.png")
    print(f"wrote {config.out / 'figure4_7.png'}")


if __name__ == "__main__":
    raise SystemExit(execute(parse(PRESETS), run, plot))
