"""Test returns and CPU seconds of Stable-Baselines3's DQN on CartPole or TD3 on Pendulum-v1.

Stands alone: run it with the interpreter of an environment made from ``requirements-sb3.txt``. Prints one JSON line.
``--settings ours`` takes those of synthenv's agents as far as the package has them; ``own`` the package's defaults. The
cost is ``time.process_time`` over ``learn``; the test is the mean return of greedy episodes.
"""

import argparse
import json
import os
import time

os.environ.setdefault("OMP_NUM_THREADS", "1")

import gymnasium as gym
import numpy as np
import stable_baselines3
import torch
from stable_baselines3.common.env_util import make_vec_env
from stable_baselines3.common.evaluation import evaluate_policy
from stable_baselines3.common.noise import NormalActionNoise

DQN = {
    "learning_rate": 1e-3,
    "batch_size": 128,
    "tau": 0.01,
    "gamma": 0.99,
    "buffer_size": 100_000,
    "learning_starts": 200,
    "train_freq": 1,
    "gradient_steps": 1,
    "target_update_interval": 1,
    "exploration_initial_eps": 1.0,
    "exploration_final_eps": 0.01,
    "exploration_fraction": 0.05,
    "policy_kwargs": {"net_arch": [128, 128]},
}
# Actions are scaled to [-1, 1] there and noise with them; Pendulum's bound is 2.
TD3 = {
    "learning_rate": 3e-4,
    "batch_size": 256,
    "tau": 0.005,
    "gamma": 0.99,
    "buffer_size": 100_000,
    "learning_starts": 1000,
    "policy_delay": 2,
    "target_policy_noise": 0.1,
    "target_noise_clip": 0.25,
    "policy_kwargs": {"net_arch": [128, 128]},
}


def parse():
    """Command line of the benchmark."""
    p = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    p.add_argument("--task", choices=["CartPole-v0", "CartPole-v1", "Pendulum-v1"], default="CartPole-v1")
    p.add_argument("--settings", choices=["ours", "own"], default="ours")
    p.add_argument("--steps", type=int, default=30_000)
    p.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    p.add_argument("--test-episodes", type=int, default=20)
    return p.parse_args()


def build(a, seed):
    """The agent of this task."""
    env = make_vec_env(a.task, 1, seed=seed)
    name, settings = ("DQN", DQN) if a.task.startswith("CartPole") else ("TD3", TD3)
    settings = settings if a.settings == "ours" else {}
    if settings is TD3:
        settings = settings | {"action_noise": NormalActionNoise(np.zeros(1), np.full(1, 0.05))}
    algorithm = getattr(stable_baselines3, name)
    return name, algorithm("MlpPolicy", env, device="cpu", seed=seed, **settings)


def train_and_test(a, seed):
    """Mean test return, environment steps and CPU seconds of one training."""
    _, model = build(a, seed)
    start = time.process_time()
    model.learn(a.steps)
    seconds = time.process_time() - start
    test_env = make_vec_env(a.task, 1, seed=10_000 + seed)
    mean, _ = evaluate_policy(model, test_env, a.test_episodes, deterministic=True)
    return float(mean), model.num_timesteps, seconds


def main():
    """Train and test every seed, print the JSON line."""
    a = parse()
    torch.set_num_threads(1)
    returns, steps, seconds = zip(*(train_and_test(a, seed) for seed in a.seeds), strict=True)
    out = {
        "peer": f"stable-baselines3 {build(a, 0)[0]}",
        "version": stable_baselines3.__version__,
        "versions": {"torch": torch.__version__, "gymnasium": gym.__version__},
        "config": vars(a),
        "returns": [round(x, 1) for x in returns],
        "steps": steps,
        "steps_per_cpu_second": [round(n / s) for n, s in zip(steps, seconds, strict=True)],
    }
    print(json.dumps(out))


if __name__ == "__main__":
    main()
