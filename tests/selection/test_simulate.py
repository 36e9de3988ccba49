"""Searches on tables: the clock, the workers, what a policy may see, and regret, against arithmetic by hand."""

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from synthenv.selection.search import policies
from synthenv.selection.search.simulate import (
    NOBODY,
    SKIP,
    Choice,
    Limits,
    Policy,
    Task,
    best_at,
    regret_at,
    simulate,
)
from synthenv.selection.surrogates.surrogate import Candidates

NAN = float("nan")


def task_of(curves, costs=None) -> Task:
    """A task of these curves; every step takes a second unless costs say otherwise."""
    curves = jnp.asarray(curves, jnp.float32)
    num = len(curves)
    costs = jnp.ones(curves.shape) if costs is None else jnp.asarray(costs, jnp.float32)
    lengths = jnp.maximum(jnp.sum(~jnp.isnan(curves), axis=1), 1)
    candidates = Candidates(jnp.zeros((num, 1)), jnp.zeros(0), jnp.ones(num, bool))
    return Task(candidates, curves, costs, lengths)


CURVES = [[0.1, 0.2, 0.3], [0.5, 0.4, 0.6], [0.2, NAN, NAN]]
COSTS = [[1.0, 2.0, 3.0], [4.0, 4.0, 4.0], [1.0, 1.0, 1.0]]
ORDER = jnp.asarray([2.0, 1.0, 3.0])  # candidate 2 first, then 0, then 1


def in_order(task: Task, limits: Limits):
    return simulate(policies.IN_ORDER, ORDER, task, jax.random.key(0), limits)


def test_one_worker_trains_one_candidate_after_the_other_by_the_clock():
    jobs = in_order(task_of(CURVES, COSTS), Limits(num_jobs=5))
    np.testing.assert_array_equal(jobs.candidate, [2, 0, 1, NOBODY, NOBODY])
    np.testing.assert_array_equal(jobs.begin[:3], [0.0, 1.0, 7.0])
    np.testing.assert_array_equal(jobs.last[:3], [1, 3, 3])  # a short curve ends where it ends


def test_two_workers_share_the_candidates():
    jobs = in_order(task_of(CURVES, COSTS), Limits(num_jobs=5, num_workers=2))
    np.testing.assert_array_equal(jobs.candidate[:3], [2, 0, 1])
    np.testing.assert_array_equal(jobs.begin[:3], [0.0, 0.0, 1.0])


def test_no_job_begins_after_the_last_second():
    jobs = in_order(task_of(CURVES, COSTS), Limits(num_jobs=5, seconds=7.0))
    np.testing.assert_array_equal(jobs.candidate, [2, 0, NOBODY, NOBODY, NOBODY])


def test_regret_is_normalised_by_the_tables_scores_and_is_1_before_the_first():
    task = task_of(CURVES, COSTS)
    jobs = in_order(task, Limits(num_jobs=3))
    times = jnp.asarray([0.5, 1.0, 3.9, 4.0, 7.0, 11.0, 19.0])
    best = [NAN, 0.2, 0.2, 0.2, 0.3, 0.5, 0.6]
    np.testing.assert_allclose(best_at(jobs, task, times), best, rtol=1e-6)
    want = [1.0, *[(0.6 - y) / 0.5 for y in best[1:]]]
    np.testing.assert_allclose(regret_at(jobs, task, times), want, atol=1e-6)


def test_scores_within_a_job_count_when_they_were_measured():
    task = task_of([[0.1, 0.9, 0.2]])
    jobs = simulate(policies.IN_ORDER, jnp.zeros(1), task, jax.random.key(0), Limits(num_jobs=1))
    np.testing.assert_allclose(best_at(jobs, task, jnp.asarray([1.0, 2.0, 3.0])), [0.1, 0.9, 0.9])


def stepwise(order: list[int]) -> Policy:
    """One step after the other of candidates in this order, which remembers what it was told."""

    def start(key, params, candidates, num_steps):
        return jnp.asarray(0), jnp.full((len(order), 3), NAN)

    def choose(key, params, state, view):
        place, told = state
        candidate = jnp.asarray([*order, NOBODY])[jnp.minimum(place, len(order))]
        return (place + 1, told), Choice(candidate, view.steps[candidate] + 1)

    def see(params, state, seen):
        place, told = state
        row = jnp.stack([seen.candidate * 1.0, seen.step * 1.0, seen.score])
        return place, told.at[place - 1].set(row)

    return Policy("stepwise", start, choose, see)


def test_going_on_with_a_paused_run_has_a_price():
    task = task_of(CURVES, COSTS)
    limits = Limits(num_jobs=3, thaw_seconds=10.0)
    jobs = simulate(stepwise([0, 1, 0]), None, task, jax.random.key(0), limits)
    np.testing.assert_array_equal(jobs.begin, [0.0, 1.0, 5.0])
    np.testing.assert_array_equal(jobs.first, [0, 0, 1])
    times = jnp.asarray([16.9, 17.0])
    np.testing.assert_allclose(best_at(jobs, task, times, 10.0), [0.5, 0.5])


def test_a_policy_sees_a_job_when_it_ends_and_not_before():
    views = []

    def choose(key, params, state, view):
        jax.debug.callback(lambda *seen: views.append(jax.tree.map(np.asarray, seen)), view.steps, view.clock)
        return state, Choice(jnp.asarray(1), view.steps[1] + 1)

    policy = Policy("one", lambda *args: jnp.zeros(()), choose)
    simulate(policy, None, task_of(CURVES, COSTS), jax.random.key(0), Limits(num_jobs=3))
    jax.effects_barrier()
    assert sorted(tuple(int(x) for x in (*steps, clock)) for steps, clock in views) == [
        (0, 0, 0, 0),
        (0, 1, 0, 4),
        (0, 2, 0, 8),
    ]


def test_what_is_skipped_costs_no_time():
    def choose(key, params, state, view):
        return state + 1, Choice(jnp.where(state == 0, SKIP, 1), jnp.asarray(3))

    policy = Policy("hesitant", lambda *args: jnp.asarray(0), choose)
    jobs = simulate(policy, None, task_of(CURVES, COSTS), jax.random.key(0), Limits(num_jobs=2))
    np.testing.assert_array_equal(jobs.candidate, [NOBODY, 1])
    np.testing.assert_array_equal(jobs.begin, [0.0, 0.0])


def test_a_crash_without_a_score_takes_its_turn_once_and_never_counts():
    task = task_of([[NAN, NAN], [0.3, 0.4]])
    jobs = simulate(policies.IN_ORDER, jnp.asarray([1.0, 0.0]), task, jax.random.key(0), Limits(num_jobs=3))
    np.testing.assert_array_equal(jobs.candidate, [0, 1, NOBODY])
    np.testing.assert_allclose(best_at(jobs, task, jnp.asarray([1.0, 2.0])), [NAN, 0.3], rtol=1e-6)


def random_task(num: int = 27, num_steps: int = 9) -> Task:
    curves = np.sort(np.random.default_rng(0).random((num, num_steps)), axis=1)
    return task_of(curves)


def test_rungs_are_powers_of_eta_and_the_last_step():
    assert policies.rungs(50) == (1, 3, 9, 27, 50)
    assert policies.rungs(27) == (1, 3, 9, 27)
    assert policies.rungs(1) == (1,)


def test_asha_promotes_a_third_of_each_rung_and_the_best_of_it():
    task = random_task()
    # 27 at the first rung, 9 at the second and 3 at the third: after these nobody can be promoted.
    jobs = jax.device_get(simulate(policies.ASHA, None, task, jax.random.key(1), Limits(num_jobs=39)))
    is_job = jobs.candidate >= 0
    curves = np.asarray(task.curves)
    seen: dict[int, dict[int, float]] = {1: {}, 3: {}, 9: {}}
    for candidate, first, last in zip(
        jobs.candidate[is_job], jobs.first[is_job], jobs.last[is_job], strict=True
    ):
        assert (first, last) in {(0, 1), (1, 3), (3, 9)}
        if first:
            rung = seen[first]
            rank = sum(score > rung[candidate] for score in rung.values())
            assert rank < len(rung) // 3
        seen[last][candidate] = curves[candidate, last - 1]
    assert len(seen[1]) == 27 and len(seen[3]) == 9 and len(seen[9]) == 3


def test_asha_goes_on_with_the_best_when_nobody_can_be_promoted():
    task = random_task()
    jobs = jax.device_get(simulate(policies.ASHA, None, task, jax.random.key(1), Limits(num_jobs=90)))
    assert (jobs.candidate >= 0).sum() == 27 + 26 + 25 + 3  # every candidate passes every rung in the end
    left = np.asarray(task.curves)[jobs.candidate[39:45], 2]
    assert (np.diff(left) <= 0).all() and (jobs.first[39:45] == 3).all()


def test_hyperband_plays_its_brackets():
    task = random_task(60)
    jobs = jax.device_get(simulate(policies.HYPERBAND, None, task, jax.random.key(1), Limits(num_jobs=25)))
    # Algorithm 1 for 9 steps: 9 configurations at 1, 3 at 3, 1 at 9; 5 at 3, 1 at 9; 3 at 9.
    want = [1] * 9 + [3] * 3 + [9] + [3] * 5 + [9] + [9] * 3
    np.testing.assert_array_equal(jobs.last[: len(want)], want)
    first = jobs.candidate[:9]
    best = first[np.argsort(-np.asarray(task.curves)[first, 0])][:3]
    np.testing.assert_array_equal(jobs.candidate[9:12], best)


@pytest.mark.parametrize("policy", [policies.ASHA, policies.HYPERBAND], ids=lambda policy: policy.name)
def test_no_step_is_trained_twice_by_several_workers(policy):
    task = random_task()
    limits = Limits(num_jobs=80, num_workers=3)
    jobs = jax.device_get(jax.jit(lambda key: simulate(policy, None, task, key, limits))(jax.random.key(2)))
    steps = np.zeros(27, int)
    for candidate, first, last in zip(jobs.candidate, jobs.first, jobs.last, strict=True):
        if candidate >= 0:
            assert steps[candidate] == first
            steps[candidate] = last
    assert (steps > 0).all()
    assert (steps == 9).sum() >= 2


def test_searches_side_by_side_are_the_same_as_one_after_the_other_and_are_traced_once():
    task, limits = random_task(), Limits(num_jobs=30)

    @jax.jit
    @chex.assert_max_traces(n=1)
    def several(keys):
        return jax.vmap(lambda key: simulate(policies.ASHA, None, task, key, limits))(keys)

    together = several(jax.random.split(jax.random.key(3), 4))
    several(jax.random.split(jax.random.key(4), 4))
    alone = simulate(policies.ASHA, None, task, jax.random.split(jax.random.key(3), 4)[2], limits)
    chex.assert_trees_all_equal(jax.tree.map(lambda leaf: leaf[2], together), alone)
