"""Agents that no search of ours knew, trained in every shipped synthetic environment and bandit, tested for real.

    python benchmarks/bench_strangers.py [--agents es dqn ppo ppo_short] [--seeds 0 1 2 3 4] [--json FILE]

DQN and PPO of Stable-Baselines3, if ``SYNTHENV_SB3_PYTHON`` names their interpreter (see ``peers/README.md``), and a
policy that evosax's OpenES evolves from returns in the proxy alone, without a gradient. 20 greedy episodes of
gymnasium's own task each. A training that is in the JSON file already is not run again; seeds come one after the other,
so that a run that is stopped has some of every proxy. About 60 CPU-minutes on a slow, busy core.
"""

import argparse
import importlib.metadata
import json
import os
import subprocess
import time
import warnings
from pathlib import Path
from typing import Any

os.environ["JAX_PLATFORMS"] = "cpu"

import evosax.algorithms
import gymnasium
import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax.flatten_util import ravel_pytree

import synthenv
from synthenv.core.files import write_atomic
from synthenv.nets.mlp import apply_mlp, init_mlp
from synthenv.runs.statistics.intervals import bootstrap_interval
from synthenv.zoo import registry as zoo

HERE = Path(__file__).resolve().parent
NUM_TESTS = 20
AGENTS = ["es", "dqn", "ppo", "ppo_short"]
# The evolution strategy: policies of one hidden layer, the same synthetic episodes for all of a generation, in which a
# share of the actions is random, as with any agent that explores.
HIDDEN, POPULATION, GENERATIONS, EPISODES, MAX_STEPS, STD, STEP_SIZE = 16, 128, 150, 64, 4, 0.3, 0.05
EXPLORATION = 0.3


def evolve(env: Any, params: Any, key: jax.Array) -> Any:
    """The mean policy of the last generation. Nothing but returns of synthetic episodes is looked at."""
    net = init_mlp(key, env.obs_size, HIDDEN, env.num_actions, 1)
    flat, unravel = ravel_pytree(net)
    algorithm = evosax.algorithms.Open_ES(
        POPULATION, flat, optimizer=optax.adam(STEP_SIZE), std_schedule=optax.constant_schedule(STD)
    )

    def episode(flat: jax.Array, key: jax.Array) -> jax.Array:
        def step(carry: Any, key: jax.Array) -> tuple[Any, None]:
            obs, state, total, running = carry
            key_random, key_action = jax.random.split(key)
            best = jnp.argmax(apply_mlp(unravel(flat), obs, "tanh"))
            any_action = jax.random.randint(key_action, (), 0, env.num_actions)
            action = jnp.where(jax.random.uniform(key_random) < EXPLORATION, any_action, best)
            obs, state, reward, terminated, _ = env.step_env(key, state, action, params)
            ended = terminated | env.is_truncated(state, params)
            return (obs, state, total + running * reward, running & ~ended), None

        start = (*env.reset_env(key, params), jnp.float32(0), jnp.bool_(True))
        return jax.lax.scan(step, start, jax.random.split(key, MAX_STEPS))[0][2]

    def generation(state: Any, key: jax.Array) -> tuple[Any, None]:
        key_ask, key_play, key_tell = jax.random.split(key, 3)
        members, state = algorithm.ask(key_ask, state, algorithm.default_params)
        starts = jax.random.split(key_play, EPISODES)
        returns = jax.vmap(lambda flat: jax.vmap(lambda key: episode(flat, key))(starts).mean())(members)
        ranks = jnp.argsort(jnp.argsort(returns)) / (POPULATION - 1) - 0.5
        return algorithm.tell(key_tell, members, -ranks, state, algorithm.default_params)[0], None

    start = algorithm.init(key, flat, algorithm.default_params)
    state, _ = jax.lax.scan(generation, start, jax.random.split(key, GENERATIONS))
    return unravel(algorithm.get_mean(state))


def evolve_and_test(proxy: str, seed: int) -> dict[str, Any]:
    """One evolved policy and its returns on the real task."""
    env, params = synthenv.make(proxy)
    start = time.process_time()
    net = jax.block_until_ready(EVOLVE(env, params, jax.random.key(seed)))
    seconds = time.process_time() - start
    return {
        "returns": test(net, task_of(proxy), 10_000 + 100 * seed),
        "steps": GENERATIONS * POPULATION * EPISODES * int(params.max_steps_in_episode),
        "cpu_seconds": round(seconds, 1),
        "version": importlib.metadata.version("evosax"),
    }


EVOLVE = jax.jit(evolve, static_argnums=0)


def test(net: Any, task: str, seed: int) -> list[float]:
    """Returns of greedy episodes of gymnasium's task, the same ones that the peers are tested on."""
    (first, last), returns = jax.device_get(net), []
    for i in range(NUM_TESTS):
        env = gymnasium.make(task)
        obs, total, over = env.reset(seed=seed + i)[0], 0.0, False
        while not over:
            logits = np.tanh(obs @ first.kernel + first.bias) @ last.kernel + last.bias
            obs, reward, terminated, truncated, _ = env.step(int(logits.argmax()))
            total, over = total + float(reward), terminated or truncated
        returns.append(total)
    return returns


def task_of(proxy: str) -> str:
    """The real task of a shipped proxy."""
    return proxy.split("/")[1].split(":")[0]


def peer_of(agents: list[str]) -> subprocess.Popen[str] | None:
    """The process that trains the agents of Stable-Baselines3; None if there is none to train or no interpreter."""
    python = os.environ.get("SYNTHENV_SB3_PYTHON")
    if not python or agents == ["es"]:
        return None
    command = [python, str(HERE / "peers" / "sb3_strangers.py"), "--test-episodes", str(NUM_TESTS)]
    environment = os.environ | {"PYTHONPATH": str(HERE.parent)}
    return subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment
    )


def ask(peer: subprocess.Popen[str], question: str) -> dict[str, Any]:
    """The answer of the peer to one line."""
    assert peer.stdin is not None and peer.stdout is not None
    print(question, file=peer.stdin, flush=True)
    answer = peer.stdout.readline()
    if not answer:
        raise RuntimeError(f"the peer died at {question!r}: see above")
    return json.loads(answer)


def summarise(rows: dict[str, Any]) -> None:
    """Print means over seeds of each proxy and over all trainings of its kind, as rows of a Markdown table."""
    found: dict[tuple[str, str], dict[str, list[float]]] = {}
    for name, row in rows.items():
        proxy, agent, _ = name.split()
        each = found.setdefault((proxy.split(":")[0], agent), {})
        each.setdefault(proxy, []).append(float(np.mean(row["returns"])))
    print("| proxies | agent | mean [95 % interval] | worst training | means of the proxies | seeds |")
    print("|---|---|---|---|---|---|")
    for (kind, agent), each in sorted(found.items()):
        values = np.array([x for own in each.values() for x in own])
        low, high = bootstrap_interval(values)
        means = ", ".join(f"{np.mean(own):.1f}" for _, own in sorted(each.items()))
        num = sorted({len(own) for own in each.values()})
        print(
            f"| {kind} | {agent} | {values.mean():.1f} [{low:.1f}, {high:.1f}] | {values.min():.1f} | {means}"
            f" | {' to '.join(map(str, num))} |"
        )


def main() -> None:
    """Train and test whatever is missing, write it as it comes, and print the table of what was asked for."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--agents", nargs="+", choices=AGENTS, default=AGENTS)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2, 3, 4])
    parser.add_argument("--json", type=Path, default=HERE / "results" / "strangers.json")
    a = parser.parse_args()
    warnings.filterwarnings("ignore", message=".*out of date.*")  # CartPole-v0 is the papers' task
    rows: dict[str, Any] = json.loads(a.json.read_text()) if a.json.exists() else {}
    proxies = [name for kind in ("synthetic/", "bandit/") for name in zoo.names() if name.startswith(kind)]
    todo = [
        (proxy, agent, seed)
        for seed in a.seeds
        for proxy in proxies
        for agent in a.agents
        if f"{proxy} {agent} {seed}" not in rows
    ]
    peer = peer_of(a.agents) if todo else None
    if peer is None and a.agents != ["es"] and todo:
        print("all but es are skipped: SYNTHENV_SB3_PYTHON is not set")
    for proxy, agent, seed in todo:
        if agent != "es" and peer is None:
            continue
        name = f"{proxy} {agent} {seed}"
        row = evolve_and_test(proxy, seed) if agent == "es" else ask(peer, name)
        rows[name] = row
        write_atomic(a.json, (json.dumps(rows, indent=1) + "\n").encode())
        print(f"{name}: {np.mean(row['returns']):.1f} after {row['steps']} steps", flush=True)
    if peer is not None and peer.stdin is not None:
        peer.stdin.close()
        peer.wait()
    summarise(
        {
            name: row
            for name, row in rows.items()
            if name.split()[1] in a.agents and int(name.split()[2]) in a.seeds
        }
    )


if __name__ == "__main__":
    main()
