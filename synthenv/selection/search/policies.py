"""How to spend a budget: searches without a surrogate, by name.

Each is a :class:`Policy` of ``simulate.py``, a pair of pure functions of what was seen so far. Those with a surrogate
stand in ``freeze_thaw.py``.

Axis letters here: N candidates, T steps, K rungs.

References:
    ASHA: Li et al. (2020), A system for massively parallel hyperparameter tuning, algorithm 2.
    Hyperband: Li et al. (2018), algorithm 1.
"""

import math
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from synthenv.selection.search.simulate import NOBODY, SKIP, Choice, Policy, View
from synthenv.selection.surrogates.surrogate import Candidates

ETA = 3  # of ASHA and Hyperband: one of so many is trained further


def _first(is_good: jax.Array, priority: jax.Array) -> jax.Array:
    """The candidate of the highest priority [N] among those that are good [N]; ``NOBODY`` if none is. int32 []"""
    best = jnp.argmax(jnp.where(is_good, priority, -jnp.inf)).astype(jnp.int32)
    return jnp.where(jnp.any(is_good), best, NOBODY)


def _random_priority(key: jax.Array, params: Any, candidates: Candidates, num_steps: int) -> jax.Array:
    """A random order of the candidates, as numbers. [N]"""
    return jax.random.uniform(key, candidates.mask.shape)


def _given_priority(key: jax.Array, params: Any, candidates: Candidates, num_steps: int) -> jax.Array:
    """The order that ``params`` [N] has: highest first."""
    return jnp.asarray(params)


def _to_the_end(key: jax.Array, params: Any, state: jax.Array, view: View) -> tuple[jax.Array, Choice]:
    """Train one candidate after the other to the last step; the state is their priority [N]."""
    target = jnp.asarray(view.curves.shape[1], jnp.int32)
    return state, Choice(_first(view.is_open & (view.steps == 0), state), target)


RANDOM = Policy("random", _random_priority, _to_the_end)
IN_ORDER = Policy("in_order", _given_priority, _to_the_end)  # of zero-shot rankings: params are scores [N]


def rungs(num_steps: int, eta: int = ETA) -> tuple[int, ...]:
    """The steps at which runs are compared: powers of eta, and the last step."""
    powers = [eta**k for k in range(math.ceil(math.log(num_steps, eta)) + 1) if eta**k < num_steps]
    return (*powers, num_steps)


class _Asha(NamedTuple):
    """Random order of the candidates [N], and the rung that each was last sent to, -1 for none. int32 [N]"""

    priority: jax.Array
    sent_to: jax.Array


def _start_asha(key: jax.Array, params: Any, candidates: Candidates, num_steps: int) -> _Asha:
    priority = _random_priority(key, params, candidates, num_steps)
    return _Asha(priority, jnp.full(candidates.mask.shape, -1, jnp.int32))


def _scores_at(view: View, step: int) -> tuple[jax.Array, jax.Array]:
    """The score of each candidate at a step [N], and whether it has been trained so far [N]."""
    score = view.curves[:, step - 1]
    return score, ~jnp.isnan(score)


def _choose_asha(key: jax.Array, params: Any, state: _Asha, view: View) -> tuple[_Asha, Choice]:
    """The best candidate that can be promoted from the highest rung that has one, else a new one, else what is left."""
    levels = rungs(view.curves.shape[1])
    new = _first(view.is_open & (view.steps == 0) & (state.sent_to < 0), state.priority)
    choice, rung = new, jnp.asarray(0, jnp.int32)
    for k in range(len(levels) - 1):  # from below, so that the highest has the last word
        score, is_there = _scores_at(view, levels[k])
        # If the best of those that wait is not among the top, none is.
        best = _first(is_there & view.is_open & (state.sent_to == k), score)
        is_top = jnp.sum(is_there & (score > score[best])) < jnp.sum(is_there) // ETA
        promoted = jnp.where(is_top, best, NOBODY)
        choice = jnp.where(promoted >= 0, promoted, choice)
        rung = jnp.where(promoted >= 0, k + 1, rung)
    # Where nobody is left to promote or to begin, the most advanced go on, the best of them first.
    left = view.is_open & (view.steps > 0)
    last = jnp.take_along_axis(view.curves, jnp.maximum(view.steps - 1, 0)[:, None], axis=1)[:, 0]
    furthest = jnp.max(jnp.where(left, state.sent_to, -1))
    rest = _first(left & (state.sent_to == furthest), jnp.nan_to_num(last, nan=-jnp.inf))
    rung = jnp.where(choice >= 0, rung, jnp.minimum(furthest + 1, len(levels) - 1))
    choice = jnp.where(choice >= 0, choice, rest)
    sent_to = state.sent_to.at[choice].set(jnp.where(choice >= 0, rung, state.sent_to[choice]))
    return state._replace(sent_to=sent_to), Choice(choice, jnp.asarray(levels, jnp.int32)[rung])


ASHA = Policy("asha", _start_asha, _choose_asha)


class _Hyperband(NamedTuple):
    """Where a search stands: order of new candidates [N], place in the plan, each one's bracket and rung. int32 [N]"""

    priority: jax.Array
    place: jax.Array
    bracket: jax.Array
    rung: jax.Array


class _Plan(NamedTuple):
    """All jobs of Hyperband in a row [J]: bracket, rung, and the step to train up to; how many a rung keeps."""

    bracket: np.ndarray
    rung: np.ndarray
    target: np.ndarray


def _plan(num_steps: int) -> _Plan:
    """Brackets from the one that stops most to the one that stops none, as algorithm 1 has them."""
    most = int(math.log(num_steps, ETA) + 1e-9)
    rows = []
    for bracket, s in enumerate(range(most, -1, -1)):
        num = math.ceil((most + 1) / (s + 1) * ETA**s)
        for rung in range(s + 1):
            target = num_steps if rung == s else max(1, round(num_steps * ETA ** (rung - s)))
            rows += [(bracket, rung, target)] * max(1, num // ETA**rung)
    return _Plan(*np.asarray(rows, np.int32).T)


def _start_hyperband(key: jax.Array, params: Any, candidates: Candidates, num_steps: int) -> _Hyperband:
    nothing = jnp.full(candidates.mask.shape, -1, jnp.int32)
    priority = _random_priority(key, params, candidates, num_steps)
    return _Hyperband(priority, jnp.asarray(0, jnp.int32), nothing, nothing)


def _choose_hyperband(
    key: jax.Array, params: Any, state: _Hyperband, view: View
) -> tuple[_Hyperband, Choice]:
    """The next job of the plan, which is begun again at its end.

    A rung is filled once nobody of the rung below is still running; candidates at their end cannot be trained further
    and lose their place to the next best.
    """
    plan = _plan(view.curves.shape[1])
    length = len(plan.bracket)
    at = state.place % length
    bracket = jnp.asarray(plan.bracket)[at] + state.place // length * (int(plan.bracket[-1]) + 1)
    rung, target = jnp.asarray(plan.rung)[at], jnp.asarray(plan.target)[at]
    new = _first(view.is_open & (view.steps == 0), state.priority)
    is_below = (state.bracket == bracket) & (state.rung == rung - 1)
    last = jnp.take_along_axis(view.curves, jnp.maximum(view.steps - 1, 0)[:, None], axis=1)[:, 0]
    old = _first(is_below & view.is_open, jnp.nan_to_num(last, nan=-jnp.inf))
    must_wait = jnp.any(is_below & view.is_running) & (rung > 0)
    choice = jnp.where(rung == 0, new, old)
    is_job = (choice >= 0) & ~must_wait
    no_job = jnp.where(must_wait | ~jnp.any(view.is_open), NOBODY, SKIP)
    choice = jnp.where(is_job, choice, no_job)
    state = state._replace(
        place=state.place + jnp.where(must_wait, 0, 1),
        bracket=state.bracket.at[choice].set(jnp.where(is_job, bracket, state.bracket[choice])),
        rung=state.rung.at[choice].set(jnp.where(is_job, rung, state.rung[choice])),
    )
    return state, Choice(choice, target)


HYPERBAND = Policy("hyperband", _start_hyperband, _choose_hyperband)
