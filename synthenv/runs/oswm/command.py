"""What the subcommands of ``synthenv oswm`` do, with progress bars and tables on the terminal."""

import shlex
from pathlib import Path
from typing import Any

from rich.progress import Progress

from synthenv.core.errors import UserError
from synthenv.runs.display.terminal import COLUMNS, bracketed, console, listing, say
from synthenv.runs.oswm.arguments import OswmCommand, OswmPlot, OswmPretrain, OswmRun
from synthenv.runs.oswm.benchmark import command as benchmark_command
from synthenv.runs.oswm.benchmark.arguments import OswmBenchmark
from synthenv.runs.oswm.benchmark.command import START
from synthenv.runs.oswm.pretrain import command as pretrain_command
from synthenv.runs.oswm.pretrain import plot as pretrain_plot
from synthenv.runs.oswm.run import plot as oswm_plot
from synthenv.runs.oswm.run import run as oswm_run
from synthenv.runs.oswm.run.real_tasks import real_task
from synthenv.runs.oswm.run.setup import termination_of
from synthenv.runs.storage import metrics
from synthenv.runs.storage.run_directory import stored_config

_ABOUT = {
    "final_return": "at the end of training",
    "last_evaluations_return": "last {last} tests during training",
    "best_return": "best of {tests} checkpoints by {real} tests, played again",
    "untrained_control": "best of {tests} untrained policies, likewise",
    "random_return": "uniform actions",
    "dream_return": "at the end of training, in the dream",
}


def carry_out(command: OswmCommand) -> dict[str, Any]:
    """Do what a subcommand says; all but ``plot`` have an ``out`` to write to by now."""
    if isinstance(command, OswmPretrain):
        return pretrain_command.pretrain(command)
    if isinstance(command, OswmBenchmark):
        return benchmark_command.benchmark_with_bars(command)
    return run(command) if isinstance(command, OswmRun) else plot(command)


def run(command: OswmRun) -> dict[str, Any]:
    """Train in dreams, test on the real task."""
    out = command.out
    assert out is not None
    with Progress(*COLUMNS, console=console, disable=not console.is_terminal) as progress:
        bar = progress.add_task("seed", total=command.seeds, numbers=START)

        def begin() -> None:
            if not console.is_terminal:
                say(f"{START}: it may take minutes until the first seed is done")

        def show(seed: int, steps: int, mean: float) -> None:
            progress.update(bar, completed=seed, numbers=f"{steps:,} dreamt steps  return {mean:.4g}")

        def tell(line: dict[str, Any]) -> None:
            done = line["generation"] + 1
            told = f"return {line['final_return']:.4g}  {line['train_seconds']:.1f} s of training"
            progress.update(bar, completed=done, numbers=told)
            if not console.is_terminal:
                say(f"{done}/{command.seeds} seeds  {told}")
            if termination_of(command) is None and not line["context_ends"]:
                say(f"seed {line['generation']}: no episode of its context ended, so none of its dream did")

        result = oswm_run.run(command, out, show, tell, say, begin)
    table(result, command)
    say(f"run: {out}   curves: {out / 'plots' / oswm_plot.FILE}")
    return result


def table(result: dict[str, Any], command: OswmRun) -> None:
    """Returns and what they took."""
    steps = result["real_steps"]
    num_seeds = result["num_seeds"]
    measure = "return of one seed" if num_seeds == 1 else f"mean return over {num_seeds} seeds [95 % CI]"
    title = f"{command.agent} in dreams by {command.model}, tested on {result['tested_on']}: {measure}"
    words = {
        "tests": result["num_tests"],
        "last": min(oswm_run.NUM_LAST, result["num_tests"]),
        "real": "real" if command.task else "dreamt",
    }
    rows = [
        (
            about.format(**words),
            bracketed(result, "return", "final_", ".4g")
            if key == "final_return"
            else bracketed(result, key, "", ".4g"),
        )
        for key, about in _ABOUT.items()
        if command.task or key != "dream_return"  # of a file everything is in the dream
    ]
    listing(title, ("policy", "return"), rows)
    expert = f", {steps['expert']:,.0f} of its expert" if steps["expert"] else ""
    context = (
        "none for the context, which was logged"
        if command.context_file
        else f"{steps['context']:,.0f} of context"
    )
    took = f"{context}{expert}, {steps['evaluation']:,.0f} of tests during training"
    say(
        f"real steps per seed: {took if command.task else 'none'}; seconds per seed:"
        f" {result['encode_seconds']:.1f} to encode the context, {result['train_seconds']:.1f} to train"
    )
    by = (
        "where the world model said so"
        if termination_of(command) is None
        else "by the known rule of the task"
    )
    say(f"dreamt episodes ended {by}, or after {result['dream_steps']:,} steps")


def plot(command: OswmPlot) -> dict[str, Any]:
    """Draw the curves of a run, of either command, again."""
    path: Path = command.run
    config = stored_config(path)
    kind = config.get("command")
    if kind not in ("oswm run", "oswm pretrain"):
        raise UserError(f"{path} holds no oswm run and no oswm pretrain: pass the directory of one")
    lines = metrics.read(path)
    if not lines:
        named = shlex.quote(str(path))
        raise UserError(f"nothing of {path} is done: go on with synthenv {kind} --resume --out {named}")
    if kind == "oswm pretrain":
        file = pretrain_plot.write(lines, path / "plots", config["preset"] or "a world model")
        count = {"num_lines": len(lines)}
    else:
        name = config["task"] or Path(config["context_file"]).name
        solved_return = (
            config["task"] and real_task(config["task"], config.get("episode_steps")).solved_return
        )
        file = oswm_plot.write(lines, path / "plots", name, solved_return)
        count = {"num_seeds": len(lines)}
        say(f"{len(lines)} of {config['seeds']} seeds are done")
    say(f"curves: {file}")
    return {"file": str(file), **count}
