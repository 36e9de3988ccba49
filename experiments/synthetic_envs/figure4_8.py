"""Figures 4 and 8: states and rewards that agents meet in a synthetic environment and in their real tests.

References:
    Ferreira et al. (2022), section 5 and appendix A.4.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from experiments.command_line import execute, parse
from synthenv.runs.display.figures import INK, new_figure, save
from synthenv.runs.evaluate.proxy_contents_plot import draw_histogram, legend
from synthenv.runs.statistics.distributions import Histogram, as_rows, from_rows, overlap
from synthenv.runs.storage.csv_tables import read_csv, write_csv


@dataclass(frozen=True)
class Config:
    """Train agents of table 5 in one SE of a task, test them ten times each, and ask the SE about these tests.

    ``python -m experiments.synthetic_envs.figure4_8 --preset cpu --out runs/figure4_8``

    Cost: cpu and paper 80 CPU-seconds, compiling included; smoke takes seconds once compiled.
    Numbers to expect: the paper has histograms only, and in the text mean returns of 199.3 on CartPole and -91.62 on
    Acrobot. It finds synthetic states narrower or wider than real ones and shifted, and synthetic rewards wider.

    Attributes:
        preset: Named configuration that the other flags override.
        out: Directory of figure4_8.csv, returns.csv and a picture for each task.
        proxies: Shipped SEs and run directories; each is a row of its task for each agent.
        agents: Who trains.
        num_agents: Agents of each row.
        num_test_episodes: Real tests of each agent.
        max_steps: Overrides the training steps of every agent.
        seed: The only source of randomness; choose none that a search had.
    """

    preset: Literal["cpu", "paper", "smoke"] = "cpu"
    out: Path = Path("runs/figure4_8")
    proxies: tuple[str, ...] = ("synthetic/CartPole-v0:0", "synthetic/Acrobot-v1:0")
    agents: tuple[Literal["ddqn", "dueling_ddqn", "td3_discrete"], ...] = (
        "ddqn",
        "dueling_ddqn",
        "td3_discrete",
    )
    num_agents: int = 10
    num_test_episodes: int = 10
    max_steps: int | None = None
    seed: int = 1000


PRESETS = {
    "cpu": Config(),
    "paper": Config(preset="paper"),  # the paper's figure is as small
    "smoke": Config(
        preset="smoke",
        proxies=("synthetic/CartPole-v0:0",),
        agents=("ddqn",),
        num_agents=2,
        num_test_episodes=1,
        max_steps=60,
    ),
}


def run(config: Config) -> None:
    """Write ``figure4_8.csv`` (a line per task, agent, quantity and series) and ``returns.csv`` (one per agent)."""
    from synthenv.runs.evaluate.proxy_contents import experience, histograms
    from synthenv.runs.training.places import budgeted, resolve

    lines, returns = [], []
    for proxy in config.proxies:
        for agent in config.agents:
            place = resolve(proxy, agent=agent)
            place = place._replace(agent=budgeted(place.agent, config.max_steps))
            met = experience(place, config.num_agents, config.seed, config.num_test_episodes)
            of = {"task": place.spec.name, "proxy": proxy, "agent": agent}
            lines += [of | row for row in as_rows(histograms(place, met))]
            means = met.scores.returns.mean(axis=1)
            returns += [of | {"number": i, "mean_return": mean} for i, mean in enumerate(means)]
            print(f"{proxy}  {agent}  mean real return {means.mean():.1f}", flush=True)
    config.out.mkdir(parents=True, exist_ok=True)
    write_csv(config.out / "figure4_8.csv", lines)
    write_csv(config.out / "returns.csv", returns)


def read(file: Path) -> dict[str, dict[str, list[Histogram]]]:
    """Histograms by task, and by agent and SE."""
    rows: dict[str, dict[str, list[dict[str, str]]]] = {}
    for line in read_csv(file):
        rows.setdefault(line["task"], {}).setdefault(f"{line['agent']} in {line['proxy']}", []).append(line)
    return {task: {row: from_rows(own) for row, own in found.items()} for task, found in rows.items()}


def plot(config: Config) -> None:
    """Draw ``figure4_8_<task>.png``: a row for each agent, a column for each state dimension and the reward."""
    for task, agents in read(config.out / "figure4_8.csv").items():
        columns = len(next(iter(agents.values())))
        figure = new_figure(2.9 * columns, 2.7 * len(agents) + 0.9, f"Figures 4 and 8: {task}")
        panels = figure.subplots(len(agents), columns, sharey=True, squeeze=False)
        for (agent, found), row in zip(agents.items(), panels, strict=True):
            for axes, histogram in zip(row, found, strict=True):
                draw_histogram(axes, histogram)
            row[0].set_ylabel(f"share of steps\n{agent}", color=INK, fontsize=9)
        legend(figure, found[-1])
        save(figure, config.out / f"figure4_8_{task}.png")
        print(f"wrote {config.out / f'figure4_8_{task}.png'}")


def report(config: Config) -> None:
    """Is the SE narrower, shifted, its reward wider, and its response nearer to training or to the tests?"""
    for task, agents in read(config.out / "figure4_8.csv").items():
        for agent, found in agents.items():
            for histogram in found:
                numbers = compare(histogram)
                said = "  ".join(f"{name} {value:.2f}" for name, value in numbers.items())
                print(f"{task}  {agent}  {histogram.name}: {said}")


def compare(found: Histogram) -> dict[str, Any]:
    """Standard deviations in training over tests, shift of the mean in those of the tests, and what is shared."""
    training, testing, response = found.shares
    own, real = found.statistics[training], found.statistics[testing]
    return {
        "std": own["std"],
        "real_std": real["std"],
        "shift": own["mean"] - real["mean"],
        "training/test": overlap(found, training, testing),
        "response/training": overlap(found, response, training),
        "response/test": overlap(found, response, testing),
    }


if __name__ == "__main__":
    raise SystemExit(execute(parse(PRESETS), run, plot, report))
