"""Real tasks that only gymnasium has: stepped on the host, their policies asked once per step for all episodes.

Compiled loops can step only those of ``host_task``, so they are not in the registry. ``make`` settles what is the same
for whoever steps one: observations are vectors, actions are discrete or bounded. ``env_action`` turns actions of ours,
which have one symmetric bound, into those of the task.
"""

import importlib
import os
import sys
import warnings
from collections.abc import Callable
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np

from synthenv.core.errors import UserError
from synthenv.core.types import EvalResult
from synthenv.envs import action_units
from synthenv.envs.action_units import ActionUnits

ActBatch = Callable[[np.ndarray], Any]


class TaskSpec(NamedTuple):
    """What a world model or a policy has to know of a task.

    Attributes:
        env_id: gymnasium's id.
        obs_size: length of an observation, d.
        units: the actions that it takes.
        max_steps: time limit in steps, or None.
    """

    env_id: str
    obs_size: int
    units: ActionUnits
    max_steps: int | None


def has(env_id: str) -> bool:
    """Whether gymnasium is installed and knows the id; nothing is made."""
    try:
        gymnasium: Any = importlib.import_module("gymnasium")
    except ImportError:
        return False
    try:
        return spec_on_record(env_id) is not None
    except (ImportError, gymnasium.error.Error):
        return False


def spec_on_record(env_id: str) -> Any:
    """What gymnasium has on record of an id; the module of an id such as ``module:Task-v0`` is imported first."""
    gymnasium: Any = importlib.import_module("gymnasium")
    module, _, name = env_id.rpartition(":")
    if module:
        _look_here_too()
        importlib.import_module(module)
    return gymnasium.spec(name)


def _look_here_too() -> None:
    """Let modules of the current directory be imported, last, so that they hide no package that is installed."""
    if os.getcwd() not in sys.path:
        sys.path.append(os.getcwd())


def make(env_id: str) -> Any:
    """Make a gymnasium environment whose observations are a vector and whose actions are discrete or bounded.

    The module of an id such as ``module:Task-v0`` may lie in the current directory.

    Raises:
        UserError: gymnasium or what the task needs is not installed, there is no such task, or it observes or acts in
            another way.
    """
    try:
        gymnasium: Any = importlib.import_module("gymnasium")
    except ImportError as error:
        raise UserError(f"{env_id} needs gymnasium ({error}): pip install -e '.[gymnasium]'") from error
    if ":" in env_id:
        _look_here_too()
    with warnings.catch_warnings():
        warnings.simplefilter(
            "ignore", DeprecationWarning
        )  # an older version of a task was asked for on purpose
        try:
            env = gymnasium.make(env_id, disable_env_checker=True)
        except (gymnasium.error.Error, ImportError) as error:
            raise UserError(
                f"gymnasium cannot make {env_id!r} ({' '.join(str(error).split())}): check the id, or install what the"
                " task needs; pip install -e '.[gymnasium]' brings MuJoCo"
            ) from error
    observed, acted, spaces = env.observation_space, env.action_space, gymnasium.spaces
    if not isinstance(observed, spaces.Box) or len(observed.shape) != 1:
        raise UserError(f"{env_id} observes {observed}: choose a task whose observations are a vector")
    if isinstance(acted, spaces.Discrete):
        return env
    if not isinstance(acted, spaces.Box) or len(acted.shape) != 1 or not acted.is_bounded():
        raise UserError(f"{env_id} acts in {acted}: choose a task of discrete actions or of a bounded vector")
    return env


def units_of(env: Any) -> ActionUnits:
    """The actions that an environment of ``make`` takes."""
    space = env.action_space
    if hasattr(space, "n"):
        return action_units.discrete(int(space.n), int(space.start), str(space.dtype))
    return action_units.box(space.low, space.high, str(space.dtype))


def describe(env: Any) -> TaskSpec:
    """Read the sizes and bounds off an environment of ``make``."""
    size = env.observation_space.shape[0]
    return TaskSpec(env.spec.id, size, units_of(env), env.spec.max_episode_steps)


def spec(env_id: str) -> TaskSpec:
    """Look up a task; raises UserError as ``make``."""
    env = make(env_id)
    try:
        return describe(env)
    finally:
        env.close()


def env_action(env: Any, action: Any) -> Any:
    """Turn an action of ours into one that an environment of ``make`` takes.

    Args:
        env: from ``make``.
        action: number 0 to n - 1, int [], or float [a], which is clipped to the bounds.
    """
    units = units_of(env)
    if units.is_discrete:
        return int(units.to_task(np.asarray(action).reshape(())))
    return units.to_task(np.asarray(action).reshape(env.action_space.shape))


def evaluate(
    env_id: str, act_batch: ActBatch, num_episodes: int, seed: int, max_steps: int | None = None
) -> EvalResult:
    """Play test episodes side by side, in as many copies of the task, until the last has ended.

    Episode ``i`` begins as ``seed`` and ``i`` say, so equal seeds and a deterministic policy give equal results.

    Args:
        env_id: gymnasium's id.
        act_batch: policy, observations float32 [E, d] -> actions, int [E] or float [E, a]; meant to be jitted. It is
            asked for the observations that ended episodes ended with too, which keeps their number the same.
        num_episodes: E.
        seed: of the resets, at least 0.
        max_steps: bound on the length of an episode; None is the task's own limit.

    Returns:
        Undiscounted returns, float32 [E], and lengths in steps, int32 [E].

    Raises:
        UserError: as ``make``, or the task has no limit and ``max_steps`` is None.
    """
    envs = [make(env_id) for _ in range(num_episodes)]
    try:
        limit = max_steps or describe(envs[0]).max_steps
        if limit is None:
            raise UserError(f"{env_id} has no time limit: pass max_steps")
        return _play(envs, act_batch, seed, limit)
    finally:
        for env in envs:
            env.close()


def _play(envs: list[Any], act_batch: ActBatch, seed: int, max_steps: int) -> EvalResult:
    """Step every running episode with its row of the actions, at most ``max_steps`` times."""
    seeds = np.random.SeedSequence(seed).generate_state(len(envs))
    obs = np.stack([env.reset(seed=int(s))[0] for env, s in zip(envs, seeds, strict=True)]).astype(np.float32)
    returns, lengths = np.zeros(len(envs)), np.zeros(len(envs), np.int32)
    running = np.ones(len(envs), bool)
    for _ in range(max_steps):
        # A copy: jax may read an array of the host without copying it, and the policy may keep what it was given.
        actions = np.asarray(act_batch(obs.copy()))
        for i in np.flatnonzero(running):
            obs[i], reward, terminated, truncated, _ = envs[i].step(env_action(envs[i], actions[i]))
            returns[i] += reward
            lengths[i] += 1
            running[i] = not (terminated or truncated)
        if not running.any():
            break
    return EvalResult(jnp.asarray(returns, jnp.float32), jnp.asarray(lengths))
