"""Real tasks and world models by name: dreams come from them, and policies are tested on the former."""

import difflib
import functools
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np

from synthenv.core import memory
from synthenv.core.errors import UserError
from synthenv.core.registry import unknown
from synthenv.core.types import EvalResult, WorldModel
from synthenv.envs import registry, rollout
from synthenv.envs.action_units import Actions, ActionUnits, actions_of
from synthenv.envs.on_host import gymnasium_task, host_task
from synthenv.worldmodel import registry as world_models
from synthenv.worldmodel.context.action_strategies import Act, Collection
from synthenv.worldmodel.context.collect import collect
from synthenv.worldmodel.context.collect_gymnasium import collect_gymnasium
from synthenv.worldmodel.context.context import Context
from synthenv.zoo import world_models as pretrained
from synthenv.zoo.registry import sha256

# (key, params, obs [d]) -> action; the same object for all policies of a run, so that tests compile once.
PolicyAct = Callable[[jax.Array, Any, jax.Array], jax.Array]


class RealTask(NamedTuple):
    """A task that can be stepped, whoever simulates it.

    Attributes:
        name: its id.
        obs_size: length of an observation, d.
        max_steps: time limit of an episode.
        solved_return: return from which on it counts as solved; None if it is not known.
        spec: the task as an environment of compiled loops; None if only gymnasium can step it.
        units: the actions that it takes itself.
    """

    name: str
    obs_size: int
    max_steps: int
    solved_return: float | None
    spec: registry.EnvSpec | None
    units: ActionUnits

    @property
    def actions(self) -> Actions:
        """Return the actions of the task in our units."""
        return self.units.actions

    def collect(self, key: jax.Array, collection: Collection, act: Act | None = None) -> Context:
        """Collect a context of the task; see ``worldmodel.context.collect``."""
        if self.spec is not None:
            return collect(key, self.spec, collection, act)
        return collect_gymnasium(key, self.name, collection, act)

    def play(self, key: jax.Array, act: PolicyAct, params: Any, num_episodes: int) -> EvalResult:
        """Play test episodes of a policy; return their returns and lengths, [E] each."""
        if self.spec is not None:
            env, env_params = self.spec.env, self.spec.env_params
            return play_compiled(key, env, env_params, act, params, num_episodes, self.max_steps)
        steps = iter(range(self.max_steps))

        def act_batch(obs: np.ndarray) -> jax.Array:
            return _act_on_all(jax.random.fold_in(key, next(steps)), params, obs, act)

        seed = int(jax.random.bits(key))
        return gymnasium_task.evaluate(self.name, act_batch, num_episodes, seed, self.max_steps)


@functools.partial(jax.jit, static_argnames=("env", "act", "num_episodes", "max_steps"))
def play_compiled(
    key: jax.Array,
    env: Any,
    env_params: Any,
    act: PolicyAct,
    params: Any,
    num_episodes: int,
    max_steps: int,
) -> EvalResult:
    """Play test episodes in compiled loops; one program serves all policies.

    Args:
        key: random key.
        env: a real or dreamt environment of ours.
        env_params: its parameters.
        act: (key, params, obs [d]) -> action; the same object for all policies of a run.
        params: the policy's.
        num_episodes: E.
        max_steps: bound on the length of an episode.

    Returns:
        returns and lengths, [E] each.
    """
    return rollout.evaluate(
        key, env, env_params, lambda key, obs: act(key, params, obs), num_episodes, max_steps
    )


@functools.partial(jax.jit, static_argnames="act")
def _act_on_all(key: jax.Array, params: Any, obs: jax.Array, act: PolicyAct) -> jax.Array:
    keys = jax.random.split(key, len(obs))
    return jax.vmap(act, in_axes=(0, None, 0))(keys, params, obs)


def real_task(name: str, episode_steps: int | None = None) -> RealTask:
    """Find a task by its id: ours if we have it, else gymnasium's, inside compiled loops if it can be stepped there.

    Args:
        name: its id.
        episode_steps: time limit of an episode where the task has none, or a longer one.

    Raises:
        UserError: neither has it, its packages are not installed, or it has no time limit and none is given.
    """
    if name in registry.names() or name in host_task.TASKS:
        spec = registry.make(name) if name in registry.names() else host_task.make(name)
        size = spec.env.observation_space(spec.env_params).shape[0]
        actions = actions_of(spec.env.action_space(spec.env_params), name)
        max_steps = min(spec.max_steps, episode_steps or spec.max_steps)
        return RealTask(name, size, max_steps, spec.solved_return, spec, actions.units)
    try:
        task = gymnasium_task.spec(name)
    except UserError as error:
        close = difflib.get_close_matches(name, (*registry.names(), *host_task.TASKS), n=1)
        hint = f"; did you mean {close[0]!r}?" if close and "Did you mean" not in str(error) else ""
        raise UserError(f"{error}{hint}") from None
    limits = [limit for limit in (task.max_steps, episode_steps) if limit is not None]
    if not limits:
        raise UserError(
            f"{name} is registered without a time limit: pass --episode-steps, such as the length of its longest"
            " episode if it ends them by itself"
        )
    return RealTask(name, task.obs_size, min(limits), None, None, task.units)


def world_model(name: str) -> WorldModel:
    """Find a world model: by name, if it needs no weights or is shipped, or by a pretraining's run directory.

    Raises:
        UserError: there is none of that name, or its file is damaged or holds no world model.
    """
    if name in world_models.MODELS:
        return world_models.MODELS[name]
    if Path(name).exists() or "/" in name or name in (*pretrained.manifest(), "small"):
        return pretrained.load(name)
    known = (*world_models.MODELS, *pretrained.manifest())
    raise UserError(
        f"{unknown('world model', name, known)}; or pass the directory of a synthenv oswm pretrain, or --import FILE"
    )


def check_memory(model: WorldModel, num_rows: int) -> None:
    """Refuse a context that the world model has no room to encode, before anything is begun.

    Raises:
        UserError: it has too many rows for the memory that is free.
    """
    room, needed = memory.available(), model.bytes_per_pair * num_rows**2
    if room is None or needed <= room:
        return
    fits = math.isqrt(int(room / model.bytes_per_pair))
    raise UserError(
        f"--context {num_rows} takes {needed / 1e9:.1f} GB of memory with --model {model.name}, and {room / 1e9:.1f} GB"
        f" are free: pass --context {fits} at most"
    )


def is_shipped(name: str) -> bool:
    """Return whether a world model of this package has this name, even if there is a path of that name."""
    return name in world_models.MODELS or name in pretrained.manifest()


def contents_of(*names: str) -> dict[str, str]:
    """Return the head of a sha256 of each file that a name of a world model or context stands for.

    A path may hold something else tomorrow, and a shipped name may mean something else in another version. The hash
    keeps numbers of both from being mixed.
    """
    files = {name: pretrained.file_of(name) for name in names if name not in world_models.MODELS}
    return {name: sha256(file)[:16] for name, file in files.items() if file.is_file()}
