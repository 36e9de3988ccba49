"""Off-policy agents: test returns after an equal number of steps, and steps per CPU second, beside other packages.

    python benchmarks/bench_off_policy.py [--only returns speed] [--tasks CartPole-v0] [--json FILE]

``returns`` trains DDQN, Dueling DDQN and discrete TD3 on CartPole-v1, discrete TD3 on CartPole-v0 too, the task of its
settings, and TD3 on Pendulum-v1; and the DQN and TD3 of Stable-Baselines3 in the same run if ``SYNTHENV_SB3_PYTHON``
names its interpreter (see ``peers/README.md``). ``speed`` times the agents of table 5 on CartPole-v0, two lengths of
one training by one compiled program and their difference, beside the released PyTorch code, in turn, if
``SYNTHENV_RELEASED_CODE`` names a clone of it, else beside what it was once measured to do. One core; compilation and
tests are not charged.
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
if hasattr(os, "sched_setaffinity"):  # one core for us and, inherited, for the peers
    os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
os.environ["XLA_FLAGS"] = os.environ.get("XLA_FLAGS", "") + " --xla_cpu_multi_thread_eigen=false"

import jax
import numpy as np
from comparison import HERE, run_peer, train_and_test

from synthenv.agents import registry as agents
from synthenv.agents.config import AgentConfig
from synthenv.agents.presets import AGENTS
from synthenv.agents.training.bucket import Bucket
from synthenv.agents.training.hyperparams import fixed_hyperparams
from synthenv.envs import registry
from synthenv.runs.statistics.intervals import bootstrap_interval

STEPS = {"CartPole-v1": 30_000, "CartPole-v0": 30_000, "Pendulum-v1": 10_000}
# Warm-ups of about 200 (CartPole) and 1,000 steps (Pendulum). Discrete TD3 as in table 5, made for SEs, and acting on
# one-hot samples at the first temperature throughout: the best mean of nine settings that were tried on CartPole-v1
# with other seeds, outside of this file.
HARD = {"temperature_mode": "fixed", "one_hot": True}
ROWS = (
    ("CartPole-v1", "ddqn", 10, {}),
    ("CartPole-v1", "dueling_ddqn", 10, {}),
    ("CartPole-v1", "td3_discrete", 10, {}),
    ("CartPole-v1", "td3_discrete", 10, HARD),
    ("CartPole-v0", "td3_discrete", 10, {}),
    ("CartPole-v0", "td3_discrete", 10, HARD),
    ("Pendulum-v1", "td3", 5, {}),
)
# Names in the released code, and its steps per CPU second where it was first measured, on another processor.
RELEASED = {
    "ddqn": ("ddqn", 542),
    "dueling_ddqn": ("duelingddqn", 238),
    "td3_discrete": ("td3_discrete_vary", 267),
}
SHORT, LONG = 1000, 4000


def build(name: str, task: str, **changes: Any) -> tuple[Any, Any, AgentConfig]:
    """An agent of table 5 (TD3: table 17) that trains for a fixed number of steps."""
    spec = registry.make(task)
    config = replace(AGENTS[name], stop="none", max_episodes=1_000_000, **changes)
    bucket = Bucket(config.depth, config.hidden_size, *[config.batch_size] * 2)  # type: ignore[attr-defined]
    return agents.make(config, bucket, spec.env.action_space(spec.env_params)), spec, config


def returns(
    task: str, name: str, init_episodes: int, changes: dict[str, Any], seeds: list[int], num_tests: int
) -> dict[str, Any]:
    """Train and test each seed."""
    agent, spec, config = build(name, task, max_steps=STEPS[task], init_episodes=init_episodes, **changes)
    hyperparams = fixed_hyperparams(config, spec.solved_return)
    row = {"peer": f"synthenv {name}", "config": {"settings": "ours", **changes}}
    return row | train_and_test(agent, spec, hyperparams, seeds, num_tests)


def speed(name: str, repeats: int) -> dict[str, Any]:
    """Steps per CPU second, each with a gradient step, once per repeat, in turn with the released code."""
    agent, spec, config = build(name, "CartPole-v0", init_episodes=1, buffer_size=20_000)
    hyperparams = fixed_hyperparams(config, spec.solved_return)
    train = jax.jit(lambda key, h: agent.train(key, spec.env, spec.env_params, h).num_steps)

    def seconds(seed: int, steps: int) -> float:
        start = time.process_time()
        jax.block_until_ready(
            train(jax.random.key(seed), hyperparams.replace(max_steps=jax.numpy.int32(steps)))
        )
        return time.process_time() - start

    seconds(0, SHORT)  # compile
    ours, theirs = [], []
    for seed in range(repeats):
        ours.append((LONG - SHORT) / (seconds(seed, LONG) - seconds(seed, SHORT)))
        theirs.append(released(name, seed))
    return {"agent": name, "steps_per_cpu_second": [round(r) for r in ours]} | compared(name, ours, theirs)


def released(name: str, seed: int) -> dict[str, Any]:
    """The line that the released code's agent prints."""
    code = os.environ.get("SYNTHENV_RELEASED_CODE")
    if not code:
        return {"note": "skipped: SYNTHENV_RELEASED_CODE is not set"}
    options = {"code": code, "agent": RELEASED[name][0]}
    return run_peer("released_off_policy.py", "SYNTHENV_SB3_PYTHON", [seed], **options)


def compared(name: str, ours: list[float], theirs: list[dict[str, Any]]) -> dict[str, Any]:
    """Medians and their ratio; with what was once measured where the released code did not run."""
    median = statistics.median(ours)
    rates = [rate for line in theirs for rate in line.get("steps_per_cpu_second", [])]
    if len(rates) < len(theirs):
        note = next(line["note"] for line in theirs if "note" in line)
        once = RELEASED[name][1]
        found = {"released_not_measured_in_this_run": once, "note": note, "ratio": round(median / once, 1)}
    else:
        ratios = sorted(us / them for us, them in zip(ours, rates, strict=True))
        found = {
            "released_steps_per_cpu_second": rates,
            "released_median": round(statistics.median(rates)),
            "released_versions": theirs[0]["versions"],
            "ratio": round(statistics.median(ratios), 1),
            "ratio_range": [round(ratios[0], 1), round(ratios[-1], 1)],
        }
    return {"median": round(median)} | found


def main() -> None:
    """Print a line for each measurement; write all."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", nargs="+", choices=["returns", "speed"], default=["returns", "speed"])
    parser.add_argument("--tasks", nargs="+", choices=list(STEPS), default=list(STEPS))
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2, 3, 4])
    parser.add_argument("--test-episodes", type=int, default=20)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--json", type=Path, default=HERE / "results" / "off_policy.json")
    a = parser.parse_args()
    results: dict[str, Any] = json.loads(a.json.read_text()) if a.json.exists() else {}

    def keep(what: str, rows: list[dict[str, Any]]) -> None:
        print(json.dumps(rows[-1]), flush=True)
        results[what] = rows
        a.json.write_text(json.dumps(results, indent=1) + "\n")

    if "speed" in a.only:
        rows: list[dict[str, Any]] = []
        for name in RELEASED:
            rows.append(speed(name, a.repeats))
            keep("speed", rows)
    if "returns" in a.only:
        for task in a.tasks:
            rows = []
            for _, *row in (row for row in ROWS if row[0] == task):
                rows.append(returns(task, *row, a.seeds, a.test_episodes))
                keep(task, [with_interval(row) for row in rows])
            for settings in ("ours", "own"):
                options = {
                    "task": task,
                    "steps": STEPS[task],
                    "test_episodes": a.test_episodes,
                    "settings": settings,
                }
                rows.append(run_peer("sb3_off_policy.py", "SYNTHENV_SB3_PYTHON", a.seeds, **options))
                keep(task, [with_interval(row) for row in rows])


def with_interval(row: dict[str, Any]) -> dict[str, Any]:
    """The mean return over seeds and its 95 % bootstrap interval, if there are any."""
    if "returns" not in row:
        return row
    values = np.array(row["returns"])
    return row | {"mean_return": float(values.mean()), "ci95_return": bootstrap_interval(values)}


if __name__ == "__main__":
    main()
