"""What ``synthenv train`` and ``synthenv evaluate`` show on the terminal."""

from pathlib import Path
from typing import Any

import numpy as np
from rich.progress import Progress

from synthenv.core.errors import UserError
from synthenv.runs.display.terminal import COLUMNS, busy, console, curve_table, return_table, say
from synthenv.runs.evaluate import learning_curves, learning_curves_plot
from synthenv.runs.evaluate.arguments import Evaluate, Train
from synthenv.runs.storage import locked_directory
from synthenv.runs.training import evaluation


def train(command: Train) -> dict[str, Any]:
    """Train agents anywhere, test them on the real task."""
    env, num_agents = command.env, command.num_agents
    with busy(f"training {num_agents} agents in {env}"):
        summary, rows = evaluation.evaluate(
            env,
            num_agents,
            command.common.seed,
            command.vary_hyperparams,
            agent=command.agent,
            max_steps=command.max_steps,
        )
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
    """Figure 3's protocol on one or many proxies, or learning curves."""
    if command.curves:
        return evaluate_curves(command)
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
