"""Table 20: what one generation costs, for synthetic environments and reward networks.

References:
    Ferreira et al. (2022), appendix C: seconds on 16 cores of an Intel Xeon Gold 6242.
"""

import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from experiments.command_line import execute, parse
from synthenv.runs.meta_train.presets import preset
from synthenv.runs.storage.csv_tables import write_csv

# Seconds of wall time on 16 cores.
PAPER = {
    ("rn", "CliffWalking"): 10,
    ("se", "Acrobot-v1"): 100,
    ("se", "CartPole-v0"): 100,
    ("rn", "CartPole-v0"): 100,
    ("rn", "MountainCarContinuous-v0"): 500,
    ("rn", "HalfCheetah"): 2000,
}


@dataclass(frozen=True)
class Config:
    """Time the first generation of searches in the released configuration: 48 trainings and their tests.

    ``python -m experiments.table20 --preset cpu --out runs/table20``

    The generation is played twice and the second one counts, so compilation does not. Proxies are unevolved: later
    generations are shorter or longer. Number to expect: at most a tenth of the paper's core-seconds.

    Attributes:
        preset: Named configuration that the other flags override.
        out: Directory of table20.csv.
        rows: Indices of the rows of the paper's table, from 0.
        search: Preset of the searches.
        seed: Of the searches.
    """

    preset: Literal["cpu", "paper", "smoke"] = "cpu"
    out: Path = Path("runs/table20")
    rows: tuple[int, ...] = (0, 1, 2, 3)
    search: Literal["released", "smoke"] = "released"
    seed: int = 0


PRESETS = {
    "cpu": Config(),
    "paper": Config(preset="paper", rows=tuple(range(len(PAPER)))),
    "smoke": Config(preset="smoke", rows=(0,), search="smoke"),
}


def run(config: Config) -> None:
    """Time the rows one after the other; write ``table20.csv`` after each."""
    config.out.mkdir(parents=True, exist_ok=True)
    places, rows = list(PAPER), []
    for index in config.rows:
        rows.append(measure(*places[index], config))
        write_csv(config.out / "table20.csv", rows)
        print("  ".join(f"{name} {value}" for name, value in rows[-1].items()), flush=True)


def measure(form: Literal["se", "rn"], task: str, config: Config) -> dict[str, Any]:
    """One generation, without what the first one compiles."""
    import jax

    from synthenv.runs.meta_train.search import Search

    asked = preset(form, config.search, task)
    search = Search(replace(asked, outer=asked.outer._replace(num_starts=1)), config.seed)
    with jax.numpy_rank_promotion("allow"):
        search.advance(search.start())
        start, cpu_start = time.perf_counter(), time.process_time()
        _, log = search.advance(search.start())
        seconds, cpu_seconds = time.perf_counter() - start, time.process_time() - cpu_start
    paper = PAPER[form, task]
    return {
        "form": form,
        "task": task,
        "trainings": len(log.outcome.num_steps),
        "steps": int(log.outcome.num_steps.sum()),
        "seconds": round(seconds, 2),
        "cpu_seconds": round(cpu_seconds, 2),
        "paper_core_seconds": 16 * paper,
        "paper_over_ours": round(16 * paper / cpu_seconds, 1),
    }


if __name__ == "__main__":
    raise SystemExit(execute(parse(PRESETS), run))
