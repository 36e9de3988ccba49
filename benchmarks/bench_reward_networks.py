"""CPU cost of one generation of reward networks, in the configuration that the released code ran.

    python benchmarks/bench_reward_networks.py [--generations 5] [--json FILE]

48 trainings (16 incumbents, 16 mirrored pairs) with a test on the real task after every episode, on one core, in CPU
time of the process; the first generation compiles and is not counted. The released PyTorch code took 36 CPU-seconds for
a generation of Cliff Walking with about 63,500 training steps (additive potential, reward threshold; median of four
generations, measured on the same kind of machine, not in this run).
"""

import argparse
import json
import os
import statistics
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

os.environ["JAX_PLATFORMS"] = "cpu"
if hasattr(os, "sched_setaffinity"):  # one core: CPU time is then not that of idle threads waiting for work
    os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})

from synthenv.runs.meta_train.presets import preset
from synthenv.runs.meta_train.search import Search

HERE = Path(__file__).resolve().parent
RELEASED = {"CliffWalking": {"cpu_seconds": 36.0, "train_steps": 63_500}}
TASKS = ("CliffWalking", "CartPole-v0")
VARIANT = "additive_potential"


def measure(task: str, generations: int) -> dict[str, Any]:
    """CPU seconds, training steps and traces of some generations of one search."""
    config = preset("rn", "released", task)
    search = Search(replace(config, proxy=replace(config.proxy, variant=VARIANT)), seed=0)
    state, _ = search.advance(search.start())  # compiles
    traces = sum(search.runner.num_traces.values())
    seconds, steps = [], []
    for _ in range(generations):
        start = time.process_time()
        state, log = search.advance(state)
        seconds.append(time.process_time() - start)
        steps.append(int(log.outcome.num_steps.sum()))
    return {
        "variant": VARIANT,
        "trainings": len(log.outcome.num_steps),
        "cpu_seconds": seconds,
        "train_steps": steps,
        "us_per_train_step": [1e6 * s / n for s, n in zip(seconds, steps, strict=True)],
        "retraces": sum(search.runner.num_traces.values()) - traces,
    }


def describe(task: str, result: dict[str, Any]) -> str:
    """One line; where the released code was measured, the ratio per generation and per training step."""
    median = statistics.median(result["cpu_seconds"])
    line = (
        f"{task}: {median:.2f} CPU-s a generation ({min(result['cpu_seconds']):.2f} to"
        f" {max(result['cpu_seconds']):.2f}), {statistics.median(result['train_steps']):,.0f} training steps,"
        f" {statistics.median(result['us_per_train_step']):.1f} us a step"
    )
    if task not in RELEASED:
        return line
    released = RELEASED[task]
    per_step = 1e6 * released["cpu_seconds"] / released["train_steps"]
    return (
        f"{line}; released code (not measured in this run): {released['cpu_seconds']:.0f} CPU-s,"
        f" {released['cpu_seconds'] / median:.0f} times, per step"
        f" {per_step / statistics.median(result['us_per_train_step']):.0f} times"
    )


def main() -> None:
    """Measure, print, write JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--generations", type=int, default=5)
    parser.add_argument("--tasks", nargs="+", choices=TASKS, default=list(TASKS))
    parser.add_argument("--json", type=Path, default=HERE / "results" / "reward_networks.json")
    args = parser.parse_args()
    results = json.loads(args.json.read_text()) if args.json.exists() else {}
    for task in args.tasks:
        results[task] = measure(task, args.generations)
        print(describe(task, results[task]), flush=True)
    results["released_not_measured_in_this_run"] = RELEASED
    args.json.write_text(json.dumps(results, indent=1) + "\n")


if __name__ == "__main__":
    main()
