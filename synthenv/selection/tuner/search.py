"""A search that is asked what to do and told what came of it: the decisions of ``simulate.py``, on a real clock.

    search = Search(pool, METHODS["asha"].policy, None, num_steps=27, seed=0)
    while job := search.ask(clock):
        search.tell(job, Outcome(scores, seconds))

Any number of jobs may be out at the same time. Every decision has a number, and all its randomness is of ``fold_in(key,
number)``: a search that is asked and told the same things in the same order decides the same, which is how it is taken
up again, and which ``simulate`` does, too.

Axis letters here: N candidates, T steps.
"""

import functools
import math
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from synthenv.selection.search.simulate import SKIP, Choice, Policy, View
from synthenv.selection.surrogates.surrogate import Candidates, Seen
from synthenv.selection.tuner.jobs import Budget, Job, Outcome
from synthenv.selection.tuner.pool import Pool

_MOST_SKIPS = 10_000  # in a row, after which a policy has nothing left to do


class Best(NamedTuple):
    """The best score so far, as the objective said it, and after which step of which candidate."""

    candidate: int
    step: int
    score: float


@functools.cache
def _compiled(policy: Policy) -> tuple[Any, Any]:
    """How a policy decides, which includes that it decides again at once if it skips, and how it sees."""

    def choose(
        key: jax.Array, number: jax.Array, params: Any, state: Any, view: View
    ) -> tuple[Any, Choice, jax.Array]:
        def decide(carry: tuple[Any, Choice, jax.Array]) -> tuple[Any, Choice, jax.Array]:
            state, _, number = carry
            state, choice = policy.choose(jax.random.fold_in(key, number), params, state, view)
            return state, Choice(*(jnp.asarray(x, jnp.int32) for x in choice)), number + 1

        def skips(carry: tuple[Any, Choice, jax.Array]) -> jax.Array:
            return (carry[1].candidate == SKIP) & (carry[2] < number + _MOST_SKIPS)

        return jax.lax.while_loop(skips, decide, decide((state, Choice(number, number), number)))

    return jax.jit(choose), None if policy.see is None else jax.jit(policy.see)


class Search:
    """A search among the candidates of a pool.

    Args:
        pool: the candidates.
        policy: how it decides.
        params: what the policy knows beforehand.
        num_steps: steps of a whole trial.
        seed: of all randomness.
        budget: how far it goes.
        minimise: whether small scores are good; the policy sees them turned round.
        score_range: the least and the greatest score that can be, if that is known.
        meta_features: of the data set at hand. [K]
        curve_length: steps that the policy thinks of, T; ``num_steps`` unless it has learnt from longer ones.
    """

    def __init__(
        self,
        pool: Pool,
        policy: Policy,
        params: Any = None,
        num_steps: int = 1,
        seed: int = 0,
        budget: Budget | None = None,
        minimise: bool = False,
        score_range: tuple[float, float] | None = None,
        meta_features: np.ndarray | None = None,
        curve_length: int | None = None,
    ):
        self.pool, self.policy, self.num_steps, self.budget = pool, policy, num_steps, budget or Budget()
        self.minimise, self.score_range, self._params = minimise, score_range, params
        num, length = len(pool.configs), curve_length or num_steps
        self.curves = np.full((num, length), np.nan)  # as the objective said them
        self.costs = np.full((num, length), np.nan)
        self.steps = np.zeros(num, np.int32)
        self.is_closed = np.zeros(num, bool)  # crashed, or over before the last step
        self.reasons: dict[int, str] = {}  # of crashes, by candidate
        self.running: dict[int, Job] = {}  # by candidate
        self.num_jobs = self.num_decisions = 0
        meta = np.zeros(0, np.float32) if meta_features is None else meta_features
        candidates = Candidates(jnp.asarray(pool.features), jnp.asarray(meta), jnp.ones(num, bool))
        # As simulate has it, where a split is a fold_in.
        key_start, self._key = jax.random.split(jax.random.key(seed))
        self._state = policy.start(key_start, params, candidates, length)

    def ask(self, clock: float) -> Job | None:
        """The next job; None if there is none before another one ends, or if the budget is spent.

        Args:
            clock: seconds since the search began.
        """
        if self.is_spent(clock):
            return None
        choice = self._choose(clock)
        candidate, target = int(choice.candidate), min(int(choice.target), self.num_steps)
        if candidate < 0 or not self._is_open()[candidate] or target <= self.steps[candidate]:
            return None
        job = Job(self.num_jobs, candidate, int(self.steps[candidate]), target)
        self.running[candidate] = job
        self.num_jobs += 1
        return job

    def tell(self, job: Job, outcome: Outcome) -> None:
        """What came of a job that was asked for.

        Raises:
            ValueError: the job is not out, or the scores are not of its steps.
        """
        if self.running.get(job.candidate) != job:
            raise ValueError(f"{job} is not out: tell each job once")
        num = len(outcome.scores)
        if num != len(outcome.seconds) or num > job.last - job.first:
            raise ValueError(f"{job} has no {num} scores and {len(outcome.seconds)} seconds")
        del self.running[job.candidate]
        last = job.first + num
        self.curves[job.candidate, job.first : last] = outcome.scores
        self.costs[job.candidate, job.first : last] = outcome.seconds
        self.is_closed[job.candidate] = bool(outcome.reason) or outcome.ended or last < job.last
        if outcome.reason:
            self.reasons[job.candidate] = outcome.reason
        if outcome.reason and last == 0:
            last = 1  # a step without a score, that the policy may learn of it
        self.steps[job.candidate] = last
        self._show(job)

    def is_spent(self, clock: float) -> bool:
        """Whether no job may be begun any more."""
        most, steps = self.budget, int(self.steps.sum())
        reserved = sum(job.last - job.first for job in self.running.values())
        return (
            (most.evaluations is not None and self.num_jobs >= most.evaluations)
            or (most.steps is not None and steps + reserved >= most.steps)
            or (most.seconds is not None and clock >= most.seconds)
        )

    def best(self) -> Best | None:
        """The best score so far, None if there is none; of equal ones the one with the fewest steps."""
        if np.isnan(self.curves).all():
            return None
        turned = np.where(np.isnan(self.curves), -np.inf, -self.curves if self.minimise else self.curves)
        step, candidate = np.unravel_index(int(np.argmax(turned.T)), turned.T.shape)
        return Best(int(candidate), int(step) + 1, float(self.curves[candidate, step]))

    def state_of(self, candidate: int) -> str:
        """``new``, ``running``, ``crashed``, ``finished`` (at its end) or ``paused``."""
        if candidate in self.running:
            return "running"
        if candidate in self.reasons:
            return "crashed"
        if self.is_closed[candidate] or self.steps[candidate] >= self.num_steps:
            return "finished"
        return "paused" if self.steps[candidate] else "new"

    def _choose(self, clock: float) -> Choice:
        number = jnp.asarray(self.num_decisions, jnp.int32)
        choose = _compiled(self.policy)[0]
        self._state, choice, number = choose(self._key, number, self._params, self._state, self._view(clock))
        self.num_decisions = int(number)
        return choice

    def _is_open(self) -> np.ndarray:
        is_open = (self.steps < self.num_steps) & ~self.is_closed
        is_open[list(self.running)] = False
        return is_open

    def _view(self, clock: float) -> View:
        is_running = np.zeros(len(self.steps), bool)
        is_running[list(self.running)] = True
        return View(
            jnp.asarray(self._turned(self.curves), jnp.float32),
            jnp.asarray(self.steps),
            jnp.asarray(self._is_open()),
            jnp.asarray(is_running),
            jnp.asarray(clock, jnp.float32),
        )

    def _show(self, job: Job) -> None:
        """Let the policy see the steps of a job; one that the objective said nothing of is not there."""
        if (see := _compiled(self.policy)[1]) is None:
            return
        crashed_at_once = job.candidate in self.reasons and math.isnan(self.curves[job.candidate, 0])
        for step in range(job.first + 1, int(self.steps[job.candidate]) + 1):
            score = self.curves[job.candidate, step - 1]
            if math.isnan(score) and not crashed_at_once:
                continue
            seconds = self.costs[job.candidate, step - 1]
            numbers = (float(self._turned(score)), float(seconds))
            seen = Seen(
                jnp.asarray(job.candidate), jnp.asarray(step), *(jnp.asarray(x, jnp.float32) for x in numbers)
            )
            self._state = see(self._params, self._state, seen)

    def _turned(self, scores: Any) -> Any:
        """Scores as the policy sees them: the higher the better, and within the same range if there is one."""
        if not self.minimise:
            return scores
        return (sum(self.score_range) if self.score_range else 0.0) - scores
