"""Test returns and CPU seconds of Stable-Baselines3's PPO on CartPole-v1 or Pendulum-v1.

Stands alone: run it with the interpreter of an environment made from ``requirements-sb3.txt``. Prints one JSON line.
``--settings ours`` takes the defaults of synthenv's PPO, normalised rewards included; ``own`` the package's defaults;
``tuned`` what RL Baselines3 Zoo tuned for the task. The cost is ``time.process_time`` over ``learn``; the test is the
mean return of greedy episodes.
"""

import argparse
import json
import os
import time

os.environ.setdefault("OMP_NUM_THREADS", "1")

import gymnasium as gym
import stable_baselines3
import torch
from stable_baselines3.common.env_util import make_vec_env
from stable_baselines3.common.evaluation import evaluate_policy
from stable_baselines3.common.vec_env import VecNormalize

OURS = {
    "n_steps": 128,
    "batch_size": 128,
    "n_epochs": 10,
    "gamma": 0.99,
    "gae_lambda": 0.95,
    "clip_range": 0.2,
    "ent_coef": 0.0,
    "vf_coef": 0.5,
    "max_grad_norm": 0.5,
    "learning_rate": lambda left: 1e-3 * left,
    "policy_kwargs": {"net_arch": [64, 64], "activation_fn": torch.nn.Tanh},
}
TUNED = {
    "CartPole-v1": {
        "n_steps": 32,
        "batch_size": 256,
        "n_epochs": 20,
        "gamma": 0.98,
        "gae_lambda": 0.8,
        "ent_coef": 0.0,
        "learning_rate": lambda left: 1e-3 * left,
        "clip_range": lambda left: 0.2 * left,
    },
    "Pendulum-v1": {
        "n_steps": 1024,
        "gamma": 0.9,
        "gae_lambda": 0.95,
        "n_epochs": 10,
        "ent_coef": 0.0,
        "learning_rate": 1e-3,
        "clip_range": 0.2,
        "use_sde": True,
        "sde_sample_freq": 4,
    },
}
NUM_ENVS = {"CartPole-v1": 8, "Pendulum-v1": 4}  # of the tuned settings


def parse():
    """Command line of the benchmark."""
    p = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    p.add_argument("--task", choices=sorted(TUNED), default="CartPole-v1")
    p.add_argument("--settings", choices=["ours", "own", "tuned"], default="ours")
    p.add_argument("--steps", type=int, default=50_000)
    p.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    p.add_argument("--test-episodes", type=int, default=20)
    return p.parse_args()


def train_and_test(a, seed):
    """Mean test return, environment steps and CPU seconds of one training."""
    num_envs = {"ours": 8, "own": 1, "tuned": NUM_ENVS[a.task]}[a.settings]
    env = make_vec_env(a.task, num_envs, seed=seed)
    if a.settings == "ours":
        env = VecNormalize(env, norm_obs=False, gamma=OURS["gamma"])
    settings = {"ours": OURS, "own": {}, "tuned": TUNED[a.task]}[a.settings]
    model = stable_baselines3.PPO("MlpPolicy", env, device="cpu", seed=seed, **settings)
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
        "peer": "stable-baselines3",
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
