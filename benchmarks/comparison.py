"""Training and testing several seeds of an agent of ours, and of a peer in an environment of its own."""

import json
import os
import subprocess
import time
from pathlib import Path
from typing import Any

import jax

from synthenv.core.types import Agent
from synthenv.envs.registry import EnvSpec
from synthenv.envs.rollout import evaluate

HERE = Path(__file__).resolve().parent


def run_peer(script: str, variable: str, seeds: list[int], **options: Any) -> dict[str, Any]:
    """The line that a script in ``peers/`` prints, or why there is none.

    Args:
        script: its name.
        variable: environment variable that names the interpreter.
        seeds: passed as ``--seeds``.
        options: passed as ``--name value``.
    """
    absent = {"peer": script, "config": {"settings": options.get("settings", "own")}}
    python = os.environ.get(variable)
    if not python:
        return absent | {"note": f"skipped: {variable} is not set"}
    words = [x for name, value in options.items() for x in (f"--{name.replace('_', '-')}", value)]
    command = [python, HERE / "peers" / script, *words, "--seeds", *seeds]
    done = subprocess.run([str(c) for c in command], capture_output=True, text=True)
    if done.returncode:
        return absent | {"note": f"failed: {done.stderr.strip().splitlines()[-1]}"}
    return json.loads(done.stdout.splitlines()[-1])


def train_and_test(
    agent: Agent, spec: EnvSpec, hyperparams: Any, seeds: list[int], num_tests: int
) -> dict[str, list[Any]]:
    """Mean test return, steps, and steps per CPU second of each seed; compilation and tests are not charged."""

    def train(key: jax.Array) -> Any:
        return agent.train(key, spec.env, spec.env_params, hyperparams)

    def test(key: jax.Array, params: Any) -> jax.Array:
        act = lambda key, obs: agent.act(key, params, obs)  # noqa: E731
        return evaluate(key, spec.env, spec.env_params, act, num_tests, spec.max_steps).returns.mean()

    compiled, tested = jax.jit(train).lower(jax.random.key(0)).compile(), jax.jit(test)
    out: dict[str, list[Any]] = {"returns": [], "steps": [], "steps_per_cpu_second": []}
    for seed in seeds:
        start = time.process_time()
        trained = jax.block_until_ready(compiled(jax.random.key(seed)))
        seconds = time.process_time() - start
        out["returns"].append(round(float(tested(jax.random.key(10_000 + seed), trained.params)), 1))
        out["steps"].append(int(trained.num_steps))
        out["steps_per_cpu_second"].append(round(int(trained.num_steps) / seconds))
    return out
