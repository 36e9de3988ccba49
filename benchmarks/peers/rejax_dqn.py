"""CPU seconds per member and (environment step + gradient step) of rejax's DQN on CartPole-v1.

Stands alone: run it with the interpreter of an environment made from ``requirements-rejax.txt``. Prints one
JSON line. ``jit(vmap(train))`` over the members' seeds is compiled for two lengths: one that ends just before
the first update and one that is ``--steps`` training steps longer. The cost is the difference of their
``time.process_time``, so that neither compilation nor making and filling the replay buffer is counted.
"""

import argparse
import json
import os
import statistics
import time
from importlib.metadata import version

os.environ["XLA_FLAGS"] = "--xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1"
os.environ["JAX_PLATFORMS"] = "cpu"
if hasattr(os, "sched_setaffinity"):  # the flags alone leave XLA's thread pool as wide as the machine
    os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})

import jax
from flax import linen as nn
from rejax import DQN
from rejax.buffers import ReplayBuffer
from rejax.networks import DiscreteQNetwork, EpsilonGreedyPolicy


def parse():
    """Command line of the benchmark."""
    p = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    p.add_argument("--hidden", type=int, default=57)
    p.add_argument("--depth", type=int, default=1)
    p.add_argument("--activation", choices=["relu", "tanh"], default="tanh")
    p.add_argument("--batch", type=int, default=199)
    p.add_argument("--buffer", type=int, default=100_000)
    sampling = "own: as shipped, without replacement; uniform: replaced by draws with replacement"
    p.add_argument("--sampling", choices=["own", "uniform"], default="own", help=sampling)
    p.add_argument("--members", type=int, default=48)
    p.add_argument("--steps", type=int, default=1000, help="measured steps of each repeat")
    p.add_argument("--repeats", type=int, default=3)
    p.add_argument("--lr", type=float, default=1e-3)
    p.add_argument("--tau", type=float, default=0.01)
    p.add_argument("--epsilon", type=float, default=0.1, help="constant exploration rate")
    p.add_argument("--seed", type=int, default=0)
    return p.parse_args()


def sample_uniform(self, num, rng):
    """Draw a minibatch with replacement, in time independent of the buffer's size."""
    index = jax.random.randint(rng, (num,), 0, self.num_entries)
    return jax.tree.map(lambda x: x[index], self.data)


def build(a, train_steps):
    """``jit(vmap(train))`` of a DDQN that fills one batch and then makes ``train_steps`` training steps."""
    if a.sampling == "uniform":
        ReplayBuffer.sample = sample_uniform
    total = a.batch + 1 + train_steps  # updates begin once more than fill_buffer steps were made
    replay = {"num_epochs": 1, "buffer_size": a.buffer, "fill_buffer": a.batch, "batch_size": a.batch}
    explore = {"eps_start": a.epsilon, "eps_end": a.epsilon, "exploration_fraction": 1.0}
    length = {"total_timesteps": total, "eval_freq": total, "skip_initial_evaluation": True}
    algo = DQN.create(
        env="CartPole-v1",
        num_envs=1,
        ddqn=True,
        gamma=0.99,
        learning_rate=a.lr,
        target_update_freq=1,
        polyak=1 - a.tau,
        **(replay | explore | length),
    )
    layers, activation = (a.hidden,) * a.depth, getattr(nn, a.activation)
    network = EpsilonGreedyPolicy(DiscreteQNetwork)  # put in here: create() accepts no layer sizes
    agent = network(hidden_layer_sizes=layers, activation=activation, action_dim=algo.action_dim)
    algo = algo.replace(agent=agent, eval_callback=lambda algo, ts, rng: ())

    def train(key):
        ts, _ = algo.train(key)
        return ts.q_ts, ts.q_target_params  # and not the replay buffers

    return jax.jit(jax.vmap(train))


def timed(fn, keys):
    """CPU and wall seconds of one call, and its result."""
    c0, w0 = time.process_time(), time.perf_counter()
    out = jax.block_until_ready(fn(keys))
    return time.process_time() - c0, time.perf_counter() - w0, out


def main():
    """Compile both lengths, time the repeats, print the JSON line."""
    a = parse()
    keys = jax.random.split(jax.random.PRNGKey(a.seed), a.members)
    fill, full = build(a, 0), build(a, a.steps)
    updates = [int(timed(fn, keys)[2][0].step[0]) for fn in (fill, full)]  # compiles
    if updates != [0, a.steps]:
        raise RuntimeError(f"{updates} gradient steps, expected {[0, a.steps]}")
    cpu, wall = [], []
    for _ in range(a.repeats):
        (c0, w0, _), (c1, w1, _) = timed(fill, keys), timed(full, keys)
        cpu.append(1e6 * (c1 - c0) / (a.steps * a.members))
        wall.append(1e6 * (w1 - w0) / (a.steps * a.members))
    out = {
        "peer": "rejax",
        "version": version("rejax"),
        "versions": {name: version(name) for name in ("jax", "gymnax", "flax", "optax")},
        "config": vars(a) | {"double_q": True},
        "members": a.members,
        "cpu_us_per_step": [round(x, 3) for x in cpu],
        "median": round(statistics.median(cpu), 3),
        "wall_us_per_step": [round(x, 3) for x in wall],
    }
    print(json.dumps(out))


if __name__ == "__main__":
    main()
