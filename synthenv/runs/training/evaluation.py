"""Training agents in any environment and testing them on the real task: figure 3's protocol.

``train`` and ``evaluate`` work alike: agents with fixed or varied hyperparameters are trained in a task, a shipped
proxy or a run's proxy, tested on the real task with ten greedy episodes, and counted. Agents trained on the real task
and untrained agents are the baselines.

References:
    Ferreira et al. (2022), figures 3 and 25, tables 2 and 5.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import jax
import numpy as np

from synthenv.agents.config import AgentConfig
from synthenv.runs.statistics.intervals import bootstrap_interval
from synthenv.runs.training.places import Place, budgeted, real_schedule, resolve, test_spec
from synthenv.runs.training.trial_runner import TrialRunner

Keep = Callable[[AgentConfig, Any], None]


class Scores(NamedTuple):
    """Results of A agents: real test returns [A, E], training steps [A], training episodes [A].

    ``which`` [A] says in which of the place's environments each of them trained.
    """

    returns: np.ndarray
    num_steps: np.ndarray
    num_episodes: np.ndarray
    which: np.ndarray


def run_agents(
    place: Place,
    agent: AgentConfig,
    num_agents: int,
    seed: int,
    num_test_episodes: int = 10,
    keep: Keep | None = None,
) -> Scores:
    """Train ``num_agents`` agents, spread evenly over the place's environments, and test each on the real task.

    Args:
        place: where they train, and the task they are tested on.
        agent: their config.
        num_agents: A.
        seed: randomness.
        num_test_episodes: E.
        keep: called with the agent and the policies that were learnt, leading axis [A].
    """
    runner = TrialRunner(agent, place.ground, place.spec, num_test_episodes, keep=keep is not None)
    which = np.arange(num_agents) % len(place.weights)
    # This key is apart from every key of a search with this seed.
    key = jax.random.fold_in(jax.random.key(seed), 2**31 - 2)
    results = runner.run(key, place.weights[which], np.arange(num_agents), num_agents)
    if keep is not None:
        keep(agent, results.params)
    return Scores(results.returns, results.num_steps, results.num_episodes, which)


def untrained(place: Place, agent: AgentConfig, num_agents: int, seed: int) -> Scores:
    """Test the same agents before any training, as a control."""
    return run_agents(place, replace(agent, max_steps=1, init_episodes=10**6), num_agents, seed)


def summarise(scores: Scores) -> dict[str, Any]:
    """Return the JSON summary of A agents: means, intervals over agents, and what they used."""
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
    """Return the summary of each proxy on its own, in the order of the place, without proxies that have no agents."""
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
    keep: Keep | None = None,
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
        keep: given the agents and the policies that they learnt in ``name``, with leading axis [A]; for agents that
            are alike only, so not with ``vary``.

    Returns:
        the JSON summary (with one of its own for each proxy meant) and the raw scores by row.

    Raises:
        UserError: if a name is unknown, or the tasks do not fit each other.
    """
    place = resolve(*((name,) if isinstance(name, str) else name), agent=agent)
    if test_task is not None:
        place = place._replace(spec=test_spec(place, test_task))
    config = replace(place.agent, vary=vary)
    config = budgeted(config, max_steps)
    rows = {"proxy": run_agents(place, config, num_agents, seed, keep=keep)}
    if baselines:
        num_baseline_agents = num_baseline_agents or num_agents
        real = resolve(place.spec.name, agent=place.agent.full_name)
        schedule = real_schedule(place, real.agent, max_baseline_steps)
        rows["real"] = run_agents(real, replace(schedule, vary=vary), num_baseline_agents, seed)
        rows["untrained"] = untrained(place, config, num_baseline_agents, seed)
    summary = {"agent": place.agent.full_name, "tested_on": place.spec.name, **summarise(rows["proxy"])}
    summary |= {"stop": config.stop, "max_steps": config.max_steps}
    if place.proxies:
        summary["proxies"] = summarise_proxies(place, rows["proxy"])
    if baselines:
        summary["baselines"] = {row: summarise(rows[row]) for row in ("real", "untrained")}
    return summary, rows
