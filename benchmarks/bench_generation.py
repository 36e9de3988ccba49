"""Cost of one generation: how it grows, what varied agents cost, how busy the workers are, what is compiled.

    python benchmarks/bench_generation.py [--json FILE]

CPU time of the process, in the presets ``fast`` (as it is) and ``varied`` (capped at 50 gradient steps per training).
The early stopping of ``varied`` runs in full, but at a quarter of its widths and batch sizes: minutes become seconds.
"""

import argparse
import json
import os
import resource
import statistics
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

os.environ["JAX_PLATFORMS"] = "cpu"
if hasattr(os, "sched_setaffinity"):  # one core: CPU time is then not that of idle threads waiting for work
    os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})

import jax
import numpy as np

from synthenv.agents.config import AgentConfig, Variation
from synthenv.agents.training.hyperparams import sample
from synthenv.outer.trial import TrialResult, TrialTask
from synthenv.runs.meta_train.config import MetaTrainConfig
from synthenv.runs.meta_train.search import Search
from synthenv.runs.meta_train.synthetic_presets import FAST, VARIED

HERE = Path(__file__).resolve().parent
POPULATIONS = (16, 48, 96)
NUM_AGENTS = 8  # drawn once and repeated, so that nothing but the number of trainings grows
NUM_EXACT = 4  # members compared with exactly sized networks: each compiles a program of its own
CAPPED = replace(VARIED, agent=replace(VARIED.agent, init_episodes=1, max_steps=250, stop="none"))
QUARTER = Variation(batch_size=(42 // 4, 384 // 4), hidden_size=(42 // 4, 384 // 4))
STOPPING = replace(VARIED, agent=replace(VARIED.agent, variation=QUARTER, max_steps=30_000))


def cpu(function: Callable[[], Any]) -> tuple[float, Any]:
    """CPU seconds of a call, and its result."""
    start = time.process_time()
    result = function()
    return time.process_time() - start, result


def run(search: Search, seed: int, num: int, num_agents: int) -> tuple[TrialResult, float]:
    """Train and test ``num`` members on the first proxy; ``num_agents`` of their agents differ."""
    proxies = np.tile(search.first_proxy, (num, 1))
    return search.runner.serve(jax.random.key(seed), proxies, np.arange(num) % num_agents, num_agents)


def growth(config: MetaTrainConfig, repeats: int) -> dict[str, Any]:
    """CPU seconds of a generation by its number of trainings; programs, their compile time, later traces."""
    search = Search(config, seed=0)
    first, _ = cpu(lambda: run(search, 0, NUM_AGENTS, NUM_AGENTS))
    programs = len(search.runner.num_traces)
    seconds = {
        num: [cpu(lambda: run(search, 0, num, NUM_AGENTS))[0] for _ in range(repeats)]  # noqa: B023
        for num in POPULATIONS
    }
    _, drawn = sample(jax.random.key(1), config.agent, 195.0, 48)
    return {
        "cpu_seconds": seconds,
        "ms_per_training": {num: 1e3 * statistics.median(s) / num for num, s in seconds.items()},
        "programs": programs,
        "programs_of_48_draws": len(set(drawn)),
        "compile_seconds_per_program": (first - NUM_AGENTS * statistics.median(seconds[16]) / 16) / programs,
        "traces_after_first": sum(search.runner.num_traces.values()) - programs,
        "peak_memory_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
    }


def training_seconds(
    search: Search, agent: AgentConfig, member: int, steps: tuple[int, int], repeats: int
) -> float:
    """Median CPU seconds by which member ``member``'s training of ``steps[1]`` steps outlasts one of ``steps[0]``."""
    hyperparams, buckets = sample(
        jax.random.key(0), agent, search.spec.solved_return, NUM_EXACT, blocked=True
    )
    one = jax.tree.map(lambda x: x[member : member + 1], hyperparams)
    task = (np.zeros((1, 2), np.uint32), search.first_proxy[None])
    program = search.runner.program(buckets[member])

    def seconds(num_steps: int) -> float:
        tasks = TrialTask(*task, one.replace(max_steps=np.array([num_steps], np.int32)))
        return cpu(lambda: jax.block_until_ready(program(tasks)))[0]

    seconds(steps[0])  # compile
    return statistics.median(seconds(steps[1]) - seconds(steps[0]) for _ in range(repeats))


def overhead(config: MetaTrainConfig, num_steps: int, repeats: int) -> dict[str, Any]:
    """Time of varied members over that of the same members in networks and batches of exactly their size."""
    agent = config.agent
    varied = Search(config, seed=0)
    hyperparams, buckets = sample(
        jax.random.key(0), agent, varied.spec.solved_return, NUM_EXACT, blocked=True
    )
    warm_up = agent.init_episodes * config.proxy.max_steps
    steps = (warm_up, warm_up + num_steps)
    ours, exact, shapes = [], [], []
    for i, bucket in enumerate(buckets):
        sizes = {name: int(getattr(hyperparams, name)[i]) for name in ("batch_size", "hidden_size")}
        alone = replace(agent, vary=False, depth=bucket.depth, **sizes)
        ours.append(training_seconds(varied, agent, i, steps, repeats))
        exact.append(training_seconds(Search(replace(config, agent=alone), seed=0), alone, i, steps, repeats))
        shapes.append({"depth": bucket.depth, "padded_to": bucket.max_hidden, **sizes})
    return {
        "ratio_of_sums": sum(ours) / sum(exact),
        "ratio_median": statistics.median(a / b for a, b in zip(ours, exact, strict=True)),
        "ratio_worst": max(a / b for a, b in zip(ours, exact, strict=True)),
        "us_per_step": [1e6 * s / num_steps for s in ours],
        "us_per_step_exact": [1e6 * s / num_steps for s in exact],
        "shapes": shapes,
    }


def busy(num: int = 48, workers: int = 2) -> dict[str, Any]:
    """Busy share of two workers under real early stopping, and the useful share of a lock-step loop's steps."""
    search = Search(STOPPING, seed=0)
    search.runner.workers = workers
    search.runner.agent = replace(STOPPING.agent, max_steps=1)
    run(search, 0, num, num)  # compiles
    search.runner.agent = STOPPING.agent
    seconds, (results, busy_share) = cpu(lambda: run(search, 0, num, num))
    steps = np.asarray(results.num_steps)
    return {
        "busy_share": busy_share,
        "lock_step_share": float(steps.sum() / (num * steps.max())),
        "cpu_seconds": seconds,
        "steps_min_median_max": [int(x) for x in (steps.min(), np.median(steps), steps.max())],
        "capped": int((steps == STOPPING.agent.max_steps).sum()),
    }


def show(title: str, values: dict[str, Any]) -> None:
    """Print one section."""
    print(f"\n{title}", flush=True)
    for name, value in values.items():
        print(
            f"  {name:28s} {json.dumps(value, default=str) if not isinstance(value, float) else round(value, 3)}"
        )


def main() -> None:
    """Measure, print, write JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--sections", nargs="+", choices=SECTIONS, default=list(SECTIONS))
    parser.add_argument("--json", type=Path, default=HERE / "results" / "generation.json")
    args = parser.parse_args()
    results = json.loads(args.json.read_text()) if args.json.exists() else {}
    args.json.parent.mkdir(parents=True, exist_ok=True)
    for name in args.sections:
        results[name] = SECTIONS[name](args.repeats)
        show(name, results[name])
        args.json.write_text(json.dumps(results, indent=1) + "\n")


SECTIONS: dict[str, Callable[[int], dict[str, Any]]] = {
    "growth_fast": lambda repeats: growth(FAST, repeats),
    "growth_varied": lambda repeats: growth(CAPPED, repeats),
    "variation_fast": lambda repeats: overhead(FAST, 900, repeats),
    "variation_varied": lambda repeats: overhead(CAPPED, 100, repeats),
    "busy_varied": lambda repeats: busy(),
}

if __name__ == "__main__":
    main()
