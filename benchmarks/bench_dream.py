"""CPU time of dreaming: encoding a context, stepping, training PPO in the dream, and pretraining the small model.

    python benchmarks/bench_dream.py [--only steps ppo pretraining] [--copies 1 64 2048] [--repeats 5] [--json FILE]

A context of 1,000 transitions of Pendulum-v1 (held actions) is encoded by the experts alone and by the small model with
the weights that it starts from: speed does not depend on them. Then copies of the dream step side by side, as agents
step it, resets included; PPO trains there for 50,000 steps with the settings of ``synthenv oswm run``; and the small
model takes gradient steps of the default pretraining, whose batches (random tasks, and the experts fitted to each) are
timed apart. One core; compilation is not charged, but told. Medians and ranges of the repeats.
"""

import argparse
import json
import os
import statistics
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

os.environ["JAX_PLATFORMS"] = "cpu"
if hasattr(os, "sched_setaffinity"):
    os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
os.environ["XLA_FLAGS"] = os.environ.get("XLA_FLAGS", "") + " --xla_cpu_multi_thread_eigen=false"
os.environ["OPENBLAS_NUM_THREADS"] = "1"

import jax
from comparison import HERE

from synthenv.core.types import WorldModel
from synthenv.envs import registry
from synthenv.runs.oswm.pretrain.batches import Batches
from synthenv.runs.oswm.run.presets import dreaming_agent
from synthenv.runs.oswm.run.training import Trainer
from synthenv.worldmodel.context.action_strategies import Collection
from synthenv.worldmodel.context.collect import collect
from synthenv.worldmodel.context.context import Context
from synthenv.worldmodel.dream.env import EnvParams, WorldModelEnv, env_params
from synthenv.worldmodel.dream.known_ends import KNOWN
from synthenv.worldmodel.experts.world_model import EXPERTS
from synthenv.worldmodel.small import network as model
from synthenv.worldmodel.small import train_step as pretrain
from synthenv.worldmodel.small import world_model as small_model
from synthenv.worldmodel.small.network import ModelConfig
from synthenv.worldmodel.small.train_step import PretrainConfig

TASK, CONTEXT, PPO_STEPS = "Pendulum-v1", 1000, 50_000
ENOUGH = 256  # dreamt steps in a timed stretch, at least


def small() -> WorldModel:
    """The small model with the weights that pretraining starts from."""
    config = ModelConfig()
    params: Any = jax.jit(model.init, static_argnums=1)(jax.random.key(0), config)
    return small_model.make(params, config)


MODELS = {"experts": lambda: EXPERTS, "small": small}


def timed(run: Callable[[], Any]) -> tuple[float, float, Any]:
    """CPU and wall seconds of one call, to its end, and what it returns."""
    wall, cpu = time.perf_counter(), time.process_time()
    result = jax.block_until_ready(run())
    return time.process_time() - cpu, time.perf_counter() - wall, result


def summary(values: list[float], digits: int = 4) -> dict[str, Any]:
    """Median and range."""
    return {
        "median": round(statistics.median(values), digits),
        "range": [round(min(values), digits), round(max(values), digits)],
    }


def dream_of(
    world_model: WorldModel, context: Context, repeats: int
) -> tuple[Any, EnvParams, dict[str, Any]]:
    """The dreamt environment, its params, and CPU seconds of encoding."""

    def encode() -> Any:
        return world_model.encode(world_model.params, context.transitions, context.num_actions)

    first, _, cache = timed(encode)
    took = [timed(encode)[0] for _ in range(repeats)]
    env = WorldModelEnv(
        f"dream of {TASK}",
        world_model.predict,
        KNOWN[TASK],
        context.actions,
        context.obs_size,
    )
    encoding = {"cpu_seconds_to_encode": summary(took), "first_with_compilation": round(first, 1)}
    return env, env_params(cache, context, registry.make(TASK).max_steps), encoding


def step_times(env: Any, params: EnvParams, copies: list[int], repeats: int) -> dict[str, Any]:
    """CPU microseconds per step and steps per CPU second, by the number of copies."""
    results = {}
    for num in copies:
        reset = jax.jit(jax.vmap(env.reset, (0, None)))
        step = jax.jit(jax.vmap(env.step, (0, 0, 0, None)))
        keys = jax.random.split(jax.random.key(0), num)
        action = jax.random.uniform(jax.random.key(1), (num, 1), minval=-2.0, maxval=2.0)
        _, state = reset(keys, params)
        state = jax.block_until_ready(step(keys, state, action, params))[1]
        rounds, took = max(1, ENOUGH // num), []
        for _ in range(repeats):
            start = time.process_time()
            for _ in range(rounds):
                state = jax.block_until_ready(step(keys, state, action, params))[1]
            took.append(1e6 * (time.process_time() - start) / (rounds * num))
        results[str(num)] = {
            "cpu_us_per_step": summary(took, 2),
            "steps_per_cpu_second": round(1e6 / statistics.median(took)),
        }
    return results


def ppo_times(env: Any, params: EnvParams, repeats: int) -> dict[str, Any]:
    """CPU and wall seconds of 50,000 steps of PPO in the dream."""
    trainer = Trainer(dreaming_agent("ppo", TASK, PPO_STEPS), env)
    first = timed(partial(trainer.train, jax.random.key(0), params))[1]
    runs = [timed(partial(trainer.train, jax.random.key(seed), params)) for seed in range(repeats)]
    return {
        "steps": runs[0][2][1],
        "cpu_seconds": summary([cpu for cpu, _, _ in runs], 2),
        "wall_seconds": summary([wall for _, wall, _ in runs], 2),
        "first_with_compilation_wall_seconds": round(first, 1),
    }


def pretraining_times(repeats: int) -> dict[str, Any]:
    """CPU seconds of batches and gradient steps by the number of context rows, one thread."""
    config = PretrainConfig()
    key_params, key_batches = jax.random.split(jax.random.key(0))
    state = pretrain.init(key_params, config)
    step = jax.jit(partial(pretrain.train_step, config=config))
    by_size: dict[str, Any] = {}
    with Batches(key_batches, config, 0, num_workers=1) as batches:
        for size in sorted(set(config.context_sizes)):
            state, _ = jax.block_until_ready(step(state, batches.make(0, size)))  # compile
            preparing, stepping = [], []
            for index in range(repeats):
                seconds, _, examples = timed(partial(batches.make, 1 + index, size))
                preparing.append(seconds)
                seconds, _, (state, _) = timed(partial(step, state, examples))
                stepping.append(seconds)
            by_size[str(size)] = {
                "share_of_batches": round(config.context_sizes.count(size) / len(config.context_sizes), 3),
                "cpu_seconds_of_a_batch": summary(preparing),
                "cpu_seconds_of_a_gradient_step": summary(stepping),
            }
    return {
        "tasks_in_a_batch": config.prior.batch_size,
        "queries_of_a_task": config.prior.num_queries,
        "parameters": sum(leaf.size for leaf in jax.tree.leaves(state.params)),
        "by_context_rows": by_size,
    }


def main() -> None:
    """Print a line for each measurement; write all."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    sections = ("steps", "ppo", "pretraining")
    parser.add_argument("--only", nargs="+", choices=sections, default=list(sections))
    parser.add_argument("--copies", type=int, nargs="+", default=[1, 64, 2048])
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--json", type=Path, default=HERE / "results" / "dream.json")
    args = parser.parse_args()
    results = json.loads(args.json.read_text()) if args.json.exists() else {}
    results |= {"task": TASK, "context": CONTEXT, "versions": {"jax": jax.__version__}}

    def keep(section: str, found: Any) -> None:
        results[section] = found
        print(section, json.dumps(found), flush=True)
        args.json.write_text(json.dumps(results, indent=1) + "\n")

    if {"steps", "ppo"} & set(args.only):
        context = collect(jax.random.key(0), registry.make(TASK), Collection("held", CONTEXT))
        for name, make in MODELS.items():
            env, params, encoding = dream_of(make(), context, args.repeats)
            if "steps" in args.only:
                keep(f"steps_{name}", encoding | step_times(env, params, args.copies, args.repeats))
            if "ppo" in args.only:
                keep(f"ppo_{name}", ppo_times(env, params, args.repeats))
    if "pretraining" in args.only:
        keep("pretraining", pretraining_times(args.repeats))


if __name__ == "__main__":
    main()
