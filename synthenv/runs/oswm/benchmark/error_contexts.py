"""The six tasks of table 3, their experts, and the contexts that are collected there.

Experts are PPO agents of ours, trained on the real task and sampled from, as the released code does with its own. Two
experts are rules instead, which suffices to visit other states than random actions do. MountainCar's rule pushes where
the car is going, which solves the task; Reacher's pulls the hand towards the target and damps the joints. Mean returns:
GridWorld 5.2, CartPole-v0 200, MountainCar-v0 -120, SimpleEnv -1.6, Pendulum-v1 -188, Reacher-v5 -6.1.
"""

import functools
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import jax
import jax.numpy as jnp

from synthenv.agents import registry as agents
from synthenv.agents.ppo_config import PPOConfig
from synthenv.agents.training.bucket import Bucket
from synthenv.agents.training.hyperparams import fixed_hyperparams
from synthenv.core.files import make_directory
from synthenv.envs import registry
from synthenv.worldmodel.context.action_strategies import STRATEGIES, Act, Collection
from synthenv.worldmodel.context.collect import collect
from synthenv.worldmodel.context.collect_gymnasium import collect_gymnasium
from synthenv.worldmodel.context.context import Context
from synthenv.worldmodel.context.file import load_context, save_context

_LINK_LENGTHS = (0.1, 0.11)  # links of Reacher's arm, in metres
_PULL, _DAMPING = 20.0, 0.06

_BASE = PPOConfig(stop="none", test_noise=True, num_envs=16, rollout_length=64, normalize_observations=True)
_PPO = {
    "GridWorld": replace(_BASE, max_steps=100_000),
    "CartPole-v0": PPOConfig(stop="none", test_noise=True, max_steps=100_000),
    "SimpleEnv": replace(_BASE, discount=0.9, max_steps=200_000),
    "Pendulum-v1": replace(_BASE, discount=0.9, max_steps=200_000),
}


def push_where_it_goes(key: jax.Array, obs: jax.Array) -> jax.Array:
    """Act as MountainCar's expert: push where the car is going, so that its energy can only grow."""
    return jnp.where(obs[1] >= 0.0, 2, 0)


def pull_to_target(key: jax.Array, obs: jax.Array) -> jax.Array:
    """Act as Reacher's expert: torques [2] of a spring from hand to target (the transposed Jacobian) and of friction.

    Observations are cosines and sines of both angles, the target, the joints' velocities, and hand minus target.
    """
    first, second = jnp.arctan2(obs[2], obs[0]), jnp.arctan2(obs[3], obs[1])
    lengths, angles = jnp.array(_LINK_LENGTHS), jnp.stack([first, first + second])
    links = lengths[None] * jnp.stack([-jnp.sin(angles), jnp.cos(angles)])  # how the hand moves, [axis, link]
    both, outer = links[:, 0] + links[:, 1], links[:, 1]
    torque = -_PULL * jnp.stack([both @ obs[8:10], outer @ obs[8:10]]) - _DAMPING * obs[6:8]
    return jnp.clip(torque, -1.0, 1.0)


_RULES: dict[str, Act] = {"MountainCar-v0": push_where_it_goes, "Reacher-v5": jax.jit(pull_to_target)}


@functools.cache
def expert(task: str, seed: int, max_steps: int | None = None) -> Act:
    """Make a policy that plays a task well.

    Args:
        task: one of ``paper_numbers.TASKS``.
        seed: seed of the training, if there is one.
        max_steps: bound on its training steps; None lets it take as many as it needs.
    """
    if task in _RULES:
        return _RULES[task]
    spec, config = registry.make(task), _PPO[task]
    config = replace(config, max_steps=min(config.max_steps, max_steps or config.max_steps))
    agent = agents.make(
        config, Bucket(config.depth, config.hidden_size), spec.env.action_space(spec.env_params)
    )
    hyperparams = fixed_hyperparams(config, spec.solved_return)
    train = jax.jit(lambda key: agent.train(key, spec.env, spec.env_params, hyperparams).params)
    weights = train(jax.random.key(seed))
    return lambda key, obs: agent.act(key, weights, obs)


def context(directory: Path, task: str, collection: Collection, seed: int, act: Callable[[], Act]) -> Context:
    """Collect a context, or read it if that was done before.

    Args:
        directory: where contexts are kept.
        task: one of ``paper_numbers.TASKS``.
        collection: what to collect.
        seed: the only source of randomness; the expert has its own.
        act: makes the expert, if it is needed.

    Raises:
        UserError: as ``collect``, ``collect_gymnasium`` and ``save_context``.
    """
    file = directory / f"{task}_{collection.strategy}_{collection.num_steps}_{seed}.safetensors"
    if file.exists():
        return load_context(file)
    make_directory(directory)
    one_who_acts = act() if any(STRATEGIES[collection.strategy].expert_share) else None
    key = jax.random.key(seed)
    if task in registry.names():
        collected = collect(key, registry.make(task), collection, one_who_acts)
    else:
        collected = collect_gymnasium(key, task, collection, one_who_acts)
    save_context(file, collected)
    return collected
