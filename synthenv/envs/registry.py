"""Real tasks by name, each built once.

gymnax environments hash by identity and are static arguments of ``jit``, so a second instance of the same
environment would compile everything again; :func:`make` therefore always hands out the same object.
"""

import importlib
from typing import Any, NamedTuple

import jax
from gymnax.environments.classic_control import cartpole
from gymnax.environments.environment import Environment

from synthenv.envs.on_host import gymnasium_task
from synthenv.envs.tasks import TASKS, Task


class EnvSpec(NamedTuple):
    """A task: an environment, its numbers, and when it counts as solved.

    Attributes:
        name: the id it was made by, ``env.name`` too.
        env: a gymnax 1.x environment, the same object on every call.
        env_params: its ``EnvParams``, with ``max_steps_in_episode`` equal to ``max_steps``.
        solved_return: undiscounted return of an episode from which on the task counts as solved.
        max_steps: time limit of an episode, in environment steps.
    """

    name: str
    env: Environment
    env_params: Any
    solved_return: float
    max_steps: int

    @property
    def kind(self) -> str:
        """Table, discrete or continuous: what its entry says, or its actions and observations."""
        if self.name in TASKS and TASKS[self.name].kind:
            return TASKS[self.name].kind
        if not hasattr(self.env.action_space(self.env_params), "n"):
            return "continuous"
        return "table" if getattr(self.env, "is_table", False) else "discrete"


class CartPoleV0(cartpole.CartPole):
    """gymnax's CartPole, which calls itself CartPole-v1 whatever its time limit is."""

    @property
    def name(self) -> str:
        """Its id."""
        return "CartPole-v0"


_built: dict[str, tuple[Task, EnvSpec]] = {}


def names() -> tuple[str, ...]:
    """Return the ids that :func:`make` knows."""
    return tuple(TASKS)


def thresholds() -> dict[str, tuple[float, int]]:
    """Return solved return and time limit of every id; builds none of them."""
    return {name: (task.solved_return, task.max_steps) for name, task in TASKS.items()}


def make(name: str) -> EnvSpec:
    """Look up a task, of ours, a user's or gymnasium's; the same name always returns the same objects.

    Raises:
        UserError: the name is unknown (the message gives the closest known id and all of them), or the package that
            the task is made of is not installed.
    """
    if name not in TASKS and gymnasium_task.has(name):
        return importlib.import_module("synthenv.envs.on_host.host_task").make(name)
    task = TASKS.find(name)
    if name not in _built or _built[name][0] is not task:
        _built[name] = (task, _build(task))
    return _built[name][1]


def _build(task: Task) -> EnvSpec:
    build = task.build
    if isinstance(build, str):
        module, _, function = build.partition(":")
        build = getattr(importlib.import_module(module), function)
    # Some EnvParams hold jax arrays. A first call inside jit must not put tracers into what is kept.
    with jax.ensure_compile_time_eval():
        env = build()
        defaults: Any = env.default_params  # a flax dataclass, whose `replace` type checkers do not see
        env_params = defaults.replace(max_steps_in_episode=task.max_steps)
    return EnvSpec(task.name, env, env_params, task.solved_return, task.max_steps)
