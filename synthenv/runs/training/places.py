"""Training places by name: a task, shipped proxies, run directories; and the schedule that an agent follows there.

References:
    Ferreira et al. (2022), tables 2, 5, 9, 11, 14, 17 and 18: who is trained after a proxy was found.
"""

from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np

from synthenv.agents.config import AgentConfig, around
from synthenv.agents.fits import fitting_agent
from synthenv.agents.presets import AGENTS, agent_from_stored, reward_agent
from synthenv.core.errors import UserError
from synthenv.envs import registry
from synthenv.envs.registry import EnvSpec
from synthenv.outer.trial import TrainingGround
from synthenv.proxies import config as proxy_configs
from synthenv.runs.arguments import AS_EVOLVED
from synthenv.runs.training.trial_runner import proxy_ground, real_ground, task_for, zeros
from synthenv.zoo import registry as zoo


class Place(NamedTuple):
    """A training place by name.

    Attributes:
        name: how it was asked for.
        spec: the real task that agents are tested on.
        ground: where they train.
        weights: weights of the N environments meant. [N, D]
        agent: the schedule that agents follow there.
        proxies: names of the N environments if they are proxies, else empty.
        shapes_rewards: whether agents step the real task there and get other rewards.
    """

    name: str
    spec: EnvSpec
    ground: TrainingGround
    weights: np.ndarray
    agent: AgentConfig
    proxies: tuple[str, ...] = ()
    shapes_rewards: bool = False


def resolve(*names: str, agent: str | None = None) -> Place:
    """Find a training place.

    Args:
        agent: name of the agent that is to train there. ``as_evolved`` is the one that a proxy was evolved with; None
            is the same with the hyperparameters of the papers' evaluations, or one that fits the task.
        names: a task id; or one or several of a shipped proxy (all of a task, or ``:i``), a run directory, a proxy
            file.

    Raises:
        UserError: if nothing of a name exists, or several names are not all proxies of one shape and schedule.
    """
    if not names:
        raise UserError("nowhere to train: pass a task, a shipped proxy or a run directory")
    found = [_load_proxies(name) for name in names]
    if all(found):
        return _proxy_place(", ".join(names), [proxy for proxies in found for proxy in proxies], agent)
    name = names[found.index([])]
    if len(names) > 1:
        raise UserError(f"{name} is no proxy: pass shipped proxies and run directories, or one name alone")
    return _task_place(name, agent)


def is_shipped(name: str) -> bool:
    """Return whether a task or shipped proxies have this name, even if there is a path of that name."""
    return name in registry.names() or zoo.is_shipped(name)


def _load_proxies(name: str) -> list[zoo.LoadedProxy]:
    """Load the proxies of a name; there are none if it is not the name of a proxy."""
    return zoo.load(name) if zoo.is_proxy(name) else []


def _task_place(name: str, agent: str | None) -> Place:
    if agent == AS_EVOLVED:
        raise UserError(
            f"{name} was not evolved with any agent: name one, or pass a shipped proxy or a run directory"
        )
    try:
        registry.make(name)
    except UserError as error:
        raise UserError(f"{error}; or pass a shipped proxy or a run directory") from None
    config = replace(AGENTS.find(agent or fitting_agent(name)), stop="solved", time_limit="terminal")
    spec = task_for(config, name)
    return Place(name, spec, real_ground(spec), zeros(1), config)


def _proxy_place(name: str, proxies: list[zoo.LoadedProxy], agent: str | None) -> Place:
    first = proxies[0]
    who = agent or agent_from_stored(first.metadata["agent"]).full_name
    ground = proxy_ground(first.env, first.proxy_params)[0]
    config = schedule_of(first.metadata, who)
    task_for(config, first.spec.name)
    if any(p.env is not first.env or schedule_of(p.metadata, who) != config for p in proxies):
        raise UserError(f"the proxies of {name} differ in shape or training budget: pick one, or some alike")
    weights = np.stack([proxy_ground(p.env, p.proxy_params)[1] for p in proxies])
    shapes_rewards = proxy_configs.from_stored(first.metadata["proxy"]).shapes_rewards
    return Place(name, first.spec, ground, weights, config, tuple(p.name for p in proxies), shapes_rewards)


def schedule_of(metadata: dict[str, Any], agent: str = "ddqn") -> AgentConfig:
    """Put an agent of the papers' evaluations on the training budget that the proxy was evolved for.

    In a reward network its warm-up is as long as elsewhere; if that is longer than in the search, the budget grows.
    """
    evolved = agent_from_stored(metadata["agent"])
    if agent == AS_EVOLVED:
        return replace(evolved, vary=False, variation=around(evolved))
    kept = ["max_episodes", "max_steps", "stop", "stop_window", "test_episodes"]
    if proxy_configs.from_stored(
        metadata["proxy"]
    ).shapes_rewards:  # the task's agents keep their own warm-up
        config = reward_agent(agent, metadata["task"])
    else:
        kept.append("init_episodes")
        config = AGENTS.find(agent).with_room(evolved.buffer_size)
    config = config.with_time_limit(evolved.time_limit)
    scheduled = replace(config, **{field: getattr(evolved, field) for field in kept})
    longer = (
        max(0, scheduled.init_episodes - evolved.init_episodes) * registry.make(metadata["task"]).max_steps
    )
    return replace(scheduled, max_steps=evolved.max_steps + longer)


def budgeted(agent: AgentConfig, max_steps: int | None) -> AgentConfig:
    """Return the agent with another number of training steps and a buffer to hold them; unchanged if None."""
    if max_steps is None:
        return agent
    room = max(agent.buffer_size, min(max_steps, 100_000))
    return replace(agent, max_steps=max_steps).with_room(room)


def real_schedule(place: Place, default: AgentConfig, max_steps: int | None) -> AgentConfig:
    """Return the agent to compare with on the real task: ``default``, or the very agent that trains in reward networks.

    Its budget is that of ``default`` unless ``max_steps`` is given, since the budget of a proxy may be too small there.
    """
    max_steps = max_steps or default.max_steps
    if not place.shapes_rewards:
        return replace(default, max_steps=max_steps)
    room = max(place.agent.buffer_size, default.buffer_size)
    return replace(place.agent, max_steps=max_steps, max_episodes=default.max_episodes, buffer_size=room)


def test_spec(place: Place, name: str) -> EnvSpec:
    """Return another task to test on, which has the same observations and actions."""
    spec = task_for(place.agent, name)
    if _sizes(spec) != _sizes(place.spec):
        raise UserError(
            f"agents trained in {place.name} cannot play {name}, whose observations or actions have other sizes:"
            f" choose a --test-task like {place.spec.name}"
        )
    return spec


def _sizes(spec: EnvSpec) -> tuple[tuple[int, ...], int]:
    return spec.env.observation_space(spec.env_params).shape, spec.env.num_actions
