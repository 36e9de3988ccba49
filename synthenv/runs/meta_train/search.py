"""One bi-level search: a config bound to its compiled pieces, its generations, and the test whether it is over."""

import dataclasses
from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.flatten_util import ravel_pytree

from synthenv.agents.training.hyperparams import few_shapes
from synthenv.core.errors import UserError
from synthenv.outer import bilevel
from synthenv.outer.bilevel import GenerationLog, Outcome, OuterState, Trials
from synthenv.outer.objectives import make_objective
from synthenv.outer.strategy import make_strategy
from synthenv.runs.meta_train.config import MetaTrainConfig, check
from synthenv.runs.statistics.intervals import standard_error
from synthenv.runs.training.trial_runner import TrialRunner, proxy_ground, task_for

# Agents of the search's own that have to agree before the more expensive ones of table 2 are asked.
NUM_OWN = 32
# Shapes of network that agents of table 2 have: each takes as long to compile as several agents to train.
NUM_SHAPES = 6
ROUND = 12  # of them are asked at a time: every shape twice
# Told how many rounds of trials are done while a start is chosen, and how many there are.
ShowStart = Callable[[int, int], None]


class Verdict(NamedTuple):
    """Whether a generation ends the search, and what it took to find out.

    ``mean`` is the mean score that decided; None if no agents were asked to decide.
    """

    state: OuterState
    solved: bool
    mean: float | None = None
    train_steps: int = 0


class Search:
    """A bi-level search: the config bound to its compiled pieces."""

    def __init__(self, config: MetaTrainConfig, seed: int):
        check(config)
        self.config = config
        self.spec = task_for(config.agent, config.task)
        self.root_key = jax.random.key(seed)
        self.proxy_config = config.proxy.as_seen(config.agent.time_limit)
        self.proxy = self.proxy_config.make(self.spec.env, self.spec.env_params)
        # A generation uses fold_in(root_key, generation); every other use has a key of a stream of its own.
        apart = jax.random.split(jax.random.fold_in(self.root_key, 2**31 - 1), 7)
        key_proxy, self.key_init, self.key_starts, self.key_choice, self.key_race = apart[:5]
        self.key_decide, key_shapes = apart[5:]
        ground, self.first_proxy, self.unravel = proxy_ground(self.proxy, self.proxy.init_params(key_proxy))
        outer = config.outer
        if outer.objective == "reward_threshold" and not np.isfinite(self.spec.solved_return):
            raise UserError(
                f"nobody has said from which return on {config.task} counts as solved: pass --objective auc, or"
                " register it as a Task with a solved_return"
            )
        objective = make_objective(outer.objective, self.spec.solved_return, outer.unsolved_weight)
        self.runner = TrialRunner(config.agent, ground, self.spec, outer.num_test_episodes, objective)
        whole = dataclasses.replace(config.agent, variation=type(config.agent)().variation)  # in table 2
        shapes = few_shapes(key_shapes, whole, NUM_SHAPES)
        self.confirmer = TrialRunner(whole, ground, self.spec, outer.num_test_episodes, shapes=shapes)
        asked = outer.solved_score
        self.solved_score = self.spec.solved_return if asked is None else asked
        self.strategy = make_strategy(config.strategy, self.first_proxy.size, self.solved_score)

    def start(self, proxy: np.ndarray | None = None) -> OuterState:
        """Return the state before the first generation, at a random proxy or this one [D]."""
        proxy = self.first_proxy if proxy is None else proxy
        return bilevel.init_state(self.key_init, self.strategy, jnp.asarray(proxy))

    def choose_start(self, show: ShowStart = lambda done, total: None) -> tuple[OuterState, int]:
        """The same at the best of ``num_starts`` random proxies, and the training steps that finding it took."""
        outer = self.config.outer
        if outer.num_starts <= 1:
            return self.start(), 0
        climbs = min(outer.num_climbs, outer.num_starts) if outer.num_climbs > 1 else 0
        done, total = 0, 2 + climbs * outer.climb_generations
        show(done, total)

        def run_trials(key: jax.Array, trials: Trials) -> Outcome:
            nonlocal done
            outcome = self.runner(key, trials)
            show(done := done + 1, total)
            return outcome

        def advance(key: jax.Array, state: OuterState) -> tuple[OuterState, GenerationLog]:
            return bilevel.generation(key, state, self.strategy, run_trials, outer)

        keys = jax.random.split(self.key_starts, outer.num_starts)
        candidates = jax.vmap(lambda key: ravel_pytree(self.proxy.init_params(key))[0])(keys)
        best, outcomes = bilevel.choose_start(
            self.key_choice,
            np.asarray(candidates),
            run_trials,
            self.config.strategy.std,
            outer.num_climbs,
        )
        state = self.start(best[0])
        if outer.num_climbs > 1:
            starts = [self.start(proxy) for proxy in best]
            state, climbed = bilevel.race(self.key_race, starts, outer.climb_generations, advance)
            outcomes += climbed
        return state, int(sum(outcome.num_steps.sum() for outcome in outcomes))

    def advance(self, state: OuterState) -> tuple[OuterState, GenerationLog]:
        """One generation."""
        return bilevel.generation(self.root_key, state, self.strategy, self.runner, self.config.outer)

    def check_solved(
        self, state: OuterState, log: GenerationLog, notify: Callable[[str], None] = lambda line: None
    ) -> Verdict:
        """Find out whether the incumbent of this generation solves the task; if so, it is the one to keep.

        A mean over few agents is easily lucky, and in many generations some are. Agents other than the search's own
        may also fail where those do well. So with ``confirm_agents``, more of the search's own agents are asked first,
        which costs little, and then fresh agents of table 2 decide. Their mean outweighs every score of a generation:
        the best incumbent they decided on is kept until they find another one better. Until they have decided on any,
        a lucky score of the best incumbent gives way to the mean of the agents asked later, so that it does not shut
        out better ones.
        """
        scores, config = log.incumbent_scores, self.config.outer
        if not config.stop_when_solved or not len(scores) or not np.mean(scores) >= self.solved_score:
            return Verdict(state, False)
        if not config.confirm_agents:
            mean = float(np.mean(scores))
            return Verdict(keep(state, log.incumbent, mean, notify), True, mean)
        key_own, key_others = jax.random.split(jax.random.fold_in(self.key_decide, state.generation))
        own, steps = try_agents(key_own, self.runner, log.incumbent, min(NUM_OWN, config.confirm_agents))
        if not np.mean(own) >= self.solved_score:
            if not state.decided and np.array_equal(state.best_proxy, log.incumbent):
                state = keep(state, log.incumbent, float(np.mean(own)), notify)
            return Verdict(state, False, train_steps=steps)
        notify(
            f"incumbents reach {np.mean(scores):.1f}: up to {config.confirm_agents} fresh agents of table 2"
            " decide whether that is solved ..."
        )
        scores, more_steps = self.confirm(key_others, log.incumbent, notify)
        mean = float(np.mean(scores))
        if not state.decided or mean > state.best_score:
            state = keep(state, log.incumbent, mean, notify)._replace(decided=jnp.bool_(True))
        solved = bool(mean - standard_error(scores) >= self.solved_score)
        return Verdict(state, solved, mean, steps + more_steps)

    def confirm(
        self, key: jax.Array, incumbent: np.ndarray, notify: Callable[[str], None] = lambda line: None
    ) -> tuple[np.ndarray, int]:
        """Return scores of fresh agents on ``incumbent`` [D], and their training steps; agents are asked in rounds.

        Most incumbents that are asked about fall short, and the first round usually shows it.
        """
        scores, steps, wanted = np.zeros(0, np.float32), 0, self.config.outer.confirm_agents
        while len(scores) < wanted:
            round_key, num = jax.random.fold_in(key, len(scores)), min(ROUND, wanted - len(scores))
            more, more_steps = try_agents(round_key, self.confirmer, incumbent, num)
            scores, steps = np.append(scores, more), steps + more_steps
            notify(f"{len(scores)} of {wanted} agents: mean {np.mean(scores):.1f}")
            if not np.mean(scores) + standard_error(scores) >= self.solved_score:
                break
        return scores, steps


def keep(state: OuterState, proxy: np.ndarray, score: float, notify: Callable[[str], None]) -> OuterState:
    """The state with ``proxy`` [D] as its best one, a fall told; a score of NaN is the worst there can be."""
    before, score = float(state.best_score), float(np.nan_to_num(score, nan=-np.inf))
    if score < before:
        notify(
            f"best falls from {before:.1f}, a mean over few agents, to {score:.1f}, retested with more of them"
        )
    return state._replace(best_proxy=jnp.asarray(proxy), best_score=jnp.float32(score))


def try_agents(key: jax.Array, runner: TrialRunner, proxy: np.ndarray, num: int) -> tuple[np.ndarray, int]:
    """Return scores [num] of fresh agents on one proxy [D], and the training steps that they took."""
    trials = runner.run(key, np.tile(proxy, (num, 1)), np.arange(num), num)
    return trials.score, int(trials.num_steps.sum())
