"""Agents of Stable-Baselines3 trained in shipped proxies and tested in gymnasium's real task.

Needs ``stable-baselines3`` and ``synthenv`` in one environment (``README.md`` beside this file). Reads lines
``PROXY AGENT SEED`` from standard input and prints one JSON line for each as soon as it is done.
"""

import argparse
import json
import os
import sys
import time
import warnings

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ["JAX_PLATFORMS"] = "cpu"

import gymnasium
import numpy as np
import stable_baselines3
import torch
from stable_baselines3.common.vec_env import DummyVecEnv

import synthenv
from experiments.examples.gymnasium_proxy import GymnasiumProxy

# All that is not the package's default, the same for every proxy of both forms and tasks. DQN's defaults (a learning
# rate of 1e-4, a gradient step every four steps, targets copied every 10,000) are Atari's, for trainings far longer.
# PPO is the package's own to the last number; ``ppo_short`` takes as many gradient steps, three times as long, on
# rollouts an eighth as long.
NUM_ENVS = {"dqn": 1, "ppo": 1, "ppo_short": 8}
STEPS = {"dqn": 5_000, "ppo": 20_000, "ppo_short": 20_000}
SETTINGS = {
    "dqn": {
        "learning_rate": 1e-3,
        "train_freq": 1,
        "target_update_interval": 100,
        "buffer_size": 5_000,
        "batch_size": 64,
        "exploration_fraction": 0.5,
    },
    "ppo": {},
    "ppo_short": {"learning_rate": 1e-3, "n_steps": 32, "batch_size": 64, "ent_coef": 0.01},
}


def build(agent: str, proxy: str, seed: int) -> stable_baselines3.DQN | stable_baselines3.PPO:
    """An untrained agent in a proxy."""
    env, params = synthenv.make(proxy)
    envs = DummyVecEnv([lambda: GymnasiumProxy(env, params)] * NUM_ENVS[agent])
    kind = stable_baselines3.DQN if agent == "dqn" else stable_baselines3.PPO
    return kind("MlpPolicy", envs, seed=seed, device="cpu", **SETTINGS[agent])


def test(model: stable_baselines3.DQN | stable_baselines3.PPO, task: str, num: int, seed: int) -> list[float]:
    """Returns of greedy episodes of the real task, played side by side."""
    envs = [gymnasium.make(task) for _ in range(num)]
    obs = np.stack([env.reset(seed=seed + i)[0] for i, env in enumerate(envs)])
    returns, running = np.zeros(num), np.arange(num)
    while len(running):
        actions = model.predict(obs[running], deterministic=True)[0]
        for i, action in zip(running, actions, strict=True):
            obs[i], reward, terminated, truncated, _ = envs[i].step(action)
            returns[i] += reward
            if terminated or truncated:
                running = running[running != i]
    return returns.tolist()


def main() -> None:
    """Answer line by line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--test-episodes", type=int, default=20)
    a = parser.parse_args()
    torch.set_num_threads(1)
    warnings.filterwarnings("ignore", message=".*out of date.*")  # CartPole-v0 is the papers' task
    for line in sys.stdin:
        proxy, agent, seed = line.split()
        start = time.process_time()
        model = build(agent, proxy, int(seed)).learn(STEPS[agent])
        seconds = time.process_time() - start
        task = proxy.split("/")[1].split(":")[0]
        row = {
            "returns": test(model, task, a.test_episodes, 10_000 + 100 * int(seed)),
            "steps": model.num_timesteps,
            "cpu_seconds": round(seconds, 1),
            "version": stable_baselines3.__version__,
        }
        print(json.dumps(row), flush=True)


if __name__ == "__main__":
    main()
