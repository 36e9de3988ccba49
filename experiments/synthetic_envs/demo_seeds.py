"""Does the demo work for every seed? Runs ``synthenv demo`` seed by seed and collects what came of it.

    python -m experiments.synthetic_envs.demo_seeds --out runs/demo_seeds

Every seed starts with an empty compilation cache, as on a fresh machine. Keep the machine quiet: wall time is
measured. So that machines can be compared, the CPU time of a whole demo also stands as a multiple of that of a fixed
matrix product, timed beside every seed. Number to expect: a mean real return of 190 or more over ten fresh agents for
at least 9 of 10 seeds. A seed whose JSON file is already in the folder is not run again.
"""

import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import tyro

from synthenv.core.errors import UserError
from synthenv.core.files import to_json, write_atomic
from synthenv.runs.storage.csv_tables import write_csv


@dataclass(frozen=True)
class Config:
    """Which seeds, and where to.

    Attributes:
        out: Folder for run directories, JSON files and demo_seeds.csv.
        num_seeds: How many seeds.
        first_seed: The first of them.
    """

    out: Path = Path("runs/demo_seeds")
    num_seeds: int = 10
    first_seed: int = 0


def run(config: Config) -> list[dict[str, Any]]:
    """Run the missing demos; after each, write ``demo_seeds.csv``, one line per seed."""
    config.out.mkdir(parents=True, exist_ok=True)
    rows = []
    for seed in range(config.first_seed, config.first_seed + config.num_seeds):
        summary = config.out / f"seed{seed}.json"
        if not summary.exists():
            call = [
                "demo",
                "--seed",
                str(seed),
                "--out",
                str(config.out / f"seed{seed}"),
                "--json",
                str(summary),
            ]
            with tempfile.TemporaryDirectory() as cache:
                env = os.environ | {"SYNTHENV_CACHE_DIR": cache}
                before = cpu_of_children()
                subprocess.run([sys.executable, "-m", "synthenv", *call], check=True, env=env)
            cost = {"cpu_seconds": cpu_of_children() - before, "product_seconds": cpu_of_product()}
            write_atomic(config.out / f"seed{seed}_cost.json", to_json(cost).encode())
        measured = config.out / f"seed{seed}_cost.json"
        if not measured.exists():
            raise UserError(
                f"{measured} is missing: remove seed{seed} and {summary.name} there to run that seed again"
            )
        cost = json.loads(measured.read_text())
        rows.append(read_row(seed, json.loads(summary.read_text())["results"], cost))
        write_csv(config.out / "demo_seeds.csv", rows)
    return rows


def cpu_of_children() -> float:
    """CPU seconds of all processes that this one has started and that have ended."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def cpu_of_product(size: int = 2048, repeats: int = 9) -> float:
    """CPU seconds of one product of two matrices of ``size`` rows in single precision; the median of some."""
    matrix = np.random.default_rng(0).standard_normal((size, size), np.float32)
    times = []
    for _ in range(repeats):
        start = time.process_time()
        matrix @ matrix
        times.append(time.process_time() - start)
    return float(np.median(times))


def read_row(seed: int, results: dict[str, Any], cost: dict[str, float]) -> dict[str, Any]:
    """One line of the table from a demo's JSON results and what it cost."""
    search = results["meta_train"]
    return {
        "seed": seed,
        "mean_return": round(results["mean_return"], 1),
        "ci95_low": round(results["ci95_return"][0], 1),
        "ci95_high": round(results["ci95_return"][1], 1),
        "num_agents": results["num_agents"],
        "untrained_return": round(results["untrained_control"]["mean_return"], 1),
        "solved": search["solved"],
        "generations": search["generations"],
        "wall_seconds": round(results["total_seconds"]),
        "cpu_seconds": round(cost["cpu_seconds"]),
        "cpu_in_products": round(cost["cpu_seconds"] / cost["product_seconds"]),
        "search_train_steps": search["total_train_steps"],
    }


if __name__ == "__main__":
    for row in run(tyro.cli(Config)):
        print(row)
