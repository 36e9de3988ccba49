"""CPU time of a step inside a world model of the paper's size, beside the released code.

    python benchmarks/bench_world_model_step.py [--copies 1 64 2048] [--repeats 7] [--json FILE]

A context of 1,000 transitions is encoded once, then copies of an environment step side by side: normalise state and
action, query, de-normalise, feed the next state back. Weights are random, which costs the same. With the paper's 4
heads, and with the 8 of the released inference scripts, which is the released code's own work. That runs in the same
run, one of its steps beside each of our repeats, if ``SYNTHENV_RELEASED_OSWM`` names a clone of it and
``SYNTHENV_SB3_PYTHON`` an interpreter with torch (see ``peers/README.md``); else the ratio is to what it was once
measured to do. One core; compilation is not charged, the encoding is told apart.
"""

import argparse
import json
import os
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

os.environ["JAX_PLATFORMS"] = "cpu"
if hasattr(os, "sched_setaffinity"):  # one core for us and, inherited, for the peer
    os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
os.environ["XLA_FLAGS"] = os.environ.get("XLA_FLAGS", "") + " --xla_cpu_multi_thread_eigen=false"

import jax
import jax.numpy as jnp
from comparison import HERE, run_peer

from synthenv.nets.transformer import Cache
from synthenv.worldmodel.paper.network import (
    NUM_COLUMNS,
    NUM_STATE,
    PRESETS,
    PaperModelConfig,
    encode_context,
    init,
    predict,
)

CONTEXT = 1000
ENOUGH = 128  # queries in a timed stretch, at least
RELEASED_MS = (
    1063.0  # CPU ms per step of the released code, measured once on another processor (a 2-core Xeon VM)
)


def cpu_ms(run: Callable[[], Any]) -> float:
    """CPU milliseconds of one call, to its end."""
    start = time.process_time()
    jax.block_until_ready(run())
    return 1e3 * (time.process_time() - start)


def make_step(config: PaperModelConfig) -> Callable[..., jax.Array]:
    """(params, cache, states [E, 11], actions [E, 3]) -> next states [E, 11], one environment at a time under vmap."""
    mean, std = jnp.zeros(NUM_COLUMNS), jnp.ones(NUM_COLUMNS)

    def step(params: Any, cache: Cache, state: jax.Array, action: jax.Array) -> jax.Array:
        x = (jnp.concatenate([state, action]) - mean) / std
        return (predict(params, config, cache, x) * std + mean)[:NUM_STATE]

    return jax.jit(jax.vmap(step, (None, None, 0, 0)))


def measure(
    name: str, params: Any, copies: list[int], repeats: int, peer_ms: Callable[[], float | None]
) -> dict[str, Any]:
    """Encoding and stepping with one preset; a step of the peer beside each repeat."""
    config = PRESETS[name]
    x, y = jax.random.normal(jax.random.key(1), (2, CONTEXT, NUM_COLUMNS))
    mask = jnp.ones(CONTEXT, bool)
    encode = jax.jit(lambda params, x, y: encode_context(params, config, x, y, mask))
    cache, step = encode(params, x, y), make_step(config)
    states = {n: jnp.zeros((n, NUM_STATE)) for n in copies}
    actions = {n: jax.random.normal(jax.random.key(2), (n, NUM_COLUMNS - NUM_STATE)) for n in copies}
    for n in copies:  # compile
        step(params, cache, states[n], actions[n]).block_until_ready()
    times: dict[int, list[float]] = {n: [] for n in copies}
    encoding, released = [], []
    for _ in range(repeats):
        encoding.append(cpu_ms(lambda: encode(params, x, y)))
        for n in copies:
            steps = max(1, ENOUGH // n)
            start = time.process_time()
            for _ in range(steps):  # as in a rollout: only the first one finds cold caches
                states[n] = step(params, cache, states[n], actions[n]).block_until_ready()
            times[n].append(1e3 * (time.process_time() - start) / (n * steps))
        released.append(peer_ms())
    return {
        "preset": name,
        "cpu_ms_to_encode": summary(encoding),
        "cpu_ms_per_step": {str(n): summary(times[n]) | compared(times[n], released) for n in copies},
    }


def summary(values: list[float]) -> dict[str, Any]:
    """Median and range, of milliseconds."""
    return {
        "median": round(statistics.median(values), 3),
        "range": [round(min(values), 3), round(max(values), 3)],
    }


def compared(ours: list[float], released: list[float | None]) -> dict[str, Any]:
    """How many of our steps take as long as one of the released code: median and range over pairs, if there are any."""
    pairs = [(us, them) for us, them in zip(ours, released, strict=True) if them is not None]
    if len(pairs) < len(ours):
        return {"ratio_to_stored": round(RELEASED_MS / statistics.median(ours))}
    ratios = sorted(them / us for us, them in pairs)
    return {"ratio": round(statistics.median(ratios)), "ratio_range": [round(ratios[0]), round(ratios[-1])]}


def main() -> None:
    """Print a line for each preset; write all."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--copies", type=int, nargs="+", default=[1, 64, 2048])
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--json", type=Path, default=HERE / "results" / "world_model_step.json")
    a = parser.parse_args()
    lines: list[dict[str, Any]] = []

    def peer_ms() -> float | None:
        code = os.environ.get("SYNTHENV_RELEASED_OSWM")
        note = {"note": "skipped: SYNTHENV_RELEASED_OSWM is not set"}
        lines.append(
            run_peer("released_oswm_step.py", "SYNTHENV_SB3_PYTHON", [0], code=code) if code else note
        )
        return lines[-1].get("median")

    params = jax.jit(init, static_argnums=1)(jax.random.key(0), PRESETS["paper"])
    results: dict[str, Any] = {"context": CONTEXT, "versions": {"jax": jax.__version__}}
    results["presets"] = [measure(name, params, a.copies, a.repeats, peer_ms) for name in PRESETS]
    absent = [line["note"] for line in lines if "note" in line]
    if absent:
        results["released_not_measured_in_this_run"] = {"cpu_ms_per_step": RELEASED_MS, "note": absent[0]}
    else:
        results["released"] = summary([line["median"] for line in lines]) | {"versions": lines[0]["versions"]}
    for row in results["presets"]:
        print(json.dumps(row))
    a.json.write_text(json.dumps(results, indent=1) + "\n")


if __name__ == "__main__":
    main()
