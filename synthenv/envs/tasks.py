"""Real tasks by name: ours and a user's. Imports nothing heavy; ``envs.registry`` builds them.

Every gymnax environment here is checked transition by transition against gymnasium in
``tests/envs/test_gymnasium_oracle.py``. All but MountainCarContinuous agree and are used unmodified (see
``mountain_car_continuous.py``). The dynamics and rewards of the papers' tasks did not change between gym
0.17.3 and gymnasium. Two things around them did: gym folded the time limit into ``done``, which here stays
apart as ``truncated``; and Pendulum, which the SE/RN papers do not use, was v0: it moved by the speed before
clipping it.
"""

import importlib
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, NamedTuple

from synthenv.core.errors import UserError
from synthenv.core.registry import Registry
from synthenv.envs import paper_settings

Settings = Mapping[str, Any]
KINDS = ("table", "discrete", "continuous")
_NOTHING: Mapping[str, Settings] = MappingProxyType({})


class Task(NamedTuple):
    """A task as a name stands for it.

    Attributes:
        name: its id.
        build: makes its gymnax 1.x environment; or where that function is, "module:function".
        max_steps: time limit of an episode, in environment steps.
        solved_return: undiscounted return of an episode from which on the task counts as solved.
        kind: table (discrete actions, each observation the one-hot cell of a table), discrete or continuous, after its
            actions and observations; read off the environment if empty.
        observations: what the entries of an observation are called in plots.
        differs: what is otherwise for this task, the dotted path of a field and its value: by "proxy/preset" of
            meta-train, by "rn/agents/name" for the agents trained in its reward networks afterwards, and by "curves"
            for their max_steps and max_episodes in learning curves.
    """

    name: str
    build: Callable[[], Any] | str
    max_steps: int
    solved_return: float
    kind: str = ""
    observations: tuple[str, ...] = ()
    differs: Mapping[str, Settings] = _NOTHING


_CLASSIC = "gymnax.environments.classic_control"
_GRID, _TOYS, _BRAX = (f"synthenv.envs.{room}" for room in ("gridworld", "oswm_toys", "brax_adapter"))
_POLE = ("cart position", "cart velocity", "pole angle", "pole velocity")
_JOINTS = ("cos of joint 1", "sin of joint 1", "cos of joint 2", "sin of joint 2", "velocity 1", "velocity 2")
_CAR = ("position", "velocity")
_SWING = ("cos of the angle", "sin of the angle", "velocity")

TASKS: Registry[Task] = Registry(
    "task",
    Task,
    ours=(
        # Limits and thresholds of gym 0.17.3, unchanged in gymnasium.
        Task("CartPole-v0", "synthenv.envs.registry:CartPoleV0", 200, 195.0, "discrete", _POLE),
        Task("CartPole-v1", f"{_CLASSIC}.cartpole:CartPole", 500, 475.0, "discrete", _POLE),
        Task(
            "Acrobot-v1",
            f"{_CLASSIC}.acrobot:Acrobot",
            500,
            -100.0,
            "discrete",
            _JOINTS,
            paper_settings.ACROBOT,
        ),
        Task("MountainCar-v0", f"{_CLASSIC}.mountain_car:MountainCar", 200, -110.0, "discrete", _CAR),
        Task(
            "MountainCarContinuous-v0",
            "synthenv.envs.mountain_car_continuous:MountainCarContinuous",
            999,
            90.0,
            "continuous",
            _CAR,
            paper_settings.MOUNTAIN_CAR_CONTINUOUS,
        ),
        # gym gives Pendulum no threshold: -200 is a common convention, not a fact about the task.
        Task("Pendulum-v1", f"{_CLASSIC}.pendulum:Pendulum", 200, -200.0, "continuous", _SWING),
        Task(
            "CliffWalking",
            f"{_GRID}:cliff_walking",
            50,
            -20.0,
            "table",
            differs=paper_settings.CLIFF_WALKING,
        ),
        Task("EmptyRoom22", f"{_GRID}:empty_room_22", 10, 0.8, "table"),
        Task("EmptyRoom23", f"{_GRID}:empty_room_23", 15, 0.8, "table"),
        Task("EmptyRoom33", f"{_GRID}:empty_room_33", 20, 0.8, "table"),
        # Appendix D.3 of the One-Shot World Model paper: best - 0.03 * (best - random), which is -7.6 where the best
        # is 0. For GridWorld it would be 4.6; 5.0 is what the paper's curves are measured by.
        Task("GridWorld", f"{_TOYS}:GridWorld", 27, 5.0, "discrete"),
        Task("SimpleEnv", f"{_TOYS}:SimpleEnv", 20, -7.6, "continuous"),
        # Limit and threshold of the SE/RN papers for MuJoCo's HalfCheetah-v3. brax_adapter says how ours differs.
        Task(
            "HalfCheetah",
            f"{_BRAX}:half_cheetah",
            1000,
            3000.0,
            "continuous",
            differs=paper_settings.HALF_CHEETAH,
        ),
        # brax's own limit. The threshold is a convention of ours, see brax_adapter.
        Task("brax/reacher", f"{_BRAX}:reacher", 1000, -31.0, "continuous"),
    ),
    others=", and any gymnasium id with vector observations where gymnasium is installed",
)


def kind_of(name: str) -> str:
    """Table, discrete or continuous; builds the task if its entry does not say.

    Raises:
        UserError: the name is unknown, or its entry names a kind that there is not.
    """
    kind = TASKS[name].kind if name in TASKS else ""
    if kind not in ("", *KINDS):
        raise UserError(
            f"the task {name} is said to be {kind}: pass kind={' or '.join(KINDS)}, or leave it out"
        )
    return kind or _built(name).kind


def max_steps_of(name: str) -> int:
    """Time limit of an episode; builds the task if it is none that we have an entry for.

    Raises:
        UserError: the name is unknown.
    """
    return TASKS[name].max_steps if name in TASKS else _built(name).max_steps


def differs(name: str, what: str) -> dict[str, Any]:
    """What is otherwise for this task, by dotted path; nothing if its entry does not say so, or it has none."""
    return dict(TASKS[name].differs.get(what, {})) if name in TASKS else {}


def _built(name: str) -> Any:
    """The task itself, which takes JAX: for entries that do not say, and for tasks of gymnasium, which have none."""
    return importlib.import_module("synthenv.envs.registry").make(name)
