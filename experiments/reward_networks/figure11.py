"""Figure 11: what reward networks of Cliff Walking pay for every action in every cell, variant by variant.

References:
    Ferreira et al. (2022), appendix B.2.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

from experiments.command_line import execute, parse
from synthenv.runs.display.figures import save
from synthenv.runs.evaluate.proxy_contents_plot import draw_grids
from synthenv.runs.storage.csv_tables import read_csv, write_csv

RIGHT, LEFT, DOWN, UP = range(4)
ACTIONS = ("right", "left", "down", "up")
# The thirteen moves of the shortest path: (row, column, action).
PATH = ((3, 0, UP), *((2, column, RIGHT) for column in range(11)), (2, 11, DOWN))


@dataclass(frozen=True)
class Config:
    """Read the rewards of finished reward networks and average them over the networks of each variant.

    ``python -m experiments.reward_networks.figure11 --preset cpu --runs runs/figure5_cliff/*-? --out runs/figure11``

    Cost: seconds. Numbers to expect: the paper shows colours only, of 50 networks a variant.

    Attributes:
        preset: Named configuration that the other flags override.
        out: Directory of figure11.csv, figure11_networks.csv and figure11.png.
        runs: Run directories (those of figure 5, say) and shipped reward networks, of any variants.
    """

    preset: Literal["cpu", "paper", "smoke"] = "cpu"
    out: Path = Path("runs/figure11")
    runs: tuple[str, ...] = ("reward/CliffWalking",)


PRESETS = {
    "cpu": Config(),
    "paper": Config(preset="paper"),  # which networks there are is for --runs to say
    "smoke": Config(preset="smoke", runs=("reward/CliffWalking:0",)),
}


def run(config: Config) -> None:
    """Write ``figure11.csv`` (mean rewards) and ``figure11_networks.csv`` (what each network's rewards say)."""
    from synthenv.core.errors import UserError
    from synthenv.envs.gridworld import GridWorld
    from synthenv.proxies.reward_network import RewardNetwork
    from synthenv.runs.evaluate.proxy_contents import grid_rewards
    from synthenv.runs.training.places import resolve

    found: dict[str, list[np.ndarray]] = {}
    for name in config.runs:
        place = resolve(name)
        env = place.ground.env
        if not isinstance(env, RewardNetwork) or place.spec.name != "CliffWalking":
            raise UserError(f"{name} is no reward network of CliffWalking: pass others with --runs")
        assert isinstance(env.real_env, GridWorld)
        found.setdefault(env.config.variant, []).extend(grid_rewards(place))
    config.out.mkdir(parents=True, exist_ok=True)
    write_csv(
        config.out / "figure11.csv",
        [
            {
                "variant": variant,
                "row": row,
                "column": column,
                "action": ACTIONS[action],
                "reward": f"{mean:.5g}",
            }
            for variant, grids in sorted(found.items())
            for (row, column, action), mean in np.ndenumerate(np.mean(grids, axis=0))
        ],
    )
    rows = []
    for variant, grids in sorted(found.items()):
        rows += [{"variant": variant, "network": str(i), **describe(grid)} for i, grid in enumerate(grids)]
        rows.append({"variant": variant, "network": "mean", **describe(np.mean(grids, axis=0))})
    write_csv(config.out / "figure11_networks.csv", rows)


def describe(rewards: np.ndarray) -> dict[str, Any]:
    """What rewards [4, 12, 4] say about the way: means by kind of move, and where the shortest path pays most.

    Only moves that an episode can hold are counted: none from the cliff or the goal.
    """
    standing = np.ones(rewards.shape, bool)
    standing[3, 1:] = False
    falling = np.zeros(rewards.shape, bool)
    falling[2, 1:11, DOWN] = falling[3, 0, RIGHT] = True
    path = np.zeros(rewards.shape, bool)
    for move in PATH:
        path[move] = True
    others = standing & ~falling & ~path
    best = [rewards[row, column].argmax() == action for row, column, action in PATH]
    means = {
        "path": rewards[path].mean(),
        "other": rewards[others].mean(),
        "cliff": rewards[falling].mean(),
        "row3_to_row2": rewards[2, :, UP].mean(),
        "row2_to_row3": rewards[1, :, DOWN].mean(),
    }
    return {"path_best": np.sum(best), **{name: f"{value:.4g}" for name, value in means.items()}}


def plot(config: Config) -> None:
    """Draw ``figure11.png``: all rewards on the left, those above -50 on the right."""
    from synthenv.envs import registry

    grids: dict[str, np.ndarray] = {}
    for line in read_csv(config.out / "figure11.csv"):
        grid = grids.setdefault(line["variant"], np.zeros((4, 12, 4)))
        grid[int(line["row"]), int(line["column"]), ACTIONS.index(line["action"])] = float(line["reward"])
    lines = read_csv(config.out / "figure11_networks.csv")
    num = {variant: sum(line["variant"] == variant for line in lines) - 1 for variant in grids}
    named = {f"{variant}, {num[variant]} networks": grid for variant, grid in grids.items()}
    figure = draw_grids(
        named, registry.make("CliffWalking").env.cells, "Figure 11: mean learned rewards, Cliff Walking"
    )
    save(figure, config.out / "figure11.png")
    print(f"wrote {config.out / 'figure11.png'}")


def report(config: Config) -> None:
    """Tell what the rewards say about the way."""
    for line in read_csv(config.out / "figure11_networks.csv"):
        print("  ".join(f"{name} {value}" for name, value in line.items()))


if __name__ == "__main__":
    raise SystemExit(execute(parse(PRESETS), run, plot, report))
