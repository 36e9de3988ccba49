"""What is said of a world model that foresees no better than a constant, by models whose errors are known."""

from dataclasses import replace

import numpy as np
import pytest

from synthenv.core.types import Prediction, Transition
from synthenv.envs.action_units import box
from synthenv.runs.oswm.run import foresight
from synthenv.worldmodel.context.context import Context

NUM_ROWS = 200
SOURCE = np.random.default_rng(0)


def context(task, reward=None, first=0.0):
    """A drifting column and one that never changes; episodes begin at ``first``."""
    obs = np.stack([SOURCE.normal(size=NUM_ROWS), np.full(NUM_ROWS, 2.0)], axis=1)
    change = np.stack([0.1 * SOURCE.normal(size=NUM_ROWS), np.zeros(NUM_ROWS)], axis=1)
    obs[:, 1] += SOURCE.normal(size=NUM_ROWS)  # it differs between rows, but no step moves it
    reward = obs[:, 0] if reward is None else np.full(NUM_ROWS, reward)
    nowhere = np.zeros(NUM_ROWS, bool)
    steps = Transition(obs, np.zeros(NUM_ROWS, int), reward, obs + change, nowhere, nowhere)
    first_obs = np.full((300, 2), first) + SOURCE.uniform(-0.1, 0.1, (300, 2))
    return Context(steps, first_obs, 2, None, task, "held", NUM_ROWS)


def said(held_out, missed=0.0, missed_still=0.0, missed_reward=0.0):
    """The truth, missed by so much in the drifting column, in the other one and in the reward."""
    steps = held_out.transitions
    next_obs = steps.next_obs + np.array([missed, missed_still])
    zeros = np.zeros_like(steps.reward)
    return Prediction(next_obs, steps.reward + missed_reward, np.zeros_like(next_obs), zeros, zeros)


def far(task="log.npz"):
    """Rows that a model was shown, none of them near to what it is asked."""
    shown = context(task)
    steps = shown.transitions
    return replace(shown, transitions=steps._replace(obs=steps.obs + 1e3, next_obs=steps.next_obs + 1e3))


@pytest.mark.parametrize(
    ("misses", "what"),
    [
        ({}, None),
        ({"missed": 0.08}, None),  # of a deviation of 0.1
        ({"missed": 0.12}, "observation column 0"),
        ({"missed_still": 0.005}, None),  # of a column whose deviation is 1
        ({"missed_still": 0.02}, "observation column 1"),
        ({"missed_reward": 0.8}, None),
        ({"missed_reward": 1.2}, "the reward"),
        ({"missed": 0.2, "missed_still": 0.2}, "observation columns 0, 1"),
        ({"missed": 0.2, "missed_reward": 2.0}, "observation column 0 and the reward"),
    ],
)
def test_what_a_constant_foresees_as_well_is_told(misses, what):
    """Of a model of one's own context the remedy is more rows, of a file it is another look at it."""
    held_out = context("Task-v0")
    told = foresight.of_task(said(held_out, **misses), held_out, None, far())
    own = f"the world model foresees {what} of Task-v0 no better than the mean does: show it more with --context"
    assert told == ([own] if what else [])
    told = foresight.of_task(said(held_out, **misses), held_out, context("log.npz"), far())
    of_file = "is log.npz of this task, its columns and rows in order and in the task's units?"
    assert told == ([own.replace("show it more with --context", of_file)] if what else [])


@pytest.mark.parametrize(
    ("paid", "logged", "missed", "is_told"),
    [
        (1.0, 1.0, 0.05, False),
        (1.0, 1.0, 0.15, True),  # a task that pays 1 for every step, and a log that says something else
        (1.0, 0.0, -1.0, True),
        (-1.0, None, 0.05, False),
        (-1.0, None, 0.15, True),
        (0.0, 1.0, 1.0, True),  # a task that paid nothing in these steps
        (0.0, 1.0, 0.05, False),
        (0.0, None, 0.0, False),
    ],
)
def test_a_constant_reward_that_is_missed_is_told(paid, logged, missed, is_told):
    """Its variance is 0, so no share of that tells: a tenth of its size, or of what a log pays, is too much."""
    held_out = context("Task-v0", paid)
    log = None if logged is None else context("log.npz", logged)
    told = foresight.of_task(said(held_out, missed_reward=missed), held_out, log, far())
    assert [notice.split(" no better")[0] for notice in told] == (
        ["the world model foresees the reward of Task-v0"] if is_told else []
    )


@pytest.mark.parametrize(
    ("misses", "shown_near", "what"),
    [
        ({"missed": 0.03}, True, None),  # 9 % of the variance
        ({"missed": 0.05}, True, "observation column 0"),
        ({"missed": 0.05}, False, None),  # far from its rows a model may be wrong though they are right
        ({"missed_reward": 0.6}, True, "the reward"),
    ],
)
def test_a_log_that_contradicts_the_task_is_told(misses, shown_near, what):
    """Next to rows that a model was shown it misses little, unless they are of something else."""
    held_out = context("Task-v0")
    shown = replace(held_out, task="log.npz") if shown_near else far()
    model = said(held_out, **misses)
    model = model._replace(next_obs_std=model.next_obs_std + 0.1, reward_std=model.reward_std + 1.0)
    told = foresight.of_task(model, held_out, context("log.npz"), shown)
    wanted = (
        f"next to rows of log.npz steps of Task-v0 come to something else in {what}: is it of this task, its rows"
        " single steps in order, and its numbers in the task's units?"
    )
    assert told == ([wanted] if what else [])


@pytest.mark.parametrize(
    ("reach", "said_of_it"),
    [
        ((2.0, 1.0), " (action column 1 goes from -1 to 1, and the task takes -2 to 2)"),
        ((2.0, 2.0), ""),
        ((1.8, 1.6), ""),
    ],
)
@pytest.mark.parametrize("shown_near", [True, False])
def test_doubts_about_units_name_the_actions_that_use_little_of_them(reach, said_of_it, shown_near):
    """What the model misses is a column of observations, and what is in other units may be one of actions."""
    held_out = context("Task-v0")
    actions = np.linspace(-1, 1, NUM_ROWS)[:, None] * np.array(reach)
    log = replace(context("log.npz"), num_actions=None, action_bound=2.0, units=box([-2.0, -2.0], [2.0, 2.0]))
    log = replace(log, transitions=log.transitions._replace(action=actions))
    told = foresight.of_task(
        said(held_out, missed=0.05 if shown_near else 0.2), held_out, log, replace(held_out, task="log.npz")
    )
    assert len(told) == 1 and "observation column 0" in told[0]
    assert told[0].endswith(f" in the task's units{said_of_it}?")


def test_steps_after_a_failure_are_no_tests():
    """There a task pays nothing, which no agent ever sees."""
    held_out = context("Task-v0", 1.0)
    steps = held_out.transitions
    failed, reward = steps.terminated.copy(), steps.reward.copy()
    failed[50:55], reward[51:55] = True, 0.0
    obs = steps.obs.copy()
    obs[51:55] = steps.next_obs[50:54]
    held_out = replace(
        held_out,
        transitions=steps._replace(terminated=failed, reward=reward, obs=obs, next_obs=steps.next_obs),
    )
    model = said(held_out)
    assert foresight.of_task(model._replace(reward=np.ones(NUM_ROWS)), held_out, None, far()) == []
    assert foresight.of_task(model._replace(reward=np.where(failed, 1.0, 0.5)), held_out, None, far()) != []


@pytest.mark.parametrize(
    ("first", "what"),
    [(0.0, None), (0.03, None), (0.15, "observation columns 0, 1"), (3.0, "observation columns 0, 1")],
)
def test_a_log_whose_episodes_begin_elsewhere_is_told(first, what):
    held_out, log = context("Task-v0"), context("log.npz", first=first)
    told = foresight.of_task(said(held_out), held_out, log, far())
    wanted = (
        f"some episodes of log.npz begin with {what} where those of Task-v0 never do: is it of this task, its columns"
        " in order and in the task's units?"
    )
    assert told == ([wanted] if what else [])


def test_a_model_without_a_task_speaks_for_itself():
    """By its own standard deviations of the rows that it was shown."""
    shown = context("log.npz")
    model, doubt = said(shown), np.ones((NUM_ROWS, 2))
    assert foresight.by_own_account(model._replace(next_obs_std=0.05 * doubt), shown) == []
    (told,) = foresight.by_own_account(
        model._replace(next_obs_std=0.2 * doubt, reward_std=np.full(NUM_ROWS, 2.0)), shown
    )
    assert told == (
        "by its own account the world model misses half or more of how observation column 0 and the reward of log.npz"
        " varies: are its columns and rows in order?"
    )
