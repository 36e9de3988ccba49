"""Test returns of PPO after an equal number of steps, and steps per CPU second, against other packages.

    python benchmarks/bench_ppo.py [--tasks CartPole-v1 Pendulum-v1] [--json FILE]

Our defaults; the peers with the same settings and with their own, in the same run if ``SYNTHENV_SB3_PYTHON`` and
``SYNTHENV_REJAX_PYTHON`` name their interpreters (see ``peers/README.md``). Seeds are trained one after the other on
one core; compilation and tests are not charged.
"""

import argparse
import json
import os
import statistics
from dataclasses import replace
from functools import partial
from pathlib import Path

os.environ["JAX_PLATFORMS"] = "cpu"
if hasattr(os, "sched_setaffinity"):  # one core for us and, inherited, for the peers
    os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})

from comparison import HERE, run_peer, train_and_test

from synthenv.agents import ppo
from synthenv.agents.ppo_config import PPOConfig
from synthenv.agents.training.bucket import Bucket
from synthenv.agents.training.hyperparams import fixed_hyperparams
from synthenv.envs import registry

STEPS = {"CartPole-v1": 50_000, "Pendulum-v1": 100_000}
PEERS = (
    ("sb3_ppo.py", "SYNTHENV_SB3_PYTHON", ("ours", "own", "tuned")),
    ("rejax_ppo.py", "SYNTHENV_REJAX_PYTHON", ("ours", "own")),
)


def ours(task: str, seeds: list[int], num_tests: int) -> dict:
    """Train and test each seed."""
    spec = registry.make(task)
    config = replace(PPOConfig(), stop="none", max_steps=STEPS[task])
    space = spec.env.action_space(spec.env_params)
    agent = ppo.make(config, Bucket(config.depth, config.hidden_size), space)
    hyperparams = fixed_hyperparams(config, spec.solved_return)
    row = {"peer": "synthenv", "config": {"settings": "ours"}}
    return row | train_and_test(agent, spec, hyperparams, seeds, num_tests)


def main() -> None:
    """Print a line for each task, package and settings; write them if asked to."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--tasks", nargs="+", choices=sorted(STEPS), default=sorted(STEPS))
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2, 3, 4])
    parser.add_argument("--test-episodes", type=int, default=20)
    parser.add_argument("--json", type=Path, default=HERE / "results" / "ppo.json")
    a = parser.parse_args()
    results: dict[str, list[dict]] = json.loads(a.json.read_text()) if a.json.exists() else {}
    for task in a.tasks:
        rows = results[task] = []
        waiting = [partial(ours, task, a.seeds, a.test_episodes)]
        options = {"task": task, "steps": STEPS[task], "test_episodes": a.test_episodes}
        for script, variable, settings in PEERS:
            waiting += [partial(run_peer, script, variable, a.seeds, settings=s, **options) for s in settings]
        for measure in waiting:
            row = measure()
            rows.append(row)
            name = f"{task} {row['peer']} ({row['config']['settings']})"
            if "note" in row:
                print(f"{name}: {row['note']}", flush=True)
            else:
                mean, rate = statistics.mean(row["returns"]), statistics.median(row["steps_per_cpu_second"])
                print(
                    f"{name}: {mean:.0f} {row['returns']} after {row['steps'][0]} steps, {rate:,.0f} steps/s",
                    flush=True,
                )
            a.json.write_text(json.dumps(results, indent=1) + "\n")


if __name__ == "__main__":
    main()
