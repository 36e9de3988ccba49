"""Figure 24: how many generations each score transformation takes to find a synthetic 2x2 room, step size by step size.

References:
    Ferreira et al. (2022), appendix E.2; the released code for the ranges: a random search over transformation, step
    size (logarithmic) and mirrored sampling.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

from experiments.command_line import execute, parse
from synthenv.agents.presets import TABLE10
from synthenv.outer.config import OuterConfig, StrategyConfig
from synthenv.proxies.config import SyntheticConfig
from synthenv.runs.display.figures import BLUE, INK, dress, new_figure, save
from synthenv.runs.meta_train.config import MetaTrainConfig
from synthenv.runs.storage.csv_tables import read_csv, write_csv
from synthenv.runs.tune.spaces import TRANSFORMATIONS

STEP_SIZES = (0.01, 10.0)
# Noise, budget and Q-learning are those of the released code; the networks' size and table 10's agent are ours.
SEARCH = MetaTrainConfig(
    "EmptyRoom22",
    SyntheticConfig(hidden_size=32, max_steps=10),
    TABLE10,
    StrategyConfig(name="paper_nes", num_pairs=16, std=0.1),
    OuterConfig(num_generations=50, num_incumbents=16, num_test_episodes=1),
)


@dataclass(frozen=True)
class Config:
    """Search for a synthetic 2x2 room with random step sizes, with every transformation, mirrored and not.

    ``python -m experiments.synthetic_envs.figure24 --preset cpu --out runs/figure24``

    Calling it again goes on where it was stopped. A search is over when the mean return of the incumbents' agents has
    reached the solved threshold (0.8). Number to expect: none of the transformations fails altogether, and the All
    Better ones are the best, says the paper.

    Attributes:
        preset: Named configuration that the other flags override.
        out: Directory of figure24.csv and figure24.png.
        transformations: Those to try.
        num_step_sizes: Random step sizes for each transformation, with and without mirrored sampling.
        num_generations: Most generations of a search.
        seed: Seed of the first search; the others follow.
    """

    preset: Literal["cpu", "paper", "smoke"] = "cpu"
    out: Path = Path("runs/figure24")
    transformations: tuple[str, ...] = TRANSFORMATIONS
    num_step_sizes: int = 30
    num_generations: int = 50
    seed: int = 0


PRESETS = {
    "cpu": Config(),
    "paper": Config(preset="paper", num_step_sizes=219),
    "smoke": Config(
        preset="smoke", transformations=("nes", "all_better_2"), num_step_sizes=1, num_generations=2
    ),
}


def points(config: Config) -> list[dict[str, Any]]:
    """What is to be tried, each with a seed of its own: first one step size for all, then the next."""
    low, high = np.log(STEP_SIZES)
    draws = np.random.default_rng(config.seed)
    kinds = [(name, mirrored) for name in config.transformations for mirrored in (True, False)]
    return [
        {
            "transformation": name,
            "mirrored": mirrored,
            "step_size": float(np.exp(draws.uniform(low, high))),
            "seed": config.seed + index * len(kinds) + i,
        }
        for index in range(config.num_step_sizes)
        for i, (name, mirrored) in enumerate(kinds)
    ]


def run(config: Config) -> None:
    """Try every point that ``figure24.csv`` lacks."""
    import jax

    from synthenv.runs.meta_train.search import Search

    config.out.mkdir(parents=True, exist_ok=True)
    file = config.out / "figure24.csv"
    rows: list[dict[str, Any]] = list(read_csv(file)) if file.exists() else []
    search = Search(SEARCH, config.seed)
    todo = points(config)
    for point in todo[len(rows) :]:
        with jax.numpy_rank_promotion("allow"):
            rows.append(point | solve(search, point, config.num_generations))
        write_csv(file, rows)
        if len(rows) % 16 == 0:
            print(f"{len(rows)}/{len(todo)} searches", flush=True)


def solve(search: Any, point: dict[str, Any], num_generations: int) -> dict[str, Any]:
    """Search from a random start; the compiled programs of ``search`` serve every point."""
    import jax
    import jax.numpy as jnp
    from jax.flatten_util import ravel_pytree

    from synthenv.outer import bilevel
    from synthenv.outer.strategy import make_strategy

    key = jax.random.key(point["seed"])
    first = ravel_pytree(search.proxy.init_params(jax.random.fold_in(key, 2**31 - 1)))[0]
    moves = SEARCH.strategy._replace(
        **{name: point[name] for name in ("transformation", "mirrored", "step_size")}
    )
    strategy = make_strategy(moves, first.size, search.spec.solved_return)
    state = bilevel.init_state(key, strategy, jnp.asarray(first))
    for generation in range(num_generations):
        state, log = bilevel.generation(key, state, strategy, search.runner, SEARCH.outer)
        if np.mean(log.incumbent_scores) >= search.spec.solved_return:
            return {"generations": generation, "solved": True}
    return {"generations": num_generations, "solved": False}


def summarise(rows: list[dict[str, str]], transformations: tuple[str, ...]) -> list[dict[str, Any]]:
    """Generations to solve of each transformation, mirrored and not: mean with its interval, and who solved."""
    from synthenv.runs.statistics.intervals import bootstrap_interval

    out = []
    for name in transformations:
        for mirrored in ("True", "False"):
            own = [row for row in rows if row["transformation"] == name and row["mirrored"] == mirrored]
            generations = np.array([float(row["generations"]) for row in own])
            low, high = bootstrap_interval(generations)
            out.append(
                {
                    "transformation": name,
                    "mirrored": mirrored,
                    "mean_generations": round(float(generations.mean()), 2),
                    "low": round(low, 2),
                    "high": round(high, 2),
                    "solved_share": round(float(np.mean([row["solved"] == "True" for row in own])), 3),
                    "searches": len(own),
                }
            )
    return out


def plot(config: Config) -> None:
    """Write ``summary.csv`` and draw ``figure24.png`` from the table."""
    rows = read_csv(config.out / "figure24.csv")
    summary = summarise(rows, config.transformations)
    write_csv(config.out / "summary.csv", summary)
    figure = new_figure(11, 5.4, "Figure 24: generations until a synthetic 2x2 room teaches the real one")
    panels = figure.subplots(1, 2, sharey=True)
    marks = None
    for axes, mirrored, title in zip(panels, ("True", "False"), ("mirrored", "not mirrored"), strict=True):
        own = [row for row in rows if row["mirrored"] == mirrored]
        dress(axes, title, "step size", "")
        # A little up and down, so that searches with nearly the same step size can be told apart.
        shift = np.random.default_rng(0).uniform(-0.28, 0.28, len(own))
        height = np.array([config.transformations.index(row["transformation"]) for row in own]) + shift
        marks = axes.scatter(
            [float(row["step_size"]) for row in own],
            height,
            c=[float(row["generations"]) for row in own],
            cmap="RdYlGn_r",
            vmin=0,
            vmax=config.num_generations,
            s=22,
            edgecolors=INK,
            linewidths=0.3,
        )
        axes.set_xscale("log")
        axes.set_xlim(*STEP_SIZES)
        axes.set_yticks(
            range(len(config.transformations)), [name.replace("_", " ") for name in config.transformations]
        )
        for line in (row for row in summary if row["mirrored"] == mirrored):
            y = config.transformations.index(line["transformation"])
            axes.text(10.6, y, f"{line['mean_generations']:.0f}", va="center", color=BLUE, fontsize=9)
    assert marks is not None
    figure.colorbar(marks, ax=panels, label="generations (blue: their mean)")
    save(figure, config.out / "figure24.png")
    print(f"wrote {config.out / 'figure24.png'}")


if __name__ == "__main__":
    raise SystemExit(execute(parse(PRESETS), run, plot))
