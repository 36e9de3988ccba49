"""Training steps per CPU second of the SE/RN papers' released agents on the real CartPole-v0, at the sizes of table 5.

Stands alone: run it with an environment made from ``requirements-sb3.txt`` (torch and gymnasium) and ``--code``, a
clone of automl/learning_environments at commit 3216697. Prints one JSON line. The released agents, models, replay
buffer and environment wrapper run unmodified; only gym, which no longer installs, is stood in for: by gymnasium's
CartPole behind gym's old interface, ``done`` at step 200. A step is acting, stepping, storing and one gradient step;
the measurement begins at a gradient step after the warm-up, of one episode, and ends a number of steps later.
"""

import argparse
import contextlib
import importlib
import io
import json
import os
import random
import statistics
import sys
import time
from importlib.metadata import version
from types import ModuleType

if hasattr(os, "sched_setaffinity"):
    os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})

import gymnasium
import numpy as np
import torch
from gymnasium.envs.classic_control.cartpole import CartPoleEnv

SHARED = {
    "train_episodes": 100_000,
    "test_episodes": 10,
    "init_episodes": 1,
    "batch_size": 128,
    "gamma": 0.99,
    "tau": 0.01,
    "rb_size": 100_000,
    "same_action_num": 1,
    "hidden_size": 128,
    "hidden_layer": 2,
    "print_rate": 10**9,
    "early_out_num": 10,
    "early_out_virtual_diff": 0.01,
}
EXPLORE = {"lr": 1e-3, "eps_init": 1.0, "eps_min": 0.01, "eps_decay": 0.9, "activation_fn": "relu"}
NOISE = {"action_std": 0.1, "policy_std": 0.2, "policy_std_clip": 0.5, "policy_delay": 2}
GUMBEL = {"gumbel_softmax_temp": 1.0, "gumbel_softmax_hard": False, "vary_hp": False}
AGENTS = {
    "ddqn": SHARED | EXPLORE,
    "duelingddqn": SHARED | EXPLORE | {"feature_dim": 128},
    "td3_discrete_vary": SHARED | NOISE | GUMBEL | {"lr": 5e-4, "activation_fn": "tanh"},
}
# No solved return: no training may end before it was measured.
CARTPOLE = {"solved_reward": 1e9, "max_steps": 200}


class OldDiscrete(gymnasium.spaces.Discrete):
    """Discrete actions sampled as Python's int, as gym's were."""

    def sample(self):
        return int(super().sample())


class OldCartPole(CartPoleEnv):
    """gym 0.17's interface of CartPole-v0."""

    def __init__(self):
        super().__init__()
        self.action_space = OldDiscrete(2)
        self.count = 0

    def reset(self):
        self.count = 0
        return super().reset()[0]

    def step(self, action):
        obs, reward, terminated, _, info = super().step(action)
        self.count += 1
        return obs, reward, terminated or self.count >= 200, info


def stand_in(code):
    """Make the released modules importable: gym's old names, and empty modules for what these agents never call."""
    gym = ModuleType("gym")
    gym.Env, gym.spaces, gym.utils = object, gymnasium.spaces, gymnasium.utils
    gym.make = lambda name: OldCartPole()
    wrappers = ModuleType("gym.wrappers")
    wrappers.TimeLimit = object
    sys.modules |= {"gym": gym, "gym.wrappers": wrappers, "gym.spaces": gymnasium.spaces}
    sys.modules |= {"gym.utils": gymnasium.utils}
    importlib.import_module("torch._dynamo")  # looks for pandas: before there is an empty one
    for name in ("pandas", "seaborn", "yaml", "ConfigSpace", "ConfigSpace.hyperparameters"):
        sys.modules[name] = ModuleType(name)
    sys.modules["ConfigSpace"].hyperparameters = sys.modules["ConfigSpace.hyperparameters"]
    sys.path.insert(0, code)


def build(name):
    """An agent of the released code and its environment."""
    from agents.DDQN import DDQN
    from agents.DuelingDDQN import DuelingDDQN
    from agents.TD3_discrete_vary import TD3_discrete_vary
    from envs.env_factory import EnvFactory

    shared = {"env_name": "CartPole-v0", "device": "cpu", "render_env": False}
    config = shared | {"agents": AGENTS, "envs": {"CartPole-v0": CARTPOLE}}
    env = EnvFactory(config).generate_real_env()
    if name == "td3_discrete_vary":
        return env, TD3_discrete_vary(env, env.get_min_action(), env.get_max_action(), config)
    return env, {"ddqn": DDQN, "duelingddqn": DuelingDDQN}[name](env, config)


class Measured(Exception):
    """The training has run for as long as it had to."""


def seconds(name, seed, skip, steps):
    """CPU seconds of ``steps`` training steps, after ``skip`` of them."""
    random.seed(seed)
    np.random.seed(seed)  # noqa: NPY002 - what the released code draws from
    torch.manual_seed(seed)
    env, agent = build(name)
    learn, times = agent.learn, []

    def counted(**kwargs):
        learn(**kwargs)
        times.append(time.process_time())
        if len(times) > skip + steps:
            raise Measured

    agent.learn = counted
    with contextlib.suppress(Measured):
        agent.train(env)
    return times[skip + steps] - times[skip]


def main():
    """Measure each seed, print the JSON line."""
    p = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    p.add_argument("--code", required=True, help="clone of automl/learning_environments")
    p.add_argument("--agent", choices=AGENTS, required=True)
    p.add_argument("--skip", type=int, default=200, help="steps before the measured ones")
    p.add_argument("--steps", type=int, default=1500, help="measured steps of each repeat")
    p.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    a = p.parse_args()
    torch.set_num_threads(1)
    stand_in(a.code)
    with contextlib.redirect_stdout(io.StringIO()):  # the released code talks
        rates = [a.steps / seconds(a.agent, seed, a.skip, a.steps) for seed in a.seeds]
    out = {
        "peer": f"released {a.agent}",
        "versions": {name: version(name) for name in ("torch", "gymnasium", "numpy")},
        "steps_per_cpu_second": [round(rate) for rate in rates],
        "median": round(statistics.median(rates)),
    }
    print(json.dumps(out))


if __name__ == "__main__":
    main()
