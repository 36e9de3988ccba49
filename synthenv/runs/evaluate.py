"""Training agents in any environment and testing them on the real task: figure 3's protocol.

``train`` and ``evaluate`` are one machine: agents with fixed or varied hyperparameters are trained in a task, a shipped
proxy or a run's proxy, tested on the real task with ten greedy episodes, and counted. Agents trained on the real task
and untrained agents are the baselines.

References:
    Ferreira et al. (2022), figures 3 and 25, tables 2 and 5.
"""

from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np

from synthenv.agents.config import TABLE5, AgentConfig, Variation
from synthenv.core.errors import UserError
from synthenv.envs import registry
from synthenv.envs.registry import EnvSpec
from synthenv.outer.trial import TrainingGround
from synthenv.runs.trials import TrialRunner, check_discrete, proxy_ground, real_ground, zeros
from synthenv.zoo import registry as zoo

NUM_BOOTSTRAP = 10_000


class Place(NamedTuple):
    """A training place by name: weights [N, D] of the N environments meant, and the schedule agents follow there."""

    name: str
    spec: EnvSpec
    ground: TrainingGround
    weights: np.ndarray
    agent: AgentConfig


class Scores(NamedTuple):
    """What came of A agents: real test returns [A, E], training steps [A], training episodes [A]."""

    returns: np.ndarray
    num_steps: np.ndarray
    num_episodes: np.ndarray


def resolve(name: str) -> Place:
    """Find a training place.

    Args:
        name: a task id, a shipped proxy (all of a task, or ``:i``), a run directory or a proxy file.

    Raises:
        UserError: if nothing of that name exists.
    """
    if name.split("/")[0] in zoo.KINDS and not Path(name).exists():
        return _proxy_place(name, zoo.load(name))
    if Path(name).exists():
        return _proxy_place(name, [zoo.load_file(_proxy_file(Path(name)), name)])
    try:
        spec = registry.make(name)
    except ValueError as error:
        raise UserError(f"{error}; or a shipped proxy, or a run directory") from None
    check_discrete(spec, "ddqn")
    return Place(
        name, spec, real_ground(spec), zeros(1), TABLE5._replace(stop="solved", time_limit="terminal")
    )


def _proxy_file(path: Path) -> Path:
    if path.is_file():
        return path
    file = path / "best_proxy.safetensors"
    if not file.exists():
        raise UserError(
            f"{path} holds no finished proxy: finish the run with meta-train --resume, or pass another"
        )
    return file


def _proxy_place(name: str, proxies: list[zoo.LoadedProxy]) -> Place:
    first = proxies[0]
    ground = proxy_ground(first.env, first.proxy_params)[0]
    if any(p.env is not first.env for p in proxies):
        raise UserError(f"the proxies of {name} differ in shape: pick one with :i")
    weights = np.stack([proxy_ground(p.env, p.proxy_params)[1] for p in proxies])
    return Place(name, first.spec, ground, weights, schedule_of(first.metadata))


def schedule_of(metadata: dict[str, Any]) -> AgentConfig:
    """Table 5 agents on the training budget that the proxy was evolved for."""
    evolved = AgentConfig(**{**metadata["agent"], "variation": Variation()})
    kept = ("init_episodes", "max_episodes", "max_steps", "buffer_size", "stop", "stop_window", "time_limit")
    return TABLE5._replace(**{field: getattr(evolved, field) for field in kept})


def run_agents(
    place: Place, agent: AgentConfig, num_agents: int, seed: int, num_test_episodes: int = 10
) -> Scores:
    """Train ``num_agents`` agents, spread evenly over the place's environments, and test each on the real task."""
    runner = TrialRunner(agent, place.ground, place.spec, num_test_episodes)
    which = np.arange(num_agents) % len(place.weights)
    results = runner.run(jax.random.key(seed), place.weights[which], np.arange(num_agents), num_agents)
    return Scores(results.returns, results.num_steps, results.num_episodes)


def untrained(place: Place, agent: AgentConfig, num_agents: int, seed: int) -> Scores:
    """The control: the same agents, tested before any training."""
    return run_agents(place, agent._replace(max_steps=1, init_episodes=10**6), num_agents, seed)


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
        "num_agents": len(scores.num_steps),
        "num_test_episodes": scores.returns.shape[1],
    }


def evaluate(
    name: str,
    num_agents: int,
    seed: int = 0,
    vary: bool = False,
    baselines: bool = False,
    agent: AgentConfig | None = None,
    test_task: str | None = None,
) -> tuple[dict[str, Any], dict[str, Scores]]:
    """Train agents in ``name``, test them on the real task, and do the same for the baselines.

    Args:
        name: where to train, see ``resolve``.
        num_agents: agents for each row.
        seed: randomness.
        vary: draw hyperparameters from table 2.
        baselines: add agents trained on the real task and untrained agents.
        agent: overrides the place's own schedule.
        test_task: overrides the real task that agents are tested on (for example CartPole-v1).

    Returns:
        the JSON summary and the raw scores by row.
    """
    place = resolve(name)
    if test_task is not None:
        place = place._replace(spec=registry.make(test_task))
    agent = (agent or place.agent)._replace(vary=vary)
    rows = {"proxy": run_agents(place, agent, num_agents, seed)}
    if baselines:
        real = resolve(place.spec.name)
        rows["real"] = run_agents(real, real.agent._replace(vary=vary), num_agents, seed)
        rows["untrained"] = untrained(place, agent, num_agents, seed)
    summary = summarise(rows["proxy"])
    if baselines:
        summary["baselines"] = {row: summarise(rows[row]) for row in ("real", "untrained")}
    return summary, rows
