"""Figures 5, 9/10 and 12-21: agents in reward networks against bare and curious ones, known, varied and unseen.

References:
    Ferreira et al. (2022), section 6 and appendices B.1 and B.4; tables 6 to 19.
"""

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Literal

from experiments import searches
from experiments.command_line import execute, parse
from synthenv.core.files import to_json
from synthenv.runs.meta_train.config import MetaTrainConfig
from synthenv.runs.meta_train.presets import preset

VARIANTS = (
    "additive_potential",
    "exclusive_potential",
    "additive_non_potential",
    "exclusive_non_potential",
)
# Who is known to the searches of a task, and who is not. The first names the best variant; if another one is known, it
# trains in that variant and bare only: curiosity is dear in large networks. The paper has one unseen agent per task,
# ppo_monte_carlo being its PPO; ppo is ours, and so is as_evolved: the small TD3 of our searches, which have no time
# for that of table 17.
AGENTS = {
    "CliffWalking": (("q_learning",), ("sarsa",)),
    "CartPole-v0": (("ddqn",), ("dueling_ddqn",)),
    "MountainCarContinuous-v0": (("as_evolved", "td3"), ("ppo_monte_carlo", "ppo")),
    "HalfCheetah": (("as_evolved", "td3"), ("ppo_monte_carlo", "ppo")),
}


@dataclass(frozen=True)
class Config:
    """Evolve reward networks of every variant, name the best variant, and compare all with agents on the real task.

    ``python -m experiments.reward_networks.figure5 --task CliffWalking --out runs/figure5_cliff``

    The best variant is named by a measurement of its own, on other agents than the final one: fewest steps to solve, of
    known agents with their own hyperparameters and with varied ones. The unseen agent has no say.
    Calling it again goes on where it was stopped. Numbers to expect: the paper shows curves only.

    Attributes:
        preset: Named configuration that the other flags override.
        out: Directory of the run directories, ``curves.csv``, ``curves.png`` and ``summary.json``.
        task: CliffWalking, CartPole-v0 (figure 5), MountainCarContinuous-v0 (figure 5), HalfCheetah (figures 9, 10).
        search: Preset of the searches: fast, paper or released.
        objective: What they maximise (figures 12-21).
        variants: The variants to evolve.
        num_searches: Reward networks of each variant.
        first_seed: Seed of the first search of each variant; the others follow.
        num_generations: Overrides the generations of every search.
        num_agents: Agents for each row, spread evenly over its reward networks.
        num_selection_agents: Agents for each row of the measurement that names the best variant, and as many varied.
        max_steps: Overrides the training steps of every agent.
        seed: Of the final agents; those that name the best variant have seed + 1.
    """

    preset: Literal["cpu", "paper", "smoke"] = "cpu"
    out: Path = Path("runs/figure5")
    task: Literal["CliffWalking", "CartPole-v0", "MountainCarContinuous-v0", "HalfCheetah"] = "CliffWalking"
    search: Literal["fast", "paper", "released", "smoke"] = "fast"
    objective: Literal["reward_threshold", "auc", "max_reward"] = "reward_threshold"
    variants: tuple[str, ...] = VARIANTS
    num_searches: int = 3
    first_seed: int = 0
    num_generations: int | None = None
    num_agents: int = 40
    num_selection_agents: int = 12
    max_steps: int | None = None
    seed: int = 1000


PRESETS = {
    "cpu": Config(),
    "paper": Config(
        preset="paper", search="paper", num_searches=10, num_agents=100, num_selection_agents=100
    ),
    "smoke": Config(
        preset="smoke",
        search="smoke",
        variants=("additive_potential", "exclusive_non_potential"),
        num_searches=1,
        num_generations=1,
        num_agents=2,
        num_selection_agents=2,
        max_steps=400,
    ),
}


def search_config(config: Config, variant: str) -> MetaTrainConfig:
    """The search for one variant; with auc no training stops early, as in the released code."""
    search = preset("rn", config.search, config.task)
    outer = search.outer._replace(objective=config.objective)
    if config.num_generations is not None:
        outer = outer._replace(num_generations=config.num_generations)
    agent = replace(search.agent, stop="none") if config.objective == "auc" else search.agent
    return replace(search, proxy=replace(search.proxy, variant=variant), agent=agent, outer=outer)


def run(config: Config) -> None:
    """Evolve, name, compare; write ``summary.json``, and ``curves.csv`` with ``curves.png``."""
    from synthenv.runs.evaluate import learning_curves_plot

    rows = evolve(config)
    (known, *more), unseen = AGENTS[config.task]
    label = f"{known}, varied"
    named, naming = name_variant(config, rows, known, label)
    print(f"best variant: {named}", flush=True)
    summary, curves = compare(config, rows, named, label)
    agents = summary["agents"]
    asked = {name: value for name, value in asdict(config).items() if name != "out"}  # where, says nothing
    results = {
        "config": asked,
        "named": named,
        "naming": naming,
        "solved_return": summary["solved_return"],
        "agents": agents,
        "ratios": ratios(agents, named, ((known, *more), (label,), unseen)),
    }
    (config.out / "summary.json").write_text(to_json(results, indent=2) + "\n")
    title = f"{config.task}: reward networks ({config.search}, {config.objective}), {config.num_searches} searches each"
    learning_curves_plot.write(summary, curves, config.out, title)
    print(f"wrote {config.out / 'curves.png'}")


def evolve(config: Config) -> dict[str, list[str]]:
    """Bring every search to its end; the run directories of each variant."""
    rows: dict[str, list[str]] = {}
    for variant in config.variants:
        search = search_config(config, variant)
        for seed in range(config.first_seed, config.first_seed + config.num_searches):
            path = config.out / f"{variant}-{seed}"
            searches.finish(search, seed, path)
            rows.setdefault(variant, []).append(str(path))
    return rows


def _shared(config: Config) -> dict[str, Any]:
    """What all measurements have in common."""
    return {"max_steps": config.max_steps, "show": _show, "store": config.out / "rows"}


def name_variant(
    config: Config, rows: dict[str, list[str]], known: str, label: str
) -> tuple[str, dict[str, Any]]:
    """The best variant by agents of its own, as they are and varied (``label``), and what these reached."""
    from synthenv.runs.evaluate.learning_curves import evaluate_curves

    num, seed, naming = config.num_selection_agents, config.seed + 1, {}
    for name, vary in ((known, False), (label, True)):
        summary, _ = evaluate_curves(rows, (known,), num, seed, vary, baselines=False, **_shared(config))
        naming[name] = summary["agents"][known]["proxies"]
    return best_variant(*naming.values()), naming


def compare(
    config: Config, rows: dict[str, list[str]], named: str, label: str
) -> tuple[dict[str, Any], dict[str, Any]]:
    """All agents in all variants and on the real task, as ``evaluate_curves`` does it."""
    from synthenv.runs.evaluate.learning_curves import evaluate_curves

    (known, *more), unseen = AGENTS[config.task]
    num, seed, shared = config.num_agents, config.seed, _shared(config)
    summary, curves = evaluate_curves(rows, (known, *unseen), num, seed, **shared)
    varied, of_varied = evaluate_curves(rows, (known,), num, seed, vary=True, **shared)
    agents = {
        known: summary["agents"][known],
        label: varied["agents"][known],
        **{agent: summary["agents"][agent] for agent in unseen},
    }
    curves |= {name.replace(known, label, 1): learned for name, learned in of_varied.items()}
    if more:
        others, of_others = evaluate_curves({named: rows[named]}, more, num, seed, baselines="bare", **shared)
        agents |= others["agents"]
        curves |= of_others
    return summary | {"agents": agents}, curves


def best_variant(*measured: dict[str, dict[str, Any]]) -> str:
    """Fewest steps to solve in sum over measurements; of equals, the better mean return over all of training."""

    def in_sum(row: str) -> tuple[float, float]:
        steps, returns = zip(*(rank(rows[row]) for rows in measured), strict=True)
        return sum(steps), sum(returns)

    return min(measured[0], key=in_sum)


def rank(row: dict[str, Any]) -> tuple[float, float]:
    """Lower is better: steps to solve, and where none solves the task minus the mean return over all of training."""
    return row["steps_to_solve"], -row["mean_return_in_training"]


def ratios(agents: dict[str, Any], named: str, kin: Iterable[tuple[str, ...]]) -> dict[str, dict[str, Any]]:
    """Steps to solve of each agent in the named variant over those of the better baseline.

    ``kin`` are agents of one kind with other hyperparameters or of another make: the best of all their baselines is
    the baseline of each. ``apart`` says whether the intervals are. Mean returns over all of training, ours and theirs,
    stand beside, for tasks that none solves.
    """
    found = {}
    for kind in kin:
        baselines = {
            f"{agent}: {row}": numbers
            for agent in kind
            for row, numbers in agents[agent]["baselines"].items()
        }
        better = min(baselines, key=lambda row: rank(baselines[row]))
        theirs = baselines[better]
        for agent in kind:
            ours = agents[agent]["proxies"][named]
            found[agent] = {
                "baseline": better,
                "ratio": ours["steps_to_solve"] / theirs["steps_to_solve"],
                "apart": ours["ci95_steps_to_solve"][1] < theirs["ci95_steps_to_solve"][0],
                "returns_in_training": [ours["mean_return_in_training"], theirs["mean_return_in_training"]],
                "returns_apart": ours["ci95_return_in_training"][0] > theirs["ci95_return_in_training"][1],
            }
    return found


def _show(row: str, done: int, total: int) -> None:
    print(f"{done + 1}/{total}  {row}", flush=True)


def report(config: Config) -> None:
    """Tell the ratios; of a task that none solves the returns."""
    results = json.loads((config.out / "summary.json").read_text())
    for agent, found in results["ratios"].items():
        unsolved = found["ratio"] == 1.0
        apart = "apart" if found["returns_apart" if unsolved else "apart"] else "overlap"
        ours, theirs = found["returns_in_training"]
        numbers = f"takes {found['ratio']:.2f} of {found['baseline']}'s steps"
        if unsolved:
            numbers = f"has a mean return of {ours:.1f} in training, {found['baseline']} of {theirs:.1f}"
        print(f"{agent}: {results['named']} {numbers}, intervals {apart}")


if __name__ == "__main__":
    raise SystemExit(execute(parse(PRESETS), run, report))
