"""One generation of the bi-level loop: ask, train and test every member, tell.

The outer loop knows members only as flat vectors and scores; what they parameterise is the business of the function
that runs the trials.

References:
    Ferreira et al. (2022), algorithm 1. The released code evaluates the unperturbed parameters with as many fresh
    agents as there are pairs and takes their mean as the baseline.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from synthenv.outer.config import OuterConfig
from synthenv.outer.strategy import Strategy

PyTree = Any


class OuterState(NamedTuple):
    """Everything the outer loop needs to go on.

    Noise and agent seeds are ``fold_in(root_key, generation)``, so a resumed run repeats them exactly.
    """

    strategy: PyTree
    generation: jax.Array  # finished generations
    best_proxy: jax.Array  # [D]: the incumbent with the best mean score so far
    best_score: jax.Array
    # Whether deciding agents gave that score (runs.meta_train.search). If so, only they may replace it.
    decided: jax.Array


class Trials(NamedTuple):
    """What is to be tried: N proxies [N, D], and the index of the agent (seed and hyperparameters) of each [N]."""

    proxies: np.ndarray
    agents: np.ndarray
    num_agents: int


class Outcome(NamedTuple):
    """What came of N trials: arrays [N], of which ``returns`` are mean real returns, and how busy the devices were."""

    scores: np.ndarray
    returns: np.ndarray
    num_steps: np.ndarray
    num_episodes: np.ndarray
    busy_share: float


RunTrials = Callable[[jax.Array, Trials], Outcome]


class GenerationLog(NamedTuple):
    """One generation: the unperturbed parameters that were evaluated, scores, and what the trials used."""

    incumbent: np.ndarray  # [D]
    incumbent_scores: np.ndarray  # [I]
    member_scores: np.ndarray  # [P]
    outcome: Outcome


def init_state(key: jax.Array, strategy: Strategy, proxy: jax.Array) -> OuterState:
    """Start the search at ``proxy`` [D]."""
    return OuterState(
        strategy=strategy.init(key, proxy),
        generation=jnp.int32(0),
        best_proxy=proxy,
        best_score=jnp.float32(-jnp.inf),
        decided=jnp.bool_(False),
    )


def lay_out(members: np.ndarray, mean: np.ndarray, config: OuterConfig) -> Trials:
    """List the trials of a generation: every member ``agents_per_member`` times, then the incumbents.

    With common random numbers the minus half of each pair repeats the agents of the plus half.
    """
    repeats, population = config.agents_per_member, len(members)
    agents = np.arange(population * repeats)
    if config.common_random_numbers:
        agents = agents % (population * repeats // 2)
    num_agents = int(agents.max()) + 1
    incumbents = num_agents + np.arange(config.num_incumbents)
    return Trials(
        proxies=np.concatenate(
            [np.repeat(members, repeats, axis=0), np.tile(mean, (config.num_incumbents, 1))]
        ),
        agents=np.concatenate([agents, incumbents]),
        num_agents=num_agents + config.num_incumbents,
    )


def mean_score(scores: np.ndarray, axis: int | None = None) -> np.ndarray:
    """Take the mean of scores. One NaN makes it NaN, without a warning; the strategy treats that as worst."""
    return np.asarray(np.mean(np.asarray(scores, np.float32), axis=axis))


def generation(
    root_key: jax.Array, state: OuterState, strategy: Strategy, run_trials: RunTrials, config: OuterConfig
) -> tuple[OuterState, GenerationLog]:
    """Advance the search by one generation.

    Args:
        root_key: the run's key; this generation uses fold_in(root_key, generation) only.
        state: where the search stands.
        strategy: how it moves.
        run_trials: trains and tests agents.
        config: population layout.

    Returns:
        the next state, whose ``best_proxy`` is the incumbent *evaluated* in this generation if it is the best so
        far and none was decided, and the log.
    """
    key_ask, key_trials, key_tell = jax.random.split(jax.random.fold_in(root_key, state.generation), 3)
    mean = strategy.mean(state.strategy)
    members, search = strategy.ask(key_ask, state.strategy)
    trials = lay_out(np.asarray(members), np.asarray(mean), config)
    outcome = run_trials(key_trials, trials)

    num_member_trials = strategy.population_size * config.agents_per_member
    member_scores = mean_score(
        outcome.scores[:num_member_trials].reshape(strategy.population_size, config.agents_per_member), axis=1
    )
    incumbent_scores = outcome.scores[num_member_trials:]
    incumbent_score = jnp.float32(mean_score(incumbent_scores) if config.num_incumbents else np.nan)
    search = strategy.tell(key_tell, members, jnp.asarray(member_scores), incumbent_score, search)
    better = (incumbent_score > state.best_score) & ~state.decided
    state = OuterState(
        strategy=search,
        generation=state.generation + 1,
        best_proxy=jnp.where(better, mean, state.best_proxy),
        best_score=jnp.where(better, incumbent_score, state.best_score),
        decided=state.decided,
    )
    return state, GenerationLog(np.asarray(mean), incumbent_scores, member_scores, outcome)


def choose_start(
    key: jax.Array, candidates: np.ndarray, run_trials: RunTrials, std: float, num: int = 1
) -> tuple[np.ndarray, list[Outcome]]:
    """Find promising points to start from: a search that starts flat spends its first generations blind.

    Two agents try every candidate. Eight more try each of the best sixteenth (eight candidates at least), and the
    scores of these alone decide. Every agent meets its own perturbation of the candidate, because a search climbs the
    mean score around a point, and loses a lonely peak with its first step.

    Args:
        key: random key.
        candidates: random proxies [N, D].
        run_trials: trains and tests agents.
        std: standard deviation of the perturbations.
        num: how many of the best to choose.

    Returns:
        the chosen proxies [num, D], best first, and what the trials used.
    """

    def mean_scores(key: jax.Array, proxies: np.ndarray, repeats: int) -> tuple[np.ndarray, Outcome]:
        key_noise, key_trials = jax.random.split(key)
        trials = lay_out(proxies, proxies[0], OuterConfig(num_incumbents=0, agents_per_member=repeats))
        noise = std * np.asarray(jax.random.normal(key_noise, trials.proxies.shape))
        outcome = run_trials(key_trials, trials._replace(proxies=trials.proxies + noise))
        scores = mean_score(outcome.scores.reshape(len(proxies), repeats), axis=1)
        return np.nan_to_num(scores, nan=-np.inf), outcome

    key_all, key_best = jax.random.split(key)
    scores, first = mean_scores(key_all, candidates, 2)
    best = candidates[np.argsort(-scores, kind="stable")[: max(8, num, len(candidates) // 16)]]
    scores, second = mean_scores(key_best, best, 8)
    return best[np.argsort(-scores, kind="stable")[:num]], [first, second]


def race(
    key: jax.Array,
    starts: list[OuterState],
    generations: int,
    advance: Callable[[jax.Array, OuterState], Any],
) -> tuple[OuterState, list[Outcome]]:
    """Climb a little from every start, and go on from where the members score best by then.

    Some starts lie below a plateau that a search takes many generations to leave. The starts themselves all teach next
    to nothing, so the mean score of a handful of generations tells them apart much better than their own scores.

    Args:
        key: random key.
        starts: searches that have not begun.
        generations: how far each of them is taken; the members of the last third are what counts.
        advance: one generation under a key.

    Returns:
        the search that leads, counted as one that has not begun, and what the trials used.
    """
    ends, heights, outcomes = [], [], []
    for lane, state in enumerate(starts):
        logs = []
        for _ in range(generations):
            state, log = advance(jax.random.fold_in(key, lane), state)
            logs.append(log)
        last = np.concatenate([log.member_scores for log in logs[-max(1, generations // 3) :]])
        survivors = last[np.isfinite(last)]  # a single member that diverged tells nothing of the climb
        ends.append(state)
        heights.append(survivors.mean() if len(survivors) else -np.inf)
        outcomes += [log.outcome for log in logs]
    winner = int(np.argmax(heights))
    return starts[winner]._replace(strategy=ends[winner].strategy), outcomes
