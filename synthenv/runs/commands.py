"""What the subcommands do, with progress bars and tables on the terminal."""

import dataclasses
import shlex
import time
from pathlib import Path
from typing import Any

import jax
import numpy as np
from rich.progress import Progress

from synthenv.core.errors import UserError
from synthenv.core.files import to_json, write_atomic
from synthenv.envs import registry as envs
from synthenv.runs.arguments import Evaluate, Plot, Train
from synthenv.runs.display.terminal import (
    COLUMNS,
    bracketed,
    busy,
    console,
    curve_table,
    listing,
    return_table,
    say,
)
from synthenv.runs.evaluate import learning_curves, learning_curves_plot
from synthenv.runs.meta_train import reward_presets, synthetic_presets
from synthenv.runs.meta_train import run as search_run
from synthenv.runs.meta_train.config import MetaTrainConfig
from synthenv.runs.meta_train.presets import form_of
from synthenv.runs.meta_train.report import write_report
from synthenv.runs.oswm.arguments import OswmRun
from synthenv.runs.oswm.benchmark.arguments import OswmBenchmark
from synthenv.runs.oswm.pretrain import presets as pretrain_presets
from synthenv.runs.oswm.run import presets as dream_presets
from synthenv.runs.oswm.run import real_tasks
from synthenv.runs.storage import locked_directory
from synthenv.runs.training import evaluation, places
from synthenv.zoo import registry as zoo
from synthenv.zoo import world_models

_STYLES = {True: "green", False: "yellow", None: None}  # of the verdict on a search


def speak_once() -> None:
    """Of several processes only the first one writes to the terminal."""
    console.quiet = jax.process_index() > 0


def tell_twins(command: Any) -> None:
    """Say so where a name stands for what is shipped and there is a path of that name, too."""
    match command:
        case Train():
            names, is_shipped = (command.env,), places.is_shipped
        case Evaluate() | Plot():
            names, is_shipped = command.proxy, places.is_shipped
        case OswmRun():
            names, is_shipped = (command.model,), real_tasks.is_shipped
        case OswmBenchmark():
            names, is_shipped = command.models, real_tasks.is_shipped
        case _:
            return
    for name in names:
        if is_shipped(name) and Path(name).exists():
            say(
                f"{name} is what synthenv ships under this name: pass ./{name} for what lies here",
                style="yellow",
            )


def meta_train(config: MetaTrainConfig, seed: int, out: Path, resume: bool) -> dict[str, Any]:
    """Evolve a proxy, show how it goes, and leave a report in the run directory."""
    live = console.is_terminal or console.is_jupyter  # elsewhere a bar would be written once, at the end
    with Progress(*COLUMNS, console=console, disable=not live) as progress:
        bar = progress.add_task("generation", total=config.outer.num_generations, numbers="compiling")

        def show(line: dict[str, Any]) -> None:
            done = line["generation"] + 1
            progress.update(bar, completed=done, numbers=progress_numbers(line))
            if not live:
                say(f"generation {done}/{config.outer.num_generations}  {progress_numbers(line)}")

        result = search_run.meta_train(config, seed, out, resume, show, say)
    if not result:  # the first process has it
        return result
    try:
        write_report(out)
    except UserError as error:  # the run is finished and safe; only its picture is missing
        say(f"no report: {error}", style="yellow")
    say(verdict(result, config.outer.objective), style=_STYLES[result["solved"]])
    curves = " --curves --baselines" if form_of(config.proxy) == "rn" else ""
    named = shlex.quote(str(out))
    say(
        f"report: {out / 'report.html'}\nnext:   synthenv evaluate --proxy {named} --num-agents 40{curves}\n"
        f"        synthenv plot {named}"
    )
    return result


def verdict(result: dict[str, Any], objective: str) -> str:
    """How a finished search went, in a line."""
    word = {True: "solved", False: "not solved", None: "finished"}[result["solved"]]
    best, what = result["best_incumbent"], "return" if objective == "max_reward" else objective
    said = (
        f"best mean {what} of an incumbent's agents {best:.1f}"
        if np.isfinite(best)
        else "no incumbents were tested"
    )
    return f"{word} after {result['generations']} generations, {result['seconds']:.0f} s: {said}"


def progress_numbers(line: dict[str, Any]) -> str:
    """What a person wants to see of a generation while waiting for the next."""
    incumbent, deciding = line["incumbent_mean"], line["deciding_mean"]
    asked = "" if deciding is None else f" (decided at {deciding:.1f})"
    best = ""
    if incumbent is not None:
        score, mean_return = f"{incumbent:.1f}", f"{line['incumbent_return']:.1f}"
        gained = "" if score == mean_return else f" (return {mean_return})"  # the score is not the return
        best = f"incumbent {score}{gained}{asked}  best {line['best_incumbent']:.1f}  "
    return (
        f"{best}members {line['member_mean']:.1f}  steps/agent {line['train_steps_mean']:.0f}"
        f"  {line['seconds']:.1f} s"
    )


def train(
    env: str, agent: str | None, num_agents: int, seed: int, vary: bool, max_steps: int | None = None
) -> dict[str, Any]:
    """Train agents anywhere, test them on the real task."""
    with busy(f"training {num_agents} agents in {env}"):
        summary, rows = evaluation.evaluate(env, num_agents, seed, vary, agent=agent, max_steps=max_steps)
    returns = rows["proxy"].returns.mean(axis=1)
    say(f"real returns, agent by agent: {' '.join(f'{x:.0f}' for x in returns)}")
    if early := int(np.sum(rows["proxy"].num_steps < summary["max_steps"])):
        rule = "" if summary["stop"] == "none" else f", or by their stop rule ({summary['stop']})"
        budget = f"{summary['max_steps']:,} steps"
        say(f"{early} of {num_agents} ended before their {budget}: by their number of episodes{rule}")
    return_table(
        f"{num_agents} {summary['agent']} agents trained in {env}, tested on the real task", {env: summary}
    )
    return summary


def evaluate(command: Evaluate) -> dict[str, Any]:
    """Figure 3's protocol on one or many proxies."""
    num_agents = 400 if command.num_agents is None else command.num_agents
    if command.agent is not None and len(command.agent) != 1:
        raise UserError("one agent at a time: pass one --agent, or add --curves")
    name = ", ".join(command.proxy)
    with busy(f"training {num_agents} agents for each row"):
        summary, _ = evaluation.evaluate(
            command.proxy,
            num_agents,
            command.common.seed,
            command.vary_hyperparams,
            command.baselines,
            command.agent and command.agent[0],
            test_task=command.test_task,
            max_steps=command.max_steps,
        )
    rows = {name: summary}
    rows |= {f"baseline: {row}": numbers for row, numbers in summary.get("baselines", {}).items()}
    return_table(f"{summary['agent']}, tested on {summary['tested_on']}", rows)
    return summary


def evaluate_curves(command: Evaluate) -> dict[str, Any]:
    """Figure 5's protocol on several proxies, agents and baselines, with a picture."""
    num_agents = 40 if command.num_agents is None else command.num_agents
    if command.test_task is not None:
        raise UserError("--curves tests on the proxy's own task: drop --test-task")
    spec, _ = learning_curves.plan(command.proxy, command.agent, command.baselines, command.max_steps)
    with locked_directory.output(command.out, f"curves-{spec.name}") as out:
        summary, learned = _learn_curves(command, num_agents, out)
        learning_curves_plot.write(summary, learned, out)
    curve_table(summary)
    say(f"curves: {out / 'curves.png'}   numbers: {out / 'curves.csv'}")
    return summary


def _learn_curves(
    command: Evaluate, num_agents: int, out: Path
) -> tuple[dict[str, Any], dict[str, learning_curves.Learned]]:
    """The summary of all rows and their curves, with a bar; finished rows are kept if ``--out`` was given."""
    with Progress(*COLUMNS, console=console, disable=not console.is_terminal) as progress:
        bar = progress.add_task("row", total=None, numbers="compiling")

        def show(row: str, done: int, total: int) -> None:
            progress.update(bar, completed=done, total=total, numbers=row)
            if not console.is_terminal:
                say(f"{done + 1}/{total}  {row}")

        return learning_curves.evaluate_curves(
            command.proxy,
            command.agent,
            num_agents,
            command.common.seed,
            command.vary_hyperparams,
            command.baselines,
            command.max_steps,
            show,
            command.out and out / "rows",
        )


def demo(out: Path, seed: int, resume: bool = False, num_agents: int = 10) -> dict[str, Any]:
    """Evolve a synthetic CartPole and train unseen agents in it."""
    say("Evolving a synthetic CartPole", style="bold")
    say(
        "Two small networks play its transitions and rewards. An evolution strategy changes them so that agents\n"
        "trained in them balance the real pole."
    )
    start = time.perf_counter()
    result = search_run.finished_result(synthetic_presets.FAST, seed, out) if resume else None
    if result is None:
        result = meta_train(synthetic_presets.FAST, seed, out, resume)
    else:
        say(f"The search in {out} is done: {verdict(result, synthetic_presets.FAST.outer.objective)}")
    say(
        f"\nNow {num_agents} fresh agents, their hyperparameters drawn at random from the paper's table 2 ..."
    )
    place = places.resolve(str(out))
    agent = dataclasses.replace(place.agent, vary=True)
    trained = evaluation.summarise(evaluation.run_agents(place, agent, num_agents, seed + 1))
    control = evaluation.summarise(evaluation.untrained(place, agent, num_agents, seed + 1))
    rows = {"trained only in the evolved proxy": trained, "untrained control": control}
    return_table("real CartPole-v0 (best possible return: 200)", rows)
    seconds = time.perf_counter() - start
    results = {
        **trained,
        "untrained_control": control,
        "meta_train": result,
        "total_seconds": seconds,
        "out": str(out),
    }
    write_atomic(out / "demo.json", to_json(results, indent=2).encode())
    say(f"{seconds:.0f} s since this command was started. These numbers: {out / 'demo.json'}")
    say(f"How the search went: {out / 'report.html'}")
    return results


def list_names() -> dict[str, Any]:
    """What ``--task``, ``--env``, ``--proxy`` and ``--preset`` may say."""
    tasks = envs.thresholds()
    listing(
        "tasks",
        ("task", "solved at a return of", "time limit"),
        [(name, f"{solved_return:g}", str(max_steps)) for name, (solved_return, max_steps) in tasks.items()],
    )
    listing(
        "tasks of oswm run",
        ("task", "what it is", "dreamt PPO steps"),
        [
            (name, preset.about, f"{preset.ppo.max_steps:,}")
            for name, preset in (*dream_presets.PRESETS.items(), ("...", dream_presets.ANY))
        ],
    )
    scores = {name: entry["scores"] for name, entry in zoo.manifest().items()}
    listing(
        "shipped proxies (without :i all of a task), as measured when they were built",
        ("proxy", "agent", "mean real return [95 % CI]", "steps to solve [95 % CI]", "agents"),
        [
            (
                name,
                str(score.get("agent", "ddqn")),
                bracketed(score, "return", "mean_"),
                bracketed(score, "steps_to_solve", form=",.0f") if score.get("solved_share") else "",
                str(score["num_agents"]),
            )
            for name, score in scores.items()
        ],
    )
    models = {name: entry["scores"] for name, entry in world_models.manifest().items()}
    listing(
        "shipped world models: agents trained in their dreams, at the end of training",
        ("world model", "task", "mean real return [95 % CI]", "seeds"),
        [row for name, score in models.items() for row in _rows_of_model(name, score)],
    )
    presets = {"se and scb": synthetic_presets.ABOUT_PRESETS, "rn": reward_presets.ABOUT_PRESETS}
    rows = [(form, name, about) for form, abouts in presets.items() for name, about in abouts.items()]
    listing("presets of meta-train", ("proxy", "preset", "what it is"), rows)
    pretrainings = {name: preset.about for name, preset in pretrain_presets.PRESETS.items()}
    listing("presets of oswm pretrain", ("preset", "what it is"), list(pretrainings.items()))
    return {
        "tasks": {name: {"solved_return": r, "max_steps": m} for name, (r, m) in tasks.items()},
        "dreams": {name: preset.about for name, preset in dream_presets.PRESETS.items()},
        "proxies": scores,
        "world_models": models,
        "presets": presets,
        "pretrainings": pretrainings,
    }


def _rows_of_model(name: str, scores: dict[str, Any]) -> list[tuple[str, str, str, str]]:
    """A row a task; one that says so if the model was not benchmarked when it was shipped."""
    return [
        (name, task, bracketed(row, "return", "final_", ".4g"), str(row["num_seeds"]))
        for task, row in scores.items()
    ] or [(name, "not benchmarked yet", "", "")]
