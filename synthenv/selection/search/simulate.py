"""Searches replayed on tables of past runs, by the clock, as one compiled program.

    jobs = simulate(policy, params, task, key, limits)        # a whole search
    regret = regret_at(jobs, task, seconds)                   # what it had found by when

A search has a clock and some workers. Whenever a worker is free the policy hands it a *job*: train this candidate up to
that step. The job takes the seconds that the table has for its steps, and the policy sees the scores when the job ends,
not before. Jobs of a search are a scan of fixed length over arrays of fixed shape: nothing is compiled again as
histories grow, and searches run side by side under ``jax.vmap`` over data sets and seeds.

Axis letters here: N candidates, T steps, J jobs, W workers, Q points of time.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from synthenv.selection.surrogates.surrogate import Candidates, Seen

NOBODY = -1  # in the place of a candidate: nothing to do before another job ends, or ever
SKIP = -2  # ask once more, at the same time


class Task(NamedTuple):
    """A data set whose runs are known, to be searched as if they were not.

    Attributes:
        candidates: what a policy is told of them.
        curves: scores, NaN from where a run ended. [N, T]
        costs: seconds of each step. [N, T]
        lengths: steps that a run has, that of a crash included; it cannot be trained beyond them. int32 [N]
    """

    candidates: Candidates
    curves: jax.Array
    costs: jax.Array
    lengths: jax.Array


class Limits(NamedTuple):
    """How far a search goes: static numbers.

    Attributes:
        num_jobs: most jobs of all workers together.
        seconds: when no new job is begun any more.
        num_workers: jobs at the same time.
        thaw_seconds: what it costs to go on with a run that was paused.
    """

    num_jobs: int
    seconds: float = float("inf")
    num_workers: int = 1
    thaw_seconds: float = 0.0


class View(NamedTuple):
    """What a policy sees.

    Attributes:
        curves: scores so far, NaN beyond. [N, T]
        steps: how many steps of each candidate are seen. int32 [N]
        is_open: which candidates could be trained further: neither running, nor at their end, nor crashed. bool [N]
        is_running: which are in the hands of a worker. bool [N]
        clock: seconds since the search began. []
    """

    curves: jax.Array
    steps: jax.Array
    is_open: jax.Array
    is_running: jax.Array
    clock: jax.Array


class Choice(NamedTuple):
    """A candidate (or ``NOBODY`` or ``SKIP``), and the step to train it up to. int32 []"""

    candidate: jax.Array
    target: jax.Array


class Policy(NamedTuple):
    """How a search decides.

    Attributes:
        name: what commands call it.
        start: ``(key, params, candidates, num_steps) -> state``.
        choose: ``(key, params, state, view) -> (state, choice)``.
        see: ``(params, state, seen) -> state``, called for every step of a job that ended; None if a view is enough.
        stride: most steps of a job of a policy with ``see``, an int.
    """

    name: str
    start: Callable[..., Any]
    choose: Callable[..., tuple[Any, Choice]]
    see: Callable[..., Any] | None = None
    stride: int = 1


class Jobs(NamedTuple):
    """The jobs of a search in the order in which they were begun. [J]

    Attributes:
        candidate: int32, ``NOBODY`` where none was begun.
        first: steps that the candidate had before.
        last: steps that it had at the end.
        begin: seconds on the clock.
    """

    candidate: jax.Array
    first: jax.Array
    last: jax.Array
    begin: jax.Array


class _Search(NamedTuple):
    """Carry of the scan: steps that are seen [N], workers' jobs [W] (candidate, last step, when they are free)."""

    steps: jax.Array
    candidate: jax.Array
    last: jax.Array
    free_at: jax.Array
    policy: Any


def simulate(policy: Policy, params: Any, task: Task, key: jax.Array, limits: Limits) -> Jobs:
    """Play a whole search.

    Args:
        policy: how it decides.
        params: what the policy knows beforehand; any pytree.
        task: the table.
        key: of all its randomness.
        limits: how far it goes.
    """
    num_candidates, num_steps = task.curves.shape
    key_start, key_jobs = jax.random.split(key)
    search = _Search(
        jnp.zeros(num_candidates, jnp.int32),
        jnp.full(limits.num_workers, NOBODY, jnp.int32),
        jnp.zeros(limits.num_workers, jnp.int32),
        jnp.zeros(limits.num_workers),
        policy.start(key_start, params, task.candidates, num_steps),
    )

    def next_job(search: _Search, key: jax.Array) -> tuple[_Search, Jobs]:
        is_next = search.free_at == jnp.min(search.free_at)
        # Whoever brings news comes before those that wait for it.
        worker = jnp.argmax(is_next * (1 + (search.candidate >= 0)))
        search = _deliver(policy, params, task, search, worker)
        clock = search.free_at[worker]
        state, choice = policy.choose(key, params, search.policy, _view(task, search, clock))
        search = search._replace(policy=state)
        return _begin(task, limits, search, worker, choice)

    return jax.lax.scan(next_job, search, jax.random.split(key_jobs, limits.num_jobs))[1]


def _deliver(policy: Policy, params: Any, task: Task, search: _Search, worker: jax.Array) -> _Search:
    """Let the policy see the job that a worker has ended, if it had one."""
    candidate, last = search.candidate[worker], search.last[worker]
    had_one = candidate >= 0
    before = search.steps[candidate]
    steps = search.steps.at[candidate].set(jnp.where(had_one, last, before))
    state = search.policy
    if policy.see is not None:
        for offset in range(policy.stride):
            step = before + 1 + offset
            seen = Seen(candidate, step, task.curves[candidate, step - 1], task.costs[candidate, step - 1])
            state = _if(had_one & (step <= last), policy.see(params, state, seen), state)
    return search._replace(steps=steps, candidate=search.candidate.at[worker].set(NOBODY), policy=state)


def _if(condition: jax.Array, new: Any, old: Any) -> Any:
    return jax.tree.map(lambda a, b: jnp.where(condition, a, b), new, old)


def _view(task: Task, search: _Search, clock: jax.Array) -> View:
    is_running = jnp.any(search.candidate[:, None] == jnp.arange(len(search.steps))[None], axis=0)
    seen = jnp.arange(task.curves.shape[1])[None] < search.steps[:, None]
    is_open = task.candidates.mask & (search.steps < task.lengths) & ~is_running
    return View(jnp.where(seen, task.curves, jnp.nan), search.steps, is_open, is_running, clock)


def _begin(
    task: Task, limits: Limits, search: _Search, worker: jax.Array, choice: Choice
) -> tuple[_Search, Jobs]:
    """Hand a worker its next job; without one it waits for the next job of the others to end.

    Where there are no others, or after the last second, it stays idle for good.
    """
    clock = search.free_at[worker]
    first = search.steps[choice.candidate]
    last = jnp.minimum(choice.target, task.lengths[choice.candidate])
    is_job = (choice.candidate >= 0) & (last > first) & (clock < limits.seconds)
    step = jnp.arange(task.costs.shape[1])
    costs = jnp.nan_to_num(task.costs[choice.candidate])
    seconds = jnp.sum(jnp.where((step >= first) & (step < last), costs, 0.0))
    seconds = seconds + jnp.where(first > 0, limits.thaw_seconds, 0.0)
    candidate = jnp.where(is_job, choice.candidate, NOBODY)
    others = jnp.min(jnp.where(search.candidate >= 0, search.free_at, jnp.inf))
    waits = jnp.where(choice.candidate == SKIP, clock, others)
    waits = jnp.where(clock < limits.seconds, waits, jnp.inf)
    search = search._replace(
        candidate=search.candidate.at[worker].set(candidate),
        last=search.last.at[worker].set(last),
        free_at=search.free_at.at[worker].set(jnp.where(is_job, clock + seconds, waits)),
    )
    return search, Jobs(candidate, first, last, clock)


def _arrivals(jobs: Jobs, task: Task, thaw_seconds: float) -> tuple[jax.Array, jax.Array]:
    """When each score of each job was measured, and the score; infinity and NaN where there is none. [J, T] each"""
    step = jnp.arange(task.costs.shape[1])[None]
    candidate = jnp.maximum(jobs.candidate, 0)
    is_step = (step >= jobs.first[:, None]) & (step < jobs.last[:, None]) & (jobs.candidate >= 0)[:, None]
    costs = jnp.where(is_step, jnp.nan_to_num(task.costs[candidate]), 0.0)
    thaw = jnp.where(jobs.first > 0, thaw_seconds, 0.0)
    when = (jobs.begin + thaw)[:, None] + jnp.cumsum(costs, axis=1)
    return jnp.where(is_step, when, jnp.inf), jnp.where(is_step, task.curves[candidate], jnp.nan)


def best_at(jobs: Jobs, task: Task, seconds: jax.Array, thaw_seconds: float = 0.0) -> jax.Array:
    """The best score that a search had measured by some points of time [Q]; NaN where it had none. [Q]"""
    when, score = _arrivals(jobs, task, thaw_seconds)
    known = jnp.where(jnp.isnan(score)[None] | (when[None] > seconds[:, None, None]), -jnp.inf, score[None])
    best = jnp.max(known, axis=(1, 2))
    return jnp.where(jnp.isfinite(best), best, jnp.nan)


def regret_at(jobs: Jobs, task: Task, seconds: jax.Array, thaw_seconds: float = 0.0) -> jax.Array:
    """Normalised regret at some points of time [Q]: (greatest - best so far) / (greatest - least score of the table).

    Quick-Tune's measure (Arango et al. 2024, section 5). Before the first score it is 1.
    """
    greatest = jnp.nanmax(jnp.where(task.candidates.mask[:, None], task.curves, jnp.nan))
    least = jnp.nanmin(jnp.where(task.candidates.mask[:, None], task.curves, jnp.nan))
    best = best_at(jobs, task, seconds, thaw_seconds)
    return jnp.where(jnp.isnan(best), 1.0, (greatest - best) / jnp.maximum(greatest - least, 1e-12))
