"""Collect a context from a task that only gymnasium has, step by step on the host."""

import contextlib
import warnings
from collections.abc import Iterator
from typing import Any

import jax
import numpy as np

from synthenv.core.types import Transition
from synthenv.envs.action_units import Actions, ActionUnits
from synthenv.envs.on_host import gymnasium_task
from synthenv.worldmodel.context.action_strategies import (
    Act,
    Collection,
    check_collection,
    nothing_held,
    propose,
)
from synthenv.worldmodel.context.collect import collected
from synthenv.worldmodel.context.context import Context


def collect_gymnasium(key: jax.Array, env_id: str, collection: Collection, act: Act | None = None) -> Context:
    """Step a gymnasium task and note what happens; equal keys give equal contexts.

    Args:
        key: consumed whole.
        env_id: gymnasium's id, such as ``Reacher-v5``.
        collection: strategy and numbers.
        act: the expert of those strategies that need one, (key, obs float32 [d]) -> action; any Python callable.

    Returns:
        C = ``num_steps`` transitions and R = ``num_resets`` first observations.

    Raises:
        UserError: as ``check_collection``, ``gymnasium_task.make`` and ``check_context``.
    """
    check_collection(collection, act)
    key_steps, key_seed = jax.random.split(key)
    env = gymnasium_task.make(env_id)
    try:
        units = gymnasium_task.units_of(env)
        actions = units.actions
        # The environment is seeded once; later resets go on with its generator.
        env.reset(seed=int(jax.random.bits(key_seed)))
        first_obs = np.stack([np.array(env.reset()[0]) for _ in range(collection.num_resets)])
        with _no_warning_of_steps_after_the_end():
            rows = list(_rows(key_steps, env, units, actions, collection, act))
    finally:
        env.close()
    columns: Any = (np.stack(column) for column in zip(*rows, strict=True))
    return collected(Transition(*columns), first_obs, units, env_id, collection)


def _rows(
    key: jax.Array, env: Any, units: ActionUnits, actions: Actions, collection: Collection, act: Act | None
) -> Iterator[tuple]:
    """Yield obs, action, reward, next_obs, terminated and truncated of every step."""
    decide = jax.jit(
        lambda held, begins, step: propose(
            jax.random.fold_in(key, 2 * step), collection, actions, held, begins, step
        )
    )
    held, over, obs, length, num_failed = nothing_held(actions), True, np.empty(0), 0, 0
    for step in range(collection.num_steps):
        begins = over
        if begins:
            obs, length, num_failed = np.array(env.reset()[0]), 0, 0
        by_expert, held = decide(held, begins, step)
        action = held.action
        if act is not None and by_expert:
            key_act = jax.random.fold_in(key, 2 * step + 1)
            action = actions.fit(act(key_act, np.asarray(obs, np.float32)))
        action = units.taken(np.asarray(action))
        next_obs, reward, terminated, truncated, _ = env.step(gymnasium_task.env_action(env, action))
        length += 1
        has_failed = num_failed > 0
        terminated = terminated or has_failed
        truncated = (truncated or length == collection.episode_cap) and not has_failed
        num_failed += terminated
        over = (truncated and not terminated) or num_failed > collection.post_failure_steps
        next_obs = np.array(next_obs)  # some tasks hand out the very array that they go on writing to
        yield obs, action, reward, next_obs, terminated, truncated
        obs = next_obs


@contextlib.contextmanager
def _no_warning_of_steps_after_the_end() -> Iterator[None]:
    """Suppress gymnasium's warning of steps after an end, which ``post_failure_steps`` takes on purpose."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=r".*calling 'step\(\)' even though")
        yield
