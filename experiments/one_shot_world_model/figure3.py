"""Figures 3 and 5: distributions of the state columns that priors draw, the paper's and ours.

The paper shows three examples each of "typical" patterns of its networks (peaked, wide, multi-modal) and of its
momentum prior (broad, multi-modal, sparse). Here a rule tells them apart, so that they can be counted, and what is
drawn is the first of each that comes.

References:
    One-Shot World Models Using a Transformer Trained on a Synthetic Prior, section 4.2 and appendix A.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import jax
import numpy as np

from experiments.command_line import execute, parse
from experiments.one_shot_world_model.prior_columns import PRIORS, Column
from synthenv.core.files import to_json, write_atomic
from synthenv.runs.statistics.intervals import bootstrap_interval
from synthenv.runs.storage import locked_directory
from synthenv.runs.storage.csv_tables import read_csv, write_csv

NUM_BINS = 100
SHAPES = ("peaked", "wide", "multimodal", "sparse", "constant")
_NARROW, _MOST = 10, 0.8  # peaked: so many adjacent bins hold at least this share
_MIDDLE, _EMPTY = (
    (0.05, 0.95),
    0.4,
)  # sparse: of the bins between these quantiles at least this share is empty
_WIDTH = 3.0  # bins of the Gaussian that smooths a histogram before its peaks are counted
_VALLEY, _LEAST = 0.5, 0.1  # how low the ground beside a peak falls, and how high a peak is, at least
_ROUNDING = 1e-6  # of the largest value: a smaller spread is that of a constant
_NUM_EPISODES = 10  # environments of a prior whose episodes are kept
Prior = Literal["networks", "momentum", "momentum as in the text", "ours"]


@dataclass(frozen=True)
class Config:
    """Draw environments of every prior and say how the values of their state columns are distributed.

    ``python -m experiments.one_shot_world_model.figure3 --preset cpu --out runs/figure3``

    Calling it again with the same flags draws the priors that are missing. Numbers to expect: the paper has pictures
    only.

    Attributes:
        preset: Named configuration that the other flags override.
        out: Directory of figure3.csv, figure3_episodes.csv, figure3.json, figure3_5.png and figure3_5_episodes.png.
        priors: Which ones.
        num_worlds: Environments of each; of ours at least one a family.
        num_rows: Transitions of each.
        seed: Randomness.
    """

    preset: Literal["cpu", "paper", "smoke"] = "cpu"
    out: Path = Path("runs/figure3")
    priors: tuple[Prior, ...] = ("networks", "momentum", "momentum as in the text", "ours")
    num_worlds: int = 30
    num_rows: int = 1001
    seed: int = 0


PRESETS = {
    "cpu": Config(),
    "paper": Config(preset="paper", num_worlds=8),  # a batch of the released code
    "smoke": Config(preset="smoke", num_worlds=4, num_rows=102),
}


def run(config: Config) -> None:
    """Write ``figure3.csv``, a line per column, ``figure3_episodes.csv``, and the summary of all.

    Raises:
        UserError: OUT holds lines of other flags.
    """
    asked = {name: getattr(config, name) for name in ("num_worlds", "num_rows", "seed")}
    with locked_directory.held(config.out, asked):
        files = [config.out / name for name in ("figure3_episodes.csv", "figure3.csv")]
        episodes, lines = ([*read_csv(file)] if file.exists() else [] for file in files)
        for name in config.priors:
            if all(line["prior"] != name for line in lines):
                columns = list(PRIORS[name](jax.random.key(config.seed), config.num_worlds, config.num_rows))
                episodes = [line for line in episodes if line["prior"] != name] + episodes_of(name, columns)
                lines += [line_of(name, column) for column in columns]
                for file, rows in zip(files, (episodes, lines), strict=True):
                    write_csv(file, rows)
                print(f"{name}: {len(columns)} columns", flush=True)
        text = to_json({"results": summarise(lines)}, indent=1)
        write_atomic(config.out / "figure3.json", f"{text}\n".encode())


def line_of(prior: str, column: Column) -> dict[str, str]:
    """A line of ``figure3.csv``."""
    counts = histogram(column.values)
    return {
        "prior": prior,
        "world": str(column.world),
        "kind": column.kind,
        "shape": shape_of(counts),
        "low": f"{column.values.min():.4g}",
        "high": f"{column.values.max():.4g}",
        "counts": " ".join(map(str, counts)),
    }


def episodes_of(prior: str, columns: Sequence[Column]) -> list[dict[str, str]]:
    """One episode of some environments, standardised by all their rows; of ours one a family, which come in order."""
    worlds = sorted({column.world for column in columns})
    kept = worlds[:: max(1, len(worlds) // _NUM_EPISODES)][:_NUM_EPISODES]
    return [
        {
            "prior": prior,
            "world": str(column.world),
            "kind": column.kind,
            "values": " ".join(f"{x:.3g}" for x in _standardised(column)),
        }
        for column in columns
        if column.world in kept
    ]


def _standardised(column: Column) -> np.ndarray:
    std = column.values.std()
    rest = column.episode - column.values.mean()
    return rest / std if std > _ROUNDING * np.abs(column.values).max() else 0.0 * rest


def histogram(values: np.ndarray) -> np.ndarray:
    """How many of the values [N] lie in each of 100 equal bins between the least and the largest; int [100]."""
    values = values.astype(np.float64)
    if np.ptp(values) <= _ROUNDING * np.abs(values).max():
        return np.histogram(np.zeros(len(values)), NUM_BINS, (0.0, 1.0))[0]
    return np.histogram(values, NUM_BINS)[0]


def shape_of(counts: np.ndarray) -> str:
    """Which of ``SHAPES`` a histogram [100] is, the first that holds of: constant, peaked, sparse, multimodal, wide."""
    total = counts.sum()
    if counts.max() == total:
        return "constant"
    if np.convolve(counts, np.ones(_NARROW), "valid").max() >= _MOST * total:
        return "peaked"
    low, high = np.searchsorted(np.cumsum(counts) / total, _MIDDLE)
    if np.mean(counts[low : high + 1] == 0) >= _EMPTY:
        return "sparse"
    return "multimodal" if num_peaks(counts) > 1 else "wide"


def num_peaks(counts: np.ndarray) -> int:
    """Peaks of the smoothed histogram: on both sides it falls to half of a peak before it rises higher."""
    distance = np.arange(NUM_BINS)[:, None] - np.arange(NUM_BINS)[None, :]
    kernel = np.exp(-0.5 * (distance / _WIDTH) ** 2)
    ground = np.concatenate([[0.0], (kernel @ counts) / kernel.sum(axis=1), [0.0]])
    found = 0
    for place in range(1, NUM_BINS + 1):
        height = ground[place]
        if height >= _LEAST * ground.max() and height > ground[place - 1] and height >= ground[place + 1]:
            sides = [ground[place::-1], ground[place:]]
            found += all(_falls_away(side) for side in sides)
    return found


def _falls_away(side: np.ndarray) -> bool:
    """Whether the ground from a peak outwards falls to half of its height before it rises above it."""
    higher = np.flatnonzero(side > side[0])
    return bool(side[: higher[0] if len(higher) else None].min() <= _VALLEY * side[0])


def summarise(lines: Sequence[dict[str, str]]) -> dict[str, Any]:
    """By prior, the shares of columns of each shape: means over environments with 95 % bootstrap intervals."""
    results: dict[str, Any] = {}
    for prior in dict.fromkeys(line["prior"] for line in lines):
        own = [line for line in lines if line["prior"] == prior]
        worlds: dict[str, list[str]] = {}
        kinds: dict[str, list[str]] = {}
        for line in own:
            worlds.setdefault(line["world"], []).append(line["shape"])
            kinds.setdefault(line["kind"], []).append(line["shape"])
        shares = {s: np.array([each.count(s) / len(each) for each in worlds.values()]) for s in SHAPES}
        results[prior] = {
            "num_worlds": len(worlds),
            "num_columns": len(own),
            "shares": {s: float(share.mean()) for s, share in shares.items()},
            "ci95_shares": {s: bootstrap_interval(share) for s, share in shares.items()},
            "by_kind": {
                kind: {"num_columns": len(each), **{s: each.count(s) / len(each) for s in SHAPES}}
                for kind, each in sorted(kinds.items())
            },
        }
    return results


def plot(config: Config) -> None:
    """Draw ``figure3_5.png`` and ``figure3_5_episodes.png``."""
    from experiments.one_shot_world_model.figure3_plot import draw, draw_episodes

    results = json.loads((config.out / "figure3.json").read_text())["results"]
    draw(read_csv(config.out / "figure3.csv"), results, config.out / "figure3_5.png")
    draw_episodes(read_csv(config.out / "figure3_episodes.csv"), config.out / "figure3_5_episodes.png")
    print(f"wrote {config.out / 'figure3_5.png'} and {config.out / 'figure3_5_episodes.png'}")


if __name__ == "__main__":
    raise SystemExit(execute(parse(PRESETS), run, plot))
