"""Test returns and CPU seconds of rejax's PPO on CartPole-v1 or Pendulum-v1.

Stands alone: run it with the interpreter of an environment made from ``requirements-rejax.txt``. Prints one JSON line.
``--settings ours`` takes the defaults of synthenv's PPO, normalised rewards included (rejax cannot anneal the learning
rate); ``own`` the package's defaults with a learning rate of 1e-3. The cost is ``time.process_time`` over a compiled
training; the test is the mean return of greedy episodes.
"""

import argparse
import json
import os
import time
from importlib.metadata import version

os.environ["XLA_FLAGS"] = "--xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1"
os.environ["JAX_PLATFORMS"] = "cpu"
if hasattr(os, "sched_setaffinity"):  # the flags alone leave XLA's thread pool as wide as the machine
    os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})

import jax
import jax.numpy as jnp
from rejax import PPO
from rejax.evaluate import evaluate

OURS = {
    "num_envs": 8,
    "num_steps": 128,
    "num_epochs": 10,
    "num_minibatches": 8,
    "learning_rate": 1e-3,
    "gamma": 0.99,
    "gae_lambda": 0.95,
    "clip_eps": 0.2,
    "vf_coef": 0.5,
    "ent_coef": 0.0,
    "max_grad_norm": 0.5,
    "agent_kwargs": {"hidden_layer_sizes": (64, 64), "activation": "tanh"},
    "normalize_rewards": True,
}
OWN = {"learning_rate": 1e-3}


def parse():
    """Command line of the benchmark."""
    p = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    p.add_argument("--task", choices=["CartPole-v1", "Pendulum-v1"], default="CartPole-v1")
    p.add_argument("--settings", choices=["ours", "own"], default="ours")
    p.add_argument("--steps", type=int, default=50_000)
    p.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    p.add_argument("--test-episodes", type=int, default=20)
    return p.parse_args()


def build(a):
    """The algorithm, never evaluated on the way."""
    settings = {"ours": OURS, "own": OWN}[a.settings]
    length = {"total_timesteps": a.steps, "eval_freq": a.steps, "skip_initial_evaluation": True}
    algo = PPO.create(env=a.task, **json.loads(json.dumps(settings)), **length)
    return algo.replace(eval_callback=lambda algo, ts, rng: ())


def greedy(algo, ts):
    """The mode of the policy, where the package's own tests sample."""

    def act(obs, rng):
        if algo.normalize_observations:
            obs = algo.normalize_obs(ts.obs_rms_state, obs)
        choice = algo.actor.apply(ts.actor_ts.params, obs[None], method="_action_dist")
        action = choice.mode()[0]
        if algo.discrete:
            return action
        space = algo.env.action_space(algo.env_params)
        return jnp.clip(action, space.low, space.high)

    return act


def main():
    """Compile, train and test every seed, print the JSON line."""
    a = parse()
    algo = build(a)
    train = jax.jit(lambda key: algo.train(key)[0]).lower(jax.random.PRNGKey(0)).compile()
    test = jax.jit(
        lambda key, ts: evaluate(greedy(algo, ts), key, algo.env, algo.env_params, a.test_episodes)[1].mean()
    )
    returns, steps, seconds = [], [], []
    for seed in a.seeds:
        start = time.process_time()
        ts = jax.block_until_ready(train(jax.random.PRNGKey(seed)))
        seconds.append(time.process_time() - start)
        returns.append(round(float(test(jax.random.PRNGKey(10_000 + seed), ts)), 1))
        steps.append(int(ts.global_step))
    out = {
        "peer": "rejax",
        "version": version("rejax"),
        "versions": {name: version(name) for name in ("jax", "gymnax", "flax", "optax")},
        "config": vars(a),
        "returns": returns,
        "steps": steps,
        "steps_per_cpu_second": [round(n / s) for n, s in zip(steps, seconds, strict=True)],
    }
    print(json.dumps(out))


if __name__ == "__main__":
    main()
