"""Figures 2 and 6, CartPole: how good the synthetic environments of several searches are, generation by generation.

References:
    Ferreira et al. (2022), section 4 and appendix A.
"""

import dataclasses
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

from experiments import searches
from experiments.command_line import execute, parse
from synthenv.runs.display.figures import BLUE, RED, dress, new_figure, save
from synthenv.runs.meta_train.config import MetaTrainConfig
from synthenv.runs.meta_train.synthetic_presets import RELEASED, SMOKE, TABLE3
from synthenv.runs.storage.csv_tables import read_csv, write_csv

SEARCHES = {
    "table3": TABLE3,
    "released": RELEASED,
    # Agents of one shape, so that a single program has to be compiled.
    "smoke": dataclasses.replace(
        SMOKE,
        agent=dataclasses.replace(SMOKE.agent, vary=False, batch_size=32, hidden_size=32, depth=1),
        outer=SMOKE.outer._replace(num_starts=2),
    ),
}


@dataclass(frozen=True)
class Config:
    """Evolve a synthetic CartPole several times and plot the mean return of the incumbents' agents.

    ``python -m experiments.synthetic_envs.figure2_6 --preset cpu --out runs/figure2_6``

    Calling it again with the same flags goes on where it was stopped. Cost: cpu (released) 6 to 19 minutes a search on
    2 shared cores, about an hour in all; paper not measured; smoke takes seconds once compiled. Number to expect: the
    paper finds 50 generations often sufficient to solve CartPole (mean return 195); of ours 2 in 5 searches.

    Attributes:
        preset: Named configuration that the other flags override.
        out: Directory of the run directories, figure2_6.csv and figure2_6.png.
        config: table3 as published (All Better 2), released as the released code ran (NES unnormalised).
        num_runs: Independent searches.
        num_generations: Generations of each, solved or not.
        seed: Seed of the first search; the others follow.
    """

    preset: Literal["cpu", "paper", "smoke"] = "cpu"
    out: Path = Path("runs/figure2_6")
    config: Literal["table3", "released", "smoke"] = "released"
    num_runs: int = 5
    num_generations: int = 50
    seed: int = 0


PRESETS = {
    "cpu": Config(),
    "paper": Config(preset="paper", num_runs=40, num_generations=200),
    "smoke": Config(preset="smoke", config="smoke", num_runs=2, num_generations=3),
}


def search_config(config: Config) -> MetaTrainConfig:
    """The search, run to its last generation whatever it finds, so that all curves have one length."""
    search = SEARCHES[config.config]
    outer = search.outer._replace(num_generations=config.num_generations, stop_when_solved=False)
    return dataclasses.replace(search, outer=outer)


def run(config: Config) -> None:
    """Finish every search, and write ``figure2_6.csv`` after each of them."""
    rows: list[dict[str, Any]] = []
    for index in range(config.num_runs):
        seed = config.seed + index
        metrics = searches.finish(search_config(config), seed, config.out / f"run_{index:02d}")
        rows += [as_row(index, seed, line) for line in metrics]
        write_csv(config.out / "figure2_6.csv", rows)


def as_row(run: int, seed: int, line: dict[str, Any]) -> dict[str, Any]:
    """One line per run and generation of ``figure2_6.csv``."""
    kept = {name: line[name] for name in ("generation", "incumbent_mean", "seconds")}
    return {"run": run, "seed": seed, **kept, "train_steps": line["total_train_steps"]}


def read_curves(file: Path) -> np.ndarray:
    """Mean incumbent returns [R, G]; runs are cut to the length of the shortest one."""
    lines = read_csv(file)
    runs = sorted({int(line["run"]) for line in lines})
    curves = [[float(line["incumbent_mean"]) for line in lines if int(line["run"]) == r] for r in runs]
    shortest = min(map(len, curves))
    return np.array([curve[:shortest] for curve in curves])


def plot(config: Config) -> None:
    """Draw ``figure2_6.png`` from the table."""
    from matplotlib.ticker import MaxNLocator

    from synthenv.envs import registry
    from synthenv.runs.statistics.intervals import bootstrap_interval

    task = SEARCHES[config.config].task
    curves = read_curves(config.out / "figure2_6.csv")
    num_runs, generations = len(curves), np.arange(curves.shape[1])
    figure = new_figure(8, 4.8, f"Figures 2 and 6: {task}, {config.config} configuration")
    axes = figure.subplots()
    dress(axes, "Agents trained on the incumbent, tested on the real task", "generation", "mean return")
    for index, curve in enumerate(curves):
        label = f"one search ({num_runs} in all)" if index == 0 else None
        axes.plot(generations, curve, color=BLUE, linewidth=0.8, alpha=0.4, label=label)
    if num_runs > 1:
        low, high = np.array([bootstrap_interval(returns) for returns in curves.T]).T
        axes.fill_between(
            generations, low, high, color=BLUE, alpha=0.18, linewidth=0, label="95 % bootstrap interval"
        )
    axes.plot(generations, curves.mean(axis=0), color=BLUE, linewidth=2.6, label="mean over searches")
    solved = registry.make(task).solved_return
    axes.axhline(solved, color=RED, linestyle="--", linewidth=1.3, label=f"solved: {solved:g}")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
    axes.set_ylim(bottom=0)
    axes.margins(x=0.01)
    figure.legend(loc="outside lower left", ncols=4, frameon=False, fontsize=9)
    save(figure, config.out / "figure2_6.png")
    print(f"wrote {config.out / 'figure2_6.png'}")


if __name__ == "__main__":
    raise SystemExit(execute(parse(PRESETS), run, plot))
