"""CPU seconds per (environment step + gradient step) of Stable-Baselines3's DQN on CartPole-v1.

Stands alone: run it with the interpreter of an environment made from ``requirements-sb3.txt``. Prints one
JSON line. The cost is ``time.process_time`` over ``learn`` calls after warm-up, divided by the number of
steps; one step is one environment step, one replay sample, one Adam step and one Polyak update.
"""

import argparse
import json
import os
import statistics
import time

os.environ.setdefault("OMP_NUM_THREADS", "1")

import gymnasium as gym
import stable_baselines3
import torch

ACTIVATIONS = {"tanh": torch.nn.Tanh, "relu": torch.nn.ReLU}


def parse():
    """Command line of the benchmark."""
    p = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    p.add_argument("--hidden", type=int, default=57)
    p.add_argument("--depth", type=int, default=1)
    p.add_argument("--activation", choices=sorted(ACTIVATIONS), default="tanh")
    p.add_argument("--batch", type=int, default=199)
    p.add_argument("--buffer", type=int, default=100_000)
    p.add_argument("--steps", type=int, default=3000, help="measured steps of each repeat")
    p.add_argument("--repeats", type=int, default=3)
    p.add_argument("--warmup", type=int, default=300, help="unmeasured training steps")
    p.add_argument("--lr", type=float, default=1e-3)
    p.add_argument("--tau", type=float, default=0.01)
    p.add_argument("--epsilon", type=float, default=0.1, help="constant exploration rate")
    p.add_argument("--seed", type=int, default=0)
    return p.parse_args()


def build(a):
    """The DQN agent: one gradient step and one Polyak update for each environment step."""
    return stable_baselines3.DQN(
        "MlpPolicy",
        gym.make("CartPole-v1"),
        learning_rate=a.lr,
        buffer_size=a.buffer,
        learning_starts=a.batch,
        batch_size=a.batch,
        tau=a.tau,
        gamma=0.99,
        train_freq=1,
        gradient_steps=1,
        target_update_interval=1,
        exploration_initial_eps=a.epsilon,
        exploration_final_eps=a.epsilon,
        policy_kwargs={"net_arch": [a.hidden] * a.depth, "activation_fn": ACTIVATIONS[a.activation]},
        device="cpu",
        seed=a.seed,
    )


def main():
    """Warm up, time the repeats, print the JSON line."""
    a = parse()
    torch.set_num_threads(1)
    model = build(a)
    model.learn(a.batch + a.warmup, log_interval=None)  # fill one batch, then train unmeasured
    cpu, wall = [], []
    for _ in range(a.repeats):
        updates, c0, w0 = model._n_updates, time.process_time(), time.perf_counter()
        model.learn(a.steps, reset_num_timesteps=False, log_interval=None)
        c1, w1 = time.process_time(), time.perf_counter()
        if model._n_updates - updates != a.steps:
            raise RuntimeError(f"{model._n_updates - updates} gradient steps in {a.steps} environment steps")
        cpu.append(1e6 * (c1 - c0) / a.steps)
        wall.append(1e6 * (w1 - w0) / a.steps)
    out = {
        "peer": "stable-baselines3",
        "version": stable_baselines3.__version__,
        "versions": {"torch": torch.__version__, "gymnasium": gym.__version__},
        "config": vars(a) | {"double_q": False, "sampling": "with replacement"},
        "members": 1,
        "cpu_us_per_step": [round(x, 3) for x in cpu],
        "median": round(statistics.median(cpu), 3),
        "wall_us_per_step": [round(x, 3) for x in wall],
    }
    print(json.dumps(out))


if __name__ == "__main__":
    main()
