"""CPU cost of one environment step plus one gradient step, against other packages and against arithmetic.

    python benchmarks/bench_inner_loop.py [--only table3 table5 ...] [--json FILE]

Trains DDQN in a random synthetic CartPole, members one after the other as the executor for CPUs runs them, and
reads ``time.process_time``. Two lengths of the same trainings are timed with one compiled program and the cost is
their difference, as for the peers: compilation, drawing weights and warm-up cancel. ``whole training`` charges all of
that (but compilation) to a training of 10,000 steps. Stable-Baselines3 and rejax run in the same run if
``SYNTHENV_SB3_PYTHON`` and ``SYNTHENV_REJAX_PYTHON`` name their interpreters (see ``peers/README.md``).
"""

import argparse
import itertools
import json
import os
import statistics
import subprocess
import time
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

os.environ["JAX_PLATFORMS"] = "cpu"
if hasattr(os, "sched_setaffinity"):  # one core for us and, inherited, for the peers
    os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})

import jax
import jax.numpy as jnp
import numpy as np

from synthenv.agents import registry as agents
from synthenv.agents.off_policy_config import DDQNConfig
from synthenv.agents.presets import TABLE3_CARTPOLE, TABLE5
from synthenv.agents.training.bucket import Bucket
from synthenv.agents.training.hyperparams import sample
from synthenv.envs import registry
from synthenv.nets.mlp import ACTIVATIONS
from synthenv.outer.population import Workload, serve
from synthenv.outer.trial import TrialTask, make_trials
from synthenv.proxies import synthetic_env
from synthenv.proxies.config import SyntheticConfig
from synthenv.runs.training.trial_runner import TrialRunner, proxy_ground

HERE = Path(__file__).resolve().parent
RELEASED_US = (
    1200  # CPU us per step of the released PyTorch code, table 3, measured on the same kind of machine
)
EPISODE = 200  # a random synthetic CartPole never ends an episode early; checked below
SHORT = EPISODE  # the subtracted training: the warm-up episode and no gradient step


class Size(NamedTuple):
    """A row of the table: an agent, its synthetic environment, and about how many us a step will take."""

    label: str
    agent: DDQNConfig
    se_hidden: int
    guess: float


SIZES = {
    "table3": Size("1x57 tanh, batch 199", TABLE3_CARTPOLE, 83, 30),
    "2x64": Size("2x64 tanh, batch 199", replace(TABLE3_CARTPOLE, hidden_size=64, depth=2), 83, 85),
    "table5": Size("2x128 relu, batch 128", replace(TABLE5, init_episodes=1), 128, 140),
}
MEMBERS = (1, 16, 48, 256)
OURS = "synthenv"


class Bench:
    """One size: its compiled program and its tasks."""

    def __init__(self, size: Size):
        self.agent = replace(size.agent, stop="none", max_episodes=1_000_000)
        self.spec = registry.make("CartPole-v0")
        proxy = synthetic_env.make(
            self.spec.env, self.spec.env_params, SyntheticConfig(hidden_size=size.se_hidden)
        )
        self.ground, self.weights, _ = proxy_ground(proxy, proxy.init_params(jax.random.key(0)))
        self.runner = TrialRunner(self.agent, self.ground, self.spec, num_test_episodes=1)

    def workload(self, members: int, steps: int) -> Workload:
        """``members`` trainings of ``steps`` steps."""
        agent = replace(self.agent, max_steps=steps)
        hyperparams, buckets = sample(jax.random.key(0), agent, self.spec.solved_return, members)
        keys = np.asarray(jax.random.key_data(jax.random.split(jax.random.key(1), members)))
        tasks = TrialTask(keys, np.tile(self.weights, (members, 1)), hyperparams)
        return Workload(tasks, buckets, np.ones(members))

    def one_by_one(self, members: int, steps: int) -> float:
        """CPU seconds of the executor for CPUs."""
        workload = self.workload(members, steps)
        start = time.process_time()
        results = serve(self.runner.program, workload).results
        seconds = time.process_time() - start
        if (results.num_steps != steps).any() or (results.num_episodes != steps // EPISODE).any():
            raise RuntimeError(f"episodes of other than {EPISODE} steps: a step is not what it should be")
        return seconds

    def in_slots(self, width: int):
        """The executor for accelerators, on this core."""
        bucket = Bucket(self.agent.depth, self.agent.hidden_size, *[self.agent.batch_size] * 2)
        agent = agents.make(self.agent, bucket, self.spec.env.action_space(self.spec.env_params))
        trials = jax.jit(make_trials(agent, self.ground, self.spec, 1, width=width, chunk=50))

        def run(members: int, steps: int) -> float:
            tasks = self.workload(members, steps).tasks
            start = time.process_time()
            jax.block_until_ready(trials(tasks))
            return time.process_time() - start

        return run


def difference(run, members: int, steps: int, repeats: int) -> list[float]:
    """CPU us per member and step, once per repeat; every counted step has a gradient step."""
    run(members, SHORT)  # compile
    return [
        1e6 * (run(members, SHORT + steps) - run(members, SHORT)) / (members * steps) for _ in range(repeats)
    ]


def peer(script: str, variable: str, size: Size, *args: object) -> list[float] | str:
    """Run a peer at this size; the repeats, or why there are none."""
    python = os.environ.get(variable)
    if not python:
        return f"skipped: {variable} is not set"
    a = size.agent
    sizes = [
        "--hidden",
        a.hidden_size,
        "--depth",
        a.depth,
        "--activation",
        a.activation,
        "--batch",
        a.batch_size,
    ]
    command = [python, HERE / "peers" / script, *sizes, *args]
    done = subprocess.run([str(c) for c in command], capture_output=True, text=True)
    if done.returncode:
        return f"failed: {done.stderr.strip().splitlines()[-1]}"
    return json.loads(done.stdout.splitlines()[-1])["cpu_us_per_step"]


def per_call(function, *args: jax.Array, budget: float = 0.15) -> float:
    """CPU seconds of one call inside a compiled loop, best of five: a limit should not include noise."""
    loop = jax.jit(lambda n, *xs: jax.lax.fori_loop(0, n, lambda _, ys: function(*ys), xs))

    def seconds(n: int) -> float:
        start = time.process_time()
        jax.block_until_ready(loop(n, *args))
        return time.process_time() - start

    seconds(1)
    n = max(10, int(1000 * budget / max(seconds(1000), 1e-6)))
    return min((seconds(n) - seconds(1)) / n for _ in range(5))


def limit(size: Size) -> dict[str, float]:
    """Time of the bare arithmetic of a step at the speed of this core: products, and activations on top.

    Three forward passes on the batch (online twice, target once) and one backward pass without the gradient to
    the inputs. The step of the environment and the action are a three-hundredth of that and left out.
    """
    a = size.agent
    widths = [4, *[a.hidden_size] * a.depth, 2]
    weights = [i * o for i, o in itertools.pairwise(widths)]
    flops = 2 * a.batch_size * (3 * sum(weights) + sum(weights) + sum(weights[1:]))
    x = jax.random.normal(jax.random.key(0), (a.batch_size, a.hidden_size))
    square = jax.random.normal(jax.random.key(1), (a.hidden_size, a.hidden_size)) / a.hidden_size**0.5
    product = per_call(lambda x, k: (x @ k, k), x, square)
    act = ACTIVATIONS[a.activation]
    # As in a net: XLA's bare tanh takes three times as long as one fused with the bias of its layer.
    activate = lambda x, bias: (act(x + jnp.broadcast_to(bias, x.shape)), bias)  # noqa: E731
    activation = per_call(activate, x, jnp.zeros(a.hidden_size)) / x.size
    gflops = 2 * x.size * a.hidden_size / product / 1e9
    evaluations = 3 * x.size * a.depth
    return {
        "flops_per_step": flops,
        "gflops_per_s": gflops,
        "activations_per_step": evaluations,
        "ns_per_activation": 1e9 * activation,
        "us_products": flops / gflops / 1e3,
        "us_activations": 1e6 * evaluations * activation,
    }


def summary(values: list[float] | str) -> dict:
    """Median and range of the repeats."""
    if isinstance(values, str):
        return {"note": values}
    return {"us": statistics.median(values), "min": min(values), "max": max(values), "repeats": len(values)}


def measure(size: Size, seconds: float, repeats: int, peer_members: tuple[int, ...]) -> list[dict[str, Any]]:
    """All rows of one size; one repeat of ours takes about ``seconds``."""
    bench, rows = Bench(size), []

    def add(what: str, members: int, values: list[float] | str) -> None:
        rows.append({"what": what, "members": members} | summary(values))
        print(describe(rows[-1], rows), flush=True)

    print(f"\n{size.label}", flush=True)
    for members in MEMBERS:
        steps = EPISODE * max(1, min(50, round(seconds * 1e6 / size.guess / members / EPISODE)))
        add(OURS, members, difference(bench.one_by_one, members, steps, repeats))
    whole = [1e6 * bench.one_by_one(1, 10_000) / 10_000 for _ in range(repeats)]
    add("synthenv, whole training", 1, whole)
    add("synthenv, slots", 16, difference(bench.in_slots(16), 16, EPISODE, repeats))
    arguments = ["--steps", 1000, "--repeats", repeats]
    add("stable-baselines3", 1, peer("sb3_dqn.py", "SYNTHENV_SB3_PYTHON", size, *arguments))
    for sampling, updates in (("own", 2000), ("uniform", 20_000)):
        for members in peer_members:
            steps = max(20, min(2000, updates // members))
            arguments = ["--members", members, "--steps", steps, "--repeats", repeats, "--sampling", sampling]
            values = peer("rejax_dqn.py", "SYNTHENV_REJAX_PYTHON", size, *arguments)
            add(f"rejax, {sampling} replay", members, values)
    return rows


def describe(row: dict[str, Any], rows: list[dict[str, Any]]) -> str:
    """One line of the table; the ratio is to ours with as many members."""
    label = f"  {row['what']:26s} {row['members']:4d} members"
    if "note" in row:
        return f"{label}  {row['note']}"
    ours = next(r["us"] for r in rows if r["what"] == OURS and r["members"] == row["members"])
    return f"{label} {row['us']:8.1f} us ({row['min']:.1f} to {row['max']:.1f}) {row['us'] / ours:6.2f} times ours"


def main() -> None:
    """Measure, print, and add to the JSON file."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", nargs="+", choices=SIZES, default=list(SIZES))
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=0.6, help="CPU seconds of one repeat of ours, about")
    parser.add_argument("--peer-members", type=int, nargs="+", choices=MEMBERS, default=MEMBERS)
    parser.add_argument("--json", type=Path, default=HERE / "results" / "inner_loop.json")
    args = parser.parse_args()
    results = json.loads(args.json.read_text()) if args.json.exists() else {}
    args.json.parent.mkdir(parents=True, exist_ok=True)
    for name in args.only:
        size = SIZES[name]
        rows = measure(size, args.seconds, args.repeats, tuple(args.peer_members))
        bound = limit(size)
        ours = next(row["us"] for row in rows if row["what"] == OURS and row["members"] == 48)
        results[name] = {"label": size.label, "rows": rows, "limit": bound}
        print(
            f"  arithmetic alone: {bound['us_products']:.1f} us of products at {bound['gflops_per_s']:.0f} GFLOP/s"
        )
        print(
            f"    and {bound['us_activations']:.1f} us of activations at {bound['ns_per_activation']:.2f} ns"
        )
        if name == "table3":
            print(
                f"  released PyTorch code (not measured in this run): {RELEASED_US} us, {RELEASED_US / ours:.1f} times"
            )
            results[name]["released_us_not_measured_in_this_run"] = RELEASED_US
        args.json.write_text(json.dumps(results, indent=1) + "\n")


if __name__ == "__main__":
    main()
