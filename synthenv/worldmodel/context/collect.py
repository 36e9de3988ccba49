"""Collect a context from an environment of ours, in one compiled scan.

``envs.rollout`` cannot do it: here the actor remembers what it holds, episodes may be cut short, and steps may follow a
failure.
"""

import functools
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from synthenv.core.types import Transition
from synthenv.envs.action_units import Actions, ActionUnits, actions_of
from synthenv.envs.registry import EnvSpec
from synthenv.worldmodel.context.action_strategies import (
    Act,
    Collection,
    Held,
    check_collection,
    nothing_held,
    propose,
)
from synthenv.worldmodel.context.context import Context, as_host, check_context


def collect(key: jax.Array, spec: EnvSpec, collection: Collection, act: Act | None = None) -> Context:
    """Step a task and note what happens.

    Args:
        key: consumed whole.
        spec: the task.
        collection: strategy and numbers.
        act: the expert of those strategies that need one, (key, obs [d]) -> action; traced by JAX.

    Returns:
        C = ``num_steps`` transitions and R = ``num_resets`` first observations.

    Raises:
        UserError: as ``check_collection`` and ``check_context``, or as ``actions_of``.
    """
    check_collection(collection, act)
    actions = actions_of(spec.env.action_space(spec.env_params), spec.name)
    key_resets, key_steps = jax.random.split(key)
    transitions = _jitted_steps(key_steps, spec.env, spec.env_params, actions, collection, act)
    keys = jax.random.split(key_resets, collection.num_resets)
    first_obs = _jitted_resets(keys, spec.env, spec.env_params)
    return collected(transitions, first_obs, actions.units, spec.name, collection)


def collected(
    transitions: Transition, first_obs: Any, units: ActionUnits, task: str, collection: Collection
) -> Context:
    """The context of these steps [C] and first observations [R, d].

    Raises:
        UserError: as ``check_context``.
    """
    return check_context(
        Context(
            transitions=as_host(transitions, units.is_discrete),
            first_obs=np.asarray(first_obs, np.float32),
            num_actions=units.num_actions,
            action_bound=units.bound,
            task=task,
            strategy=collection.strategy,
            real_steps=collection.num_steps,
            units=units,
        )
    )


class _Walk(NamedTuple):
    """Where a collection is in its current episode: ``begins`` bool [], ``length`` and ``num_failed`` int32 [].

    ``num_failed`` counts the rows since a termination, the row of the termination included.
    """

    obs: jax.Array
    state: Any
    held: Held
    begins: jax.Array
    length: jax.Array
    num_failed: jax.Array


def context_steps(
    key: jax.Array, env: Any, env_params: Any, actions: Actions, collection: Collection, act: Act | None
) -> Transition:
    """Take all steps of a collection.

    Pure; env, actions, collection and act are static.

    Args:
        key: consumed whole.
        env: a gymnax 1.x environment.
        env_params: its parameters.
        actions: the environment's actions.
        collection: strategy and numbers.
        act: the expert, (key, obs [d]) -> action; None for strategies without one.

    Returns:
        transitions with leading axis [C].
    """
    key_reset, key_scan = jax.random.split(key)
    obs, state = env.reset_env(key_reset, env_params)
    zero = jnp.int32(0)
    walk = _Walk(obs, state, nothing_held(actions), jnp.array(True), zero, zero)

    def advance(walk: _Walk, step: jax.Array) -> tuple[_Walk, Transition]:
        key_who, key_act, key_env, key_reset = jax.random.split(jax.random.fold_in(key_scan, step), 4)
        by_expert, held = propose(key_who, collection, actions, walk.held, walk.begins, step)
        action = held.action
        if act is not None:
            action = jnp.where(by_expert, actions.fit(act(key_act, walk.obs)), action)
        next_obs, state, reward, terminated, _ = env.step_env(key_env, walk.state, action, env_params)
        has_failed = walk.num_failed > 0
        terminated = terminated | has_failed
        length = walk.length + 1
        truncated = env.is_truncated(state, env_params) & ~has_failed
        if collection.episode_cap is not None:
            truncated |= (length >= collection.episode_cap) & ~has_failed
        num_failed = jnp.where(terminated, walk.num_failed + 1, 0)
        over = (truncated & ~terminated) | (num_failed > collection.post_failure_steps)
        row = Transition(walk.obs, action, reward, next_obs, terminated, truncated)
        obs, state = jax.tree.map(
            lambda fresh, going_on: jnp.where(over, fresh, going_on),
            env.reset_env(key_reset, env_params),
            (next_obs, state),
        )
        counts = (jnp.where(over, 0, count) for count in (length, num_failed))
        return _Walk(obs, state, held, over, *counts), row

    return jax.lax.scan(advance, walk, jnp.arange(collection.num_steps))[1]


@functools.partial(jax.jit, static_argnames=("env", "actions", "collection", "act"))
def _jitted_steps(
    key: jax.Array, env: Any, env_params: Any, actions: Actions, collection: Collection, act: Act | None
) -> Transition:
    return context_steps(key, env, env_params, actions, collection, act)


@functools.partial(jax.jit, static_argnames="env")
def _jitted_resets(keys: jax.Array, env: Any, env_params: Any) -> jax.Array:
    return jax.vmap(env.reset_env, in_axes=(0, None))(keys, env_params)[0]
