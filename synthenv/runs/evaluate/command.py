"""What ``synthenv train`` and ``synthenv evaluate`` show on the terminal."""

from typing import Any

import numpy as np

from synthenv.core.errors import UserError
from synthenv.runs.display.terminal import bars, busy, counted, curve_table, return_table, say
from synthenv.runs.evaluate import learning_curves, learning_curves_plot, records
from synthenv.runs.evaluate.arguments import Evaluate, Train
from synthenv.runs.training import evaluation


def train(command: Train) -> dict[str, Any]:
    """Train agents anywhere, test them on the real task, and keep what they learnt."""
    env, num_agents, out = command.env, command.num_agents, command.out
    assert out is not None
    records.check_free(out)
    learnt = []
    with busy(f"training {counted(num_agents, 'agent')} in {env}"):
        summary, rows = evaluation.evaluate(
            env,
            num_agents,
            command.common.seed,
            command.vary_hyperparams,
            agent=command.agent,
            max_steps=command.max_steps,
            keep=None if command.vary_hyperparams else lambda *pair: learnt.append(pair),
        )
    row = "proxy" if "proxies" in summary else "real"
    records.write(command, summary, {row: rows["proxy"].returns}, *learnt)
    returns = rows["proxy"].returns.mean(axis=1)
    say(f"real returns, agent by agent: {' '.join(f'{x:.0f}' for x in returns)}")
    if not np.isfinite(returns).all():
        say("not all of these are numbers: see what the task observes and pays for NaN", style="yellow")
    if early := int(np.sum(rows["proxy"].num_steps < summary["max_steps"])):
        rule = "" if summary["stop"] == "none" else f", or by their stop rule ({summary['stop']})"
        budget = f"{summary['max_steps']:,} steps"
        say(f"{early} of {num_agents} ended before their {budget}: by their number of episodes{rule}")
    show(command, summary)
    say(f"agents: {out}")
    return summary


def evaluate(command: Evaluate) -> dict[str, Any]:
    """Carry out figure 3's protocol on one or many proxies, or draw learning curves."""
    if command.curves:
        return evaluate_curves(command)
    assert command.out is not None
    records.check_free(command.out)
    if command.agent is not None and len(command.agent) != 1:
        raise UserError("one agent at a time: pass one --agent, or add --curves")
    num_agents = _num_agents(command, 400)
    with busy(f"training {counted(num_agents, 'agent')} for each row"):
        summary, rows = evaluation.evaluate(
            command.proxy,
            num_agents,
            command.common.seed,
            command.vary_hyperparams,
            command.baselines,
            command.agent and command.agent[0],
            test_task=command.test_task,
            max_steps=command.max_steps,
        )
    records.write(command, summary, {row: scores.returns for row, scores in rows.items()})
    show(command, summary)
    say(f"returns: {command.out / records.RETURNS}")
    return summary


def show(command: Train | Evaluate, summary: dict[str, Any]) -> None:
    """Print the table of the results."""
    if isinstance(command, Evaluate) and command.curves:
        curve_table(summary)
    elif isinstance(command, Evaluate):
        rows = {", ".join(command.proxy): summary}
        rows |= {f"baseline: {row}": numbers for row, numbers in summary.get("baselines", {}).items()}
        return_table(f"{summary['agent']}, tested on {summary['tested_on']}", rows)
    else:
        agents = counted(summary["num_agents"], f"{summary['agent']} agent")
        title = f"{agents} trained in {command.env}, tested on the real task"
        return_table(title, {command.env: summary})


def evaluate_curves(command: Evaluate) -> dict[str, Any]:
    """Figure 5's protocol on several proxies, agents and baselines, with a picture."""
    out = command.out
    assert out is not None
    records.check_free(out, is_curves=True)
    if command.test_task is not None:
        raise UserError("--curves tests on the proxy's own task: drop --test-task")
    summary, learned = _learn_curves(command, _num_agents(command, 40))
    learning_curves_plot.write(summary, learned, out)
    records.write(command, summary, {})
    show(command, summary)
    say(f"curves: {out / 'curves.png'}   numbers: {out / 'curves.csv'}")
    return summary


def _num_agents(command: Evaluate, default: int) -> int:
    """Agents for each row; who has not said how many is told, before any of them trains."""
    if command.num_agents is not None:
        return command.num_agents
    say(f"{default} agents for each row, to train in {', '.join(command.proxy)}: --num-agents asks for fewer")
    return default


def _learn_curves(
    command: Evaluate, num_agents: int
) -> tuple[dict[str, Any], dict[str, learning_curves.Learned]]:
    """Return the summary of all rows and their curves; show a bar, and keep finished rows on disk."""
    with bars() as make_bar:
        bar = make_bar("row", None)

        def show(row: str, done: int, total: int) -> None:
            bar.show(row, f"{done + 1}/{total}  {row}", completed=done, total=total)

        return learning_curves.evaluate_curves(
            command.proxy,
            command.agent,
            num_agents,
            command.common.seed,
            command.vary_hyperparams,
            command.baselines,
            command.max_steps,
            show,
            command.out and command.out / "rows",
        )
