"""Learning curves: the real test return against training steps, for agents in proxies and on the real task.

Every agent trains for the same number of steps, whatever it reaches, and plays one test episode on the real task after
each of its training episodes.

References:
    Ferreira et al. (2022), figures 5, 9 and 12-21; the released evaluation (tables 9, 11, 12, 14, 15 and 17 to 19).
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import numpy as np

from synthenv.agents.config import AgentConfig
from synthenv.core.errors import UserError
from synthenv.core.files import check_place
from synthenv.envs.registry import EnvSpec
from synthenv.envs.tasks import differs
from synthenv.runs.evaluate.stored_curves import Learned, learn
from synthenv.runs.statistics.intervals import bootstrap_interval
from synthenv.runs.training.places import Place, resolve

# Most training steps and episodes; a task's entry may say otherwise, under "curves".
HORIZON = {"max_steps": 50_000, "max_episodes": 1000}
Names = Sequence[str] | Mapping[str, Sequence[str]]
WINDOW = 10  # number of tests in a row that have to reach the threshold
BASELINES = ("real", "icm", "count_based")  # names of rows that no proxy may have


def steps_to_solve(learned: Learned) -> tuple[np.ndarray, np.ndarray]:
    """Return training steps [A] before the first of ten tests in a row that all reach the threshold, and if any [A].

    An agent without such tests counts at the budget.
    """
    returns, steps = learned.curve.returns, learned.curve.steps
    made = np.arange(returns.shape[1])[None, :] < learned.num_tests[:, None]
    good = np.cumsum((returns >= learned.solved_return) & made, axis=1)
    before = np.pad(good, ((0, 0), (1, 0)))
    stays = (before[:, WINDOW:] - before[:, :-WINDOW]) == WINDOW  # [A, K - 9], for tests k to k + 9
    stays = np.pad(stays, ((0, 0), (0, 1)))  # among fewer than ten tests, none begins a row of ten
    solved = np.asarray(stays.any(axis=1))
    first = steps[np.arange(len(steps)), stays.argmax(axis=1)]
    return np.where(solved, first, learned.budget), solved


def at_steps(learned: Learned, grid: np.ndarray) -> np.ndarray:
    """Return the last test before each number of training steps in ``grid`` [G], [A, G]; NaN before the first."""
    rows = []
    for returns, steps, num in zip(*learned.curve, learned.num_tests, strict=True):
        index = np.searchsorted(steps[:num], grid, side="right") - 1
        rows.append(np.where(index >= 0, returns[np.maximum(index, 0)], np.nan))
    return np.array(rows)


def summarise(learned: Learned) -> dict[str, Any]:
    """Return the JSON summary of A agents: steps to solve, the last tests, and the mean over all of training.

    That mean is the area under the curve per training step: it tells learners apart where nobody solves the task.
    """
    steps, solved = steps_to_solve(learned)
    rows = np.arange(len(learned.num_tests))[:, None]
    last = learned.num_tests[:, None] - 1 - np.arange(WINDOW)[None, :]
    final = np.where(last >= 0, learned.curve.returns[rows, np.maximum(last, 0)], np.nan)
    final = _mean_of_known(final)
    area = _mean_of_known(at_steps(learned, np.linspace(0, learned.budget, 201)))
    return {
        "steps_to_solve": float(steps.mean()),
        "ci95_steps_to_solve": bootstrap_interval(steps.astype(float)),
        "median_steps_to_solve": float(np.median(steps)),
        "solved_share": float(solved.mean()),
        "final_return": float(final.mean()),
        "ci95_final_return": bootstrap_interval(final),
        "mean_return_in_training": float(area.mean()),
        "ci95_return_in_training": bootstrap_interval(area),
        "budget": learned.budget,
        "num_agents": len(steps),
    }


def _mean_of_known(values: np.ndarray) -> np.ndarray:
    """Return the mean [A] of the numbers in each row of values [A, K]; NaN for an agent without a test."""
    known = ~np.isnan(values)
    total = np.where(known, values, 0.0).sum(axis=1)
    return np.where(known.any(axis=1), total / np.maximum(known.sum(axis=1), 1), np.nan)


def bounded(agent: AgentConfig, task: str, max_steps: int | None, vary: bool) -> AgentConfig:
    """Put the agent on the evaluation's schedule: a fixed number of steps, a test after every episode."""
    horizon = HORIZON | differs(task, "curves")
    horizon["max_steps"] = max_steps or horizon["max_steps"]
    agent = agent.with_room(max(agent.buffer_size, min(horizon["max_steps"], 1_000_000)))
    return replace(agent, stop="none", test_episodes=1, vary=vary, **horizon)


def rows_of(
    names: Mapping[str, Sequence[str]], agent: str | None, baselines: bool | Literal["bare"]
) -> tuple[EnvSpec, dict[str, dict[str, tuple[Place, AgentConfig]]]]:
    """Find where an agent is to train, and the task of all these places.

    Returns:
        the task, and {"proxies": {name: (place, agent)}, "baselines": {...}}.
    """
    places = {row: resolve(*proxies, agent=agent) for row, proxies in names.items()}
    (spec, *others) = {place.spec.name: place.spec for place in places.values()}.values()
    if others:
        raise UserError(f"the proxies are of {spec.name} and {others[0].name}: evaluate one task at a time")
    rows = {"proxies": {name: (place, place.agent) for name, place in places.items()}}
    if baselines:
        own = next(iter(places.values())).agent
        real = resolve(spec.name, agent=own.full_name)
        rows["baselines"] = {"real": (real, own.bare())}
        if baselines != "bare" and (exploring := own.exploring()) is not None:
            name, agent_with_bonus = exploring
            rows["baselines"][name] = (real, agent_with_bonus)
    return spec, rows


def plan(
    names: Names,
    agents: Sequence[str] | None,
    baselines: bool | Literal["bare"],
    max_steps: int | None = None,
    vary: bool = False,
) -> tuple[EnvSpec, list[tuple[str, str, str, Place, AgentConfig]]]:
    """List the rows of learning curves.

    A directory that is called as a baseline goes by its path from here, ``./real``.

    Args:
        names: proxies of one task, as for ``evaluate_curves``.
        agents: who trains, each in every proxy; if None, the agent that the first proxy was evolved with.
        baselines: whether to add the agents on the real task, or only bare ones.
        max_steps: training steps per agent; what the papers' figures show if None.
        vary: draw every agent's hyperparameters at random.

    Returns:
        the task, and for every row the agent's name, ``proxies`` or ``baselines``, the row's name, the place and the
        agent's config.

    Raises:
        UserError: as ``evaluate_curves``.
    """
    if not isinstance(names, Mapping):
        names = {f"./{name}" if name in BASELINES else name: (name,) for name in names}
    agents = agents or (resolve(*next(iter(names.values()))).agent.name,)
    spec, _ = rows_of(names, agents[0], False)
    return spec, [
        (agent, kind, row, place, bounded(config, spec.name, max_steps, vary))
        for agent in agents
        for kind, rows in rows_of(names, agent, baselines)[1].items()
        for row, (place, config) in rows.items()
    ]


def evaluate_curves(
    names: Names,
    agents: Sequence[str] | None,
    num_agents: int,
    seed: int = 0,
    vary: bool = False,
    baselines: bool | Literal["bare"] = True,
    max_steps: int | None = None,
    show: Callable[[str, int, int], None] = lambda row, done, total: None,
    store: Path | None = None,
) -> tuple[dict[str, Any], dict[str, Learned]]:
    """Measure curves of every agent in every proxy, and of the same agents bare and curious on the real task.

    Args:
        names: proxies of one task: shipped ones, run directories. Each is a row of its own; a mapping names the rows
            and says which proxies share one.
        agents: who trains, each in every proxy; if None, the agent that the first proxy was evolved with.
        num_agents: fresh agents for each row.
        seed: randomness.
        vary: draw every agent's hyperparameters at random (table 9; else table 2).
        baselines: add the agents on the real task, bare and with the exploration bonus of the papers; or bare only.
        max_steps: training steps per agent; what the papers' figures show if None.
        show: called with each row's name before it begins, how many are done, and of how many.
        store: directory of finished rows; what is there is not trained again.

    Returns:
        the JSON summary, ``agents`` in it being {agent: {"proxies": {name: row}, "baselines": {name: row}}}, and the
        curves by "agent: row". The row of the first agent and proxy stands at the top of the summary too, with that
        agent's baselines.

    Raises:
        UserError: if a name is unknown, the proxies are of several tasks, or an agent does not fit.
    """
    spec, todo = plan(names, agents, baselines, max_steps, vary)
    if store is not None:
        check_place(store)
    summary: dict[str, Any] = {}
    curves: dict[str, Learned] = {}
    for done, (agent, kind, row, place, config) in enumerate(todo):
        show(f"{agent}: {row}", done, len(todo))
        learned = curves[f"{agent}: {row}"] = learn(place, config, num_agents, seed, store)
        summary.setdefault(agent, {}).setdefault(kind, {})[row] = summarise(learned)
    agent, first = next(iter(summary.items()))
    return {
        "tested_on": spec.name,
        "solved_return": spec.solved_return,
        "agent": agent,
        **next(iter(first["proxies"].values())),
        "baselines": first.get("baselines", {}),
        "agents": summary,
    }, curves
