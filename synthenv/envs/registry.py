"""Real environments by name, each built once.

gymnax environments hash by identity and are static arguments of ``jit``, so a second instance of the same
environment would compile everything again; :func:`make` therefore always hands out the same object.

Every gymnax environment here is checked transition by transition against gymnasium in
``tests/envs/test_gymnasium_oracle.py``. All but MountainCarContinuous agree and are used unmodified (see
``mountain_car_continuous.py``). The dynamics and rewards of the papers' tasks did not change between gym
0.17.3 and gymnasium. Two things around them did: gym folded the time limit into ``done``, which here stays
apart as ``truncated``; and Pendulum, which the SE/RN papers do not use, was v0: it moved by the speed before
clipping it.
"""

import difflib
import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
from gymnax.environments.classic_control import acrobot, cartpole, mountain_car, pendulum
from gymnax.environments.environment import Environment

from synthenv.core.errors import UserError
from synthenv.envs import gridworld, oswm_toys
from synthenv.envs.brax_adapter import half_cheetah, reacher
from synthenv.envs.mountain_car_continuous import MountainCarContinuous


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


class CartPoleV0(cartpole.CartPole):
    """gymnax's CartPole, which calls itself CartPole-v1 whatever its time limit is."""

    @property
    def name(self) -> str:
        """Its id."""
        return "CartPole-v0"


class _Entry(NamedTuple):
    build: Callable[[], Environment]
    max_steps: int
    solved_return: float


_ENTRIES = {
    # Limits and thresholds of gym 0.17.3, unchanged in gymnasium.
    "CartPole-v0": _Entry(CartPoleV0, 200, 195.0),
    "CartPole-v1": _Entry(cartpole.CartPole, 500, 475.0),
    "Acrobot-v1": _Entry(acrobot.Acrobot, 500, -100.0),
    "MountainCar-v0": _Entry(mountain_car.MountainCar, 200, -110.0),
    "MountainCarContinuous-v0": _Entry(MountainCarContinuous, 999, 90.0),
    # gym gives Pendulum no threshold: -200 is a common convention, not a fact about the task.
    "Pendulum-v1": _Entry(pendulum.Pendulum, 200, -200.0),
    "CliffWalking": _Entry(gridworld.cliff_walking, 50, -20.0),
    "EmptyRoom22": _Entry(functools.partial(gridworld.empty_room, 2, 2, 10), 10, 0.8),
    "EmptyRoom23": _Entry(functools.partial(gridworld.empty_room, 2, 3, 15), 15, 0.8),
    "EmptyRoom33": _Entry(functools.partial(gridworld.empty_room, 3, 3, 20), 20, 0.8),
    # Appendix D.3 of the One-Shot World Model paper: best - 0.03 * (best - random), which is -7.6 where the best is 0.
    # For GridWorld it would be 4.6; 5.0 is what the paper's curves are measured by.
    "GridWorld": _Entry(oswm_toys.GridWorld, 27, 5.0),
    "SimpleEnv": _Entry(oswm_toys.SimpleEnv, 20, -7.6),
    # Limit and threshold of the SE/RN papers for MuJoCo's HalfCheetah-v3. brax_adapter says how ours differs from it.
    "HalfCheetah": _Entry(functools.partial(half_cheetah, "HalfCheetah", "mjx"), 1000, 3000.0),
    # brax's own limit. The threshold is a convention of ours, see brax_adapter.
    "brax/reacher": _Entry(functools.partial(reacher, "brax/reacher"), 1000, -31.0),
}


def names() -> tuple[str, ...]:
    """Return the ids that :func:`make` knows."""
    return tuple(_ENTRIES)


def thresholds() -> dict[str, tuple[float, int]]:
    """Return solved return and time limit of every id; builds none of them."""
    return {name: (entry.solved_return, entry.max_steps) for name, entry in _ENTRIES.items()}


@functools.cache
def make(name: str) -> EnvSpec:
    """Look up a task; the same name always returns the same objects.

    Raises:
        UserError: the name is unknown (the message gives the closest known id and all of them), or the package that
            the task is made of is not installed.
    """
    if name not in _ENTRIES:
        close = difflib.get_close_matches(name, names(), n=1)
        hint = f"; did you mean {close[0]!r}?" if close else ";"
        raise UserError(f"unknown environment {name!r}{hint} known ids: {', '.join(names())}")
    entry = _ENTRIES[name]
    # Some EnvParams hold jax arrays. A first call inside jit must not put tracers into the cache.
    with jax.ensure_compile_time_eval():
        env = entry.build()
        defaults: Any = env.default_params  # a flax dataclass, whose `replace` type checkers do not see
        env_params = defaults.replace(max_steps_in_episode=entry.max_steps)
    return EnvSpec(name, env, env_params, entry.solved_return, entry.max_steps)
