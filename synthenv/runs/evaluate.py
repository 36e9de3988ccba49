"""Training agents in any environment and testing them on the real task: figure 3's protocol.

``train`` and ``evaluate`` are one machine: agents with fixed or varied hyperparameters are trained in a task, a shipped
proxy or a run's proxy, tested on the real task with ten greedy episodes, and counted. Agents trained on the real task
and untrained agents are the baselines.

References:
    Ferreira et al. (2022), figures 3 and 25, tables 2 and 5.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import jax
import numpy as np

from synthenv.agents.config import AgentConfig, TabularConfig, around
from synthenv.agents.ppo_config import PPOMonteCarloConfig
from synthenv.agents.presets import AGENTS, REWARD_AGENTS
from synthenv.core.errors import UserError
from synthenv.envs import registry
from synthenv.envs.registry import EnvSpec
from synthenv.outer.trial import TrainingGround
from synthenv.proxies.reward_network import RewardNetwork
from synthenv.runs.config import agent_from_stored
from synthenv.runs.trials import TrialRunner, fitting_agent, proxy_ground, real_ground, task_for, zeros
from synthenv.zoo import registry as zoo

NUM_BOOTSTRAP = 10_000
AS_EVOLVED = "as_evolved"  # whom a proxy was evolved with, hyperparameters and all


class Place(NamedTuple):
    """A training place by name.

    Attributes:
        name: how it was asked for.
        spec: the real task that agents are tested on.
        ground: where they train.
        weights: of the N environments meant. [N, D]
        agent: the schedule that agents follow there.
        proxies: names of the N environments if they are proxies, else empty.
    """

    name: str
    spec: EnvSpec
    ground: TrainingGround
    weights: np.ndarray
    agent: AgentConfig
    proxies: tuple[str, ...] = ()


class Scores(NamedTuple):
    """What came of A agents: real test returns [A, E], training steps [A], training episodes [A].

    ``which`` [A] says in which of the place's environments each of them trained.
    """

    returns: np.ndarray
    num_steps: np.ndarray
    num_episodes: np.ndarray
    which: np.ndarray


def resolve(*names: str, agent: str | None = None) -> Place:
    """Find a training place.

    Args:
        agent: who is to train there; if None, whom a proxy was evolved with (with the hyperparameters of the papers'
            evaluations; ``as_evolved``: with its own), or one that fits the task.
        names: a task id, or one or several of: a shipped proxy (all of a task, or ``:i``), a run directory, a proxy
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


def _load_proxies(name: str) -> list[zoo.LoadedProxy]:
    """The proxies of a name; none if it is no name of a proxy."""
    return zoo.load(name) if zoo.is_proxy(name) else []


def _task_place(name: str, agent: str | None) -> Place:
    if agent == AS_EVOLVED:
        raise UserError(
            f"{name} was not evolved with any agent: name one, or pass a shipped proxy or a run directory"
        )
    agent = agent or fitting_agent(name)
    config = replace(AGENTS[agent], stop="solved", time_limit="terminal")
    try:
        spec = task_for(config, name)
    except UserError as error:
        raise UserError(f"{error}; or pass a shipped proxy or a run directory") from None
    return Place(name, spec, real_ground(spec), zeros(1), config)


def _proxy_place(name: str, proxies: list[zoo.LoadedProxy], agent: str | None) -> Place:
    first = proxies[0]
    who: str = agent or first.metadata["agent"].get("name", "ddqn")
    ground = proxy_ground(first.env, first.proxy_params)[0]
    config = schedule_of(first.metadata, who)
    task_for(config, first.spec.name)
    if any(p.env is not first.env or schedule_of(p.metadata, who) != config for p in proxies):
        raise UserError(f"the proxies of {name} differ in shape or training budget: pick one, or some alike")
    weights = np.stack([proxy_ground(p.env, p.proxy_params)[1] for p in proxies])
    return Place(name, first.spec, ground, weights, config, tuple(p.name for p in proxies))


def schedule_of(metadata: dict[str, Any], agent: str = "ddqn") -> AgentConfig:
    """An agent of the papers' evaluations on the training budget that the proxy was evolved for.

    In a reward network it warms up as long as it does elsewhere; what that is longer comes on top of the budget.
    """
    evolved = agent_from_stored(metadata["agent"])
    if agent == AS_EVOLVED:
        return replace(evolved, vary=False, variation=around(evolved))
    config = AGENTS[agent]
    kept = ["max_episodes", "max_steps", "stop", "stop_window", "test_episodes"]
    if "variant" in metadata["proxy"]:  # a reward network: the task's own agents, whose warm-up is their own
        config = REWARD_AGENTS.get(metadata["task"], {}).get(agent, config)
        kept.append("time_limit")
    else:
        kept.append("init_episodes")
        if not isinstance(config, PPOMonteCarloConfig):  # it cannot look through a time limit
            kept.append("time_limit")
        if not isinstance(config, TabularConfig):
            kept.append("buffer_size")
    scheduled = replace(config, **{field: getattr(evolved, field) for field in kept})
    longer = (
        max(0, scheduled.init_episodes - evolved.init_episodes) * registry.make(metadata["task"]).max_steps
    )
    return replace(scheduled, max_steps=evolved.max_steps + longer)


def budgeted(agent: AgentConfig, max_steps: int | None) -> AgentConfig:
    """The agent with another number of training steps, and a buffer to hold them; itself if None."""
    if max_steps is None:
        return agent
    room = 1 if isinstance(agent, TabularConfig) else max(agent.buffer_size, min(max_steps, 100_000))
    return replace(agent, max_steps=max_steps, buffer_size=room)


def real_schedule(place: Place, default: AgentConfig, max_steps: int | None) -> AgentConfig:
    """Whom to compare with on the real task: ``default``; beside reward networks the very agent that trains there.

    Its budget is that of ``default``, unless ``max_steps`` says otherwise: what was ample in a proxy may be too little.
    """
    max_steps = max_steps or default.max_steps
    if not isinstance(place.ground.env, RewardNetwork):
        return replace(default, max_steps=max_steps)
    room = max(place.agent.buffer_size, default.buffer_size)
    return replace(place.agent, max_steps=max_steps, max_episodes=default.max_episodes, buffer_size=room)


def _test_spec(place: Place, name: str) -> EnvSpec:
    """Another task to test on, for the same observations and actions."""
    spec = task_for(place.agent, name)
    if _sizes(spec) != _sizes(place.spec):
        raise UserError(
            f"agents trained in {place.name} cannot play {name}, whose observations or actions have other sizes:"
            f" choose a --test-task like {place.spec.name}"
        )
    return spec


def _sizes(spec: EnvSpec) -> tuple[tuple[int, ...], int]:
    return spec.env.observation_space(spec.env_params).shape, spec.env.num_actions


def run_agents(
    place: Place, agent: AgentConfig, num_agents: int, seed: int, num_test_episodes: int = 10
) -> Scores:
    """Train ``num_agents`` agents, spread evenly over the place's environments, and test each on the real task."""
    runner = TrialRunner(agent, place.ground, place.spec, num_test_episodes)
    which = np.arange(num_agents) % len(place.weights)
    # Apart from every key of a search with this seed.
    key = jax.random.fold_in(jax.random.key(seed), 2**31 - 2)
    results = runner.run(key, place.weights[which], np.arange(num_agents), num_agents)
    return Scores(results.returns, results.num_steps, results.num_episodes, which)


def untrained(place: Place, agent: AgentConfig, num_agents: int, seed: int) -> Scores:
    """The control: the same agents, tested before any training."""
    return run_agents(place, replace(agent, max_steps=1, init_episodes=10**6), num_agents, seed)


def bootstrap_interval(values: np.ndarray, seed: int = 0) -> list[float]:
    """95 % percentile bootstrap interval of the mean over agents (the first axis)."""
    per_agent = values.reshape(len(values), -1).mean(axis=1)
    draws = np.random.default_rng(seed).integers(0, len(values), (NUM_BOOTSTRAP, len(values)))
    return [float(x) for x in np.percentile(per_agent[draws].mean(axis=1), [2.5, 97.5])]


def summarise(scores: Scores) -> dict[str, Any]:
    """The JSON summary of A agents: means, intervals over agents, and what they used."""
    return {
        "mean_return": float(scores.returns.mean()),
        "ci95_return": bootstrap_interval(scores.returns),
        "median_return": float(np.median(scores.returns)),
        "mean_train_steps": float(scores.num_steps.mean()),
        "ci95_train_steps": bootstrap_interval(scores.num_steps.astype(float)),
        "mean_train_episodes": float(scores.num_episodes.mean()),
        "ci95_train_episodes": bootstrap_interval(scores.num_episodes.astype(float)),
        "num_agents": len(scores.num_steps),
        "num_test_episodes": scores.returns.shape[1],
    }


def summarise_proxies(place: Place, scores: Scores) -> list[dict[str, Any]]:
    """The summary of each proxy on its own, in the order of the place; those without agents are left out."""
    each = [Scores(*(x[scores.which == i] for x in scores)) for i in range(len(place.weights))]
    return [
        {"proxy": name, **summarise(own)}
        for name, own in zip(place.proxies, each, strict=True)
        if len(own.which)
    ]


def evaluate(
    name: str | Sequence[str],
    num_agents: int,
    seed: int = 0,
    vary: bool = False,
    baselines: bool = False,
    agent: str | None = None,
    test_task: str | None = None,
    max_steps: int | None = None,
    num_baseline_agents: int | None = None,
    max_baseline_steps: int | None = None,
) -> tuple[dict[str, Any], dict[str, Scores]]:
    """Train agents in ``name``, test them on the real task, and do the same for the baselines.

    Args:
        name: where to train, one or several names, see ``resolve``.
        num_agents: agents for each row.
        seed: randomness.
        vary: draw hyperparameters from table 2.
        baselines: add agents trained on the real task and untrained agents.
        agent: who trains, a name in ``agents.presets.AGENTS``; see ``resolve`` for None.
        test_task: overrides the real task that agents are tested on (for example CartPole-v1).
        max_steps: overrides the training steps per agent; the buffer grows with it.
        num_baseline_agents: agents for each baseline, if not as many as for the first row.
        max_baseline_steps: bounds the training of the agents on the real task.

    Returns:
        the JSON summary (with one of its own for each proxy meant) and the raw scores by row.

    Raises:
        UserError: if a name is unknown, the tasks do not fit each other or there are no agents.
    """
    if num_agents < 1:
        raise UserError(f"--num-agents {num_agents} trains nobody: pass 1 or more")
    place = resolve(*((name,) if isinstance(name, str) else name), agent=agent)
    if test_task is not None:
        place = place._replace(spec=_test_spec(place, test_task))
    config = replace(place.agent, vary=vary)
    config = budgeted(config, max_steps)
    rows = {"proxy": run_agents(place, config, num_agents, seed)}
    if baselines:
        num_baseline_agents = num_baseline_agents or num_agents
        real = resolve(place.spec.name, agent=place.agent.name)
        schedule = real_schedule(place, real.agent, max_baseline_steps)
        rows["real"] = run_agents(real, replace(schedule, vary=vary), num_baseline_agents, seed)
        rows["untrained"] = untrained(place, config, num_baseline_agents, seed)
    summary = {"agent": place.agent.name, "tested_on": place.spec.name, **summarise(rows["proxy"])}
    if place.proxies:
        summary["proxies"] = summarise_proxies(place, rows["proxy"])
    if baselines:
        summary["baselines"] = {row: summarise(rows[row]) for row in ("real", "untrained")}
    return summary, rows
