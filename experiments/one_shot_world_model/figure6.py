"""Figure 6: the GridWorld of the paper, as it is stepped here: what entering each cell pays, and what the cell is.

References:
    One-Shot World Models Using a Transformer Trained on a Synthetic Prior, appendix D.1.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np

from experiments.command_line import execute, parse
from synthenv.envs import registry
from synthenv.envs.oswm_toys import MOVES, SIZE, GridWorldState
from synthenv.runs.display.figures import INK, new_figure, save
from synthenv.runs.storage.csv_tables import read_csv, write_csv

_COLOURS = {"ring": "#f4c7c3", "goal": "#c6e5cc", "start": "#cbd2d9", "inside": "white"}


@dataclass(frozen=True)
class Config:
    """Enter every cell of GridWorld once.

    ``python -m experiments.one_shot_world_model.figure6 --out runs/figure6``

    Cost: seconds. Numbers to expect: -11 on the ring, 9 on a goal, -1 elsewhere, and a hundredth of the column more.

    Attributes:
        preset: All do the same.
        out: Directory of figure6.csv and figure6.png.
    """

    preset: Literal["cpu", "paper", "smoke"] = "cpu"
    out: Path = Path("runs/figure6")


PRESETS = {name: Config(preset=name) for name in ("cpu", "paper", "smoke")}


def run(config: Config) -> None:
    """Write ``figure6.csv``, a line per cell."""
    spec = registry.make("GridWorld")
    env: Any = spec.env
    x, y = (axis.ravel() for axis in np.meshgrid(np.arange(SIZE), np.arange(SIZE)))
    # Each cell is entered from its right neighbour, those of the last column from their left one.
    action = np.where(x == SIZE - 1, 0, 1)
    before = GridWorldState(
        x=jnp.asarray(x - MOVES[action, 0]), y=jnp.asarray(y), time=jnp.zeros(len(x), jnp.int32)
    )
    step = jax.vmap(
        lambda state, action: env.step_env(jax.random.key(0), state, action, spec.env_params)[1:4]
    )
    after, reward, terminated = jax.jit(step)(before, jnp.asarray(action))
    assert (np.stack([after.x, after.y]) == np.stack([x, y])).all()
    first = jax.vmap(lambda key: env.reset_env(key, spec.env_params)[1])(
        jax.random.split(jax.random.key(0), 200)
    )
    starts = set(zip(first.x.tolist(), first.y.tolist(), strict=True))
    config.out.mkdir(parents=True, exist_ok=True)
    write_csv(
        config.out / "figure6.csv",
        [
            {"x": a, "y": b, "cell": _cell((a, b) in starts, ends, pays), "reward": f"{pays:.6g}"}
            for a, b, pays, ends in zip(
                x.tolist(), y.tolist(), reward.tolist(), terminated.tolist(), strict=True
            )
        ],
    )


def _cell(is_start: bool, terminated: bool, reward: float) -> str:
    """What a cell is."""
    if terminated:
        return "goal" if reward > 0 else "ring"
    return "start" if is_start else "inside"


def plot(config: Config) -> None:
    """Draw ``figure6.png``."""
    figure = new_figure(6.2, 6.4, "Figure 6: GridWorld, what entering a cell pays")
    axes = figure.subplots()
    for line in read_csv(config.out / "figure6.csv"):
        x, y = int(line["x"]), int(line["y"])
        axes.add_patch(_square(x, y, _COLOURS[line["cell"]]))
        axes.text(x, y, f"{float(line['reward']):.2f}", ha="center", va="center", fontsize=8, color=INK)
    for name, colour in _COLOURS.items():
        axes.plot([], [], "s", color=colour, markeredgecolor=INK, markersize=9, label=name)
    axes.set(xlim=(-0.55, SIZE - 0.45), ylim=(SIZE - 0.45, -0.55), aspect="equal", xlabel="x", ylabel="y")
    axes.tick_params(colors=INK, length=0)
    axes.spines[:].set_visible(False)
    figure.legend(loc="outside lower left", ncols=len(_COLOURS), frameon=False)
    save(figure, config.out / "figure6.png")
    print(f"wrote {config.out / 'figure6.png'}")


def _square(x: int, y: int, colour: str) -> Any:
    from matplotlib.patches import Rectangle

    return Rectangle((x - 0.5, y - 0.5), 1, 1, facecolor=colour, edgecolor=INK, linewidth=0.7)


if __name__ == "__main__":
    raise SystemExit(execute(parse(PRESETS), run, plot))
