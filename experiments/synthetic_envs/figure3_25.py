"""Figure 3 (CartPole) and figures 25-27: what agents learn in evolved proxies, and what it costs them.

References:
    Ferreira et al. (2022), section 4, table 2 and appendix F.1.1.
"""

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from matplotlib.axes import Axes

from experiments.command_line import execute, parse
from synthenv.core.errors import UserError
from synthenv.core.files import to_json
from synthenv.runs.display.figures import INK, ORANGE, RED, dress, new_figure, save
from synthenv.runs.evaluate.proxy_contents_plot import ROWS, draw_densities
from synthenv.runs.storage.csv_tables import read_csv, write_csv


@dataclass(frozen=True)
class Config:
    """Train agents with hyperparameters drawn from table 2 in proxies and on the real task, and compare.

    ``python -m experiments.synthetic_envs.figure3_25 --preset cpu --proxy synthetic/CartPole-v0 --out runs/figure3_25``

    Cost: cpu 16 minutes on 2 shared cores, paper not measured yet; smoke takes seconds once compiled.
    Numbers to expect: the paper's agents use 6,818.6 (std 2,339.5) steps in synthetic environments found with
    varied hyperparameters and 16,887.7
    (std 24,925) steps on the real task. Steps compare a plateau rule (synthetic) with a solve rule (real) there.

    Attributes:
        preset: Named configuration that the other flags override.
        out: Directory of figure3_25.csv, .json and .png.
        proxy: Shipped proxies (synthetic/CartPole-v0: all of the task, :i one of them) and run directories.
        agent: Who trains: DDQN, or an agent that no search has met.
        num_agents: Agents in all proxies together, spread evenly.
        num_baseline_agents: Agents trained on the real task, and as many untrained ones. 0: those of the tables that
            are in ``out`` already, which other proxies do not change, are kept.
        max_steps: Overrides the training steps of every agent.
        max_baseline_steps: Bounds the agents on the real task; max_steps if not given.
        num_chosen: Also report so many proxies on their own, chosen by the returns of other agents; 0: none.
        num_selection_agents: Agents that choose, in all proxies together; their seed is seed + 1.
        seed: The only source of randomness; choose none that a search had.
    """

    preset: Literal["cpu", "paper", "smoke"] = "cpu"
    out: Path = Path("runs/figure3_25")
    proxy: tuple[str, ...] = ("synthetic/CartPole-v0",)
    agent: Literal["ddqn", "dueling_ddqn", "td3_discrete"] = "ddqn"
    num_agents: int = 400
    num_baseline_agents: int = 40
    max_steps: int | None = None
    max_baseline_steps: int | None = None
    num_chosen: int = 0
    num_selection_agents: int = 100
    seed: int = 1000


PRESETS = {
    "cpu": Config(),
    "paper": Config(preset="paper", num_baseline_agents=400),
    "smoke": Config(preset="smoke", num_agents=2, num_baseline_agents=1, max_steps=60),
}


def run(config: Config) -> None:
    """Train and test all agents; write ``figure3_25.csv`` (a line per agent) and ``figure3_25.json`` (summaries)."""
    from synthenv.runs.training.evaluation import evaluate

    kept = read_kept(config.out) if not config.num_baseline_agents else None
    summary, scores = evaluate(
        config.proxy,
        config.num_agents,
        config.seed,
        vary=True,
        baselines=config.num_baseline_agents > 0,
        agent=config.agent,
        max_steps=config.max_steps,
        num_baseline_agents=config.num_baseline_agents,
        max_baseline_steps=config.max_baseline_steps or config.max_steps,
    )
    if config.num_chosen:
        summary["chosen"], scores["chosen"] = choose(config)
    asked = {name: value for name, value in asdict(config).items() if name != "out"}  # where, says nothing
    rows = as_rows(scores)
    if kept is not None:
        summary["baselines"], asked["num_baseline_agents"], lines = kept
        rows += lines
    config.out.mkdir(parents=True, exist_ok=True)
    write_csv(config.out / "figure3_25.csv", rows)
    results = {"config": asked, "results": summary}
    (config.out / "figure3_25.json").write_text(to_json(results, indent=2) + "\n")


def read_kept(out: Path) -> tuple[dict[str, Any], int, list[dict[str, Any]]]:
    """Summaries, number and lines of the agents that are no proxy's, from the tables that are there already."""
    table, summaries = out / "figure3_25.csv", out / "figure3_25.json"
    if not (table.exists() and summaries.exists()):
        raise UserError(
            f"{out} holds no figure3_25.csv and .json whose agents on the real task could be kept: pass"
            " --num-baseline-agents, or --out where they are"
        )
    stored = json.loads(summaries.read_text())
    baselines = stored["results"]["baselines"]
    lines = [line for line in read_csv(table) if line["row"] in baselines]
    return baselines, stored["config"]["num_baseline_agents"], lines


def choose(config: Config) -> tuple[dict[str, Any], Any]:
    """What fresh agents reach in the proxies in which other agents reach most."""
    from synthenv.runs.training.evaluation import evaluate

    how = {"vary": True, "agent": config.agent, "max_steps": config.max_steps}
    asked, _ = evaluate(config.proxy, config.num_selection_agents, config.seed + 1, **how)
    best = sorted(asked["proxies"], key=lambda row: -row["mean_return"])[: config.num_chosen]
    names = sorted(row["proxy"] for row in best)
    print(f"chosen: {', '.join(names)}", flush=True)
    summary, scores = evaluate(names, config.num_agents, config.seed + 2, **how)
    return summary | {"chosen_by": asked["proxies"]}, scores["proxy"]


def as_rows(scores: dict[str, Any]) -> list[dict[str, Any]]:
    """One line per agent; ``proxy`` counts the environments of its row from 0 (there is one real task)."""
    return [
        {
            "row": row,
            "proxy": which,
            "mean_return": returns.mean(),
            **{f"return_{i}": value for i, value in enumerate(returns)},
            "train_steps": steps,
            "train_episodes": episodes,
        }
        for row, agents in scores.items()
        for returns, steps, episodes, which in zip(
            agents.returns, agents.num_steps, agents.num_episodes, agents.which, strict=True
        )
    ]


def read_returns(file: Path) -> dict[str, dict[int, np.ndarray]]:
    """Single-episode returns by row and environment, each [A, E]."""
    lines = read_csv(file)
    found: dict[str, dict[int, list[list[float]]]] = {}
    for line in lines:
        returns = [float(value) for name, value in line.items() if name.startswith("return_")]
        found.setdefault(line["row"], {}).setdefault(int(line["proxy"]), []).append(returns)
    return {row: {i: np.array(r) for i, r in sorted(places.items())} for row, places in found.items()}


def plot(config: Config) -> None:
    """Draw ``figure3_25.png`` from the table and the summaries."""
    from synthenv.envs import registry

    returns = read_returns(config.out / "figure3_25.csv")
    summary = json.loads((config.out / "figure3_25.json").read_text())["results"]
    rows = {"proxy": summary, "chosen": summary.get("chosen"), **summary["baselines"]}
    spec = registry.make(summary["tested_on"])
    figure = new_figure(
        15, 4.6, f"Figures 3 and 25-27: {config.agent}, varied as in table 2, tested on {spec.name}"
    )
    densities, steps, episodes, each = figure.subplots(1, 4, width_ratios=(1.5, 0.6, 0.6, 1.8))
    everything = {
        row: np.concatenate([r.ravel() for r in places.values()]) for row, places in returns.items()
    }
    draw_densities(densities, "Figure 3: single test episodes", everything, rows, spec.solved_return)
    draw_bars(steps, rows, "train_steps", "Training steps")
    draw_bars(episodes, rows, "train_episodes", "Training episodes")
    draw_proxies(each, returns["proxy"], spec.solved_return)
    figure.legend(loc="outside lower left", ncols=5, frameon=False, fontsize=9)
    save(figure, config.out / "figure3_25.png")
    print(f"wrote {config.out / 'figure3_25.png'}")


def draw_bars(axes: Axes, rows: dict[str, Any], name: str, title: str) -> None:
    """Figure 3, bottom: means with intervals, of the rows that train."""
    dress(axes, title, "mean and 95 % interval", "")
    for position, row in enumerate(("proxy", "real")):
        mean, (low, high) = rows[row][f"mean_{name}"], rows[row][f"ci95_{name}"]
        axes.bar(position, mean, width=0.6, color=ROWS[row], alpha=0.85)
        axes.errorbar(position, mean, [[mean - low], [high - mean]], color=INK, capsize=4, linewidth=1.3)
        axes.annotate(
            f"{mean:,.0f}" if mean >= 10 else f"{mean:.1f}",
            (position, high),
            (0, 4),
            textcoords="offset points",
            ha="center",
            color=INK,
        )
    axes.set_xticks((0, 1), ("proxies", "real"))
    axes.set_xlim(-0.6, 1.6)
    axes.margins(y=0.12)


def draw_proxies(axes: Axes, returns: dict[int, np.ndarray], solved: float) -> None:
    """Figure 25: the returns of each proxy's agents, as violins with every episode as a dot."""
    dress(axes, "Figures 25-27: proxy by proxy", "proxy", "return of a test episode")
    indices = list(returns)
    values = [returns[i].ravel() for i in indices]
    violins = axes.violinplot(values, indices, widths=0.85, showextrema=False)
    for body in violins["bodies"]:
        body.set(facecolor=ORANGE, alpha=0.3)
    generator = np.random.default_rng(0)
    for index, dots in zip(indices, values, strict=True):
        x = index + generator.uniform(-0.14, 0.14, len(dots))
        axes.scatter(x, dots, s=5, color=ORANGE, alpha=0.45, linewidths=0)
    axes.scatter(
        indices, [v.mean() for v in values], s=26, marker="D", color=INK, zorder=3, label="mean of a proxy"
    )
    axes.axhline(solved, color=RED, linestyle="--", linewidth=1.2)
    axes.set_xticks(indices if len(indices) <= 20 else indices[::5])
    axes.set_xlim(min(indices) - 0.7, max(indices) + 0.7)


if __name__ == "__main__":
    raise SystemExit(execute(parse(PRESETS), run, plot))
