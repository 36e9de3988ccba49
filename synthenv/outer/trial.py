"""One trial: train a fresh agent in one environment, test it on the real task.

The score is what the objective makes of the training and of the returns on the real task, whatever the agent trained
in.

References:
    Ferreira et al. (2022), algorithm 1, lines 6 and 7 (TrainAgent, EvaluateAgent).
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from synthenv.core.types import Agent, Curve, EvalResult, TrainResult
from synthenv.envs.registry import EnvSpec
from synthenv.envs.rollout import evaluate
from synthenv.outer.objectives import Objective, max_reward
from synthenv.outer.slots import SlotSteps, fitting_width, run_slots

PyTree = Any
Array = Any  # jax inside a program, numpy on its way in and out


class TrialTask(NamedTuple):
    """What differs between trials: key data uint32 [2], flat proxy weights [D], agent hyperparameters."""

    key_data: Array
    proxy: Array
    hyperparams: PyTree


class TrialResult(NamedTuple):
    """Outcome of one trial: its score, real test returns [E], and what the training used.

    ``slot_steps`` are steps of the agent that its slot was advanced by, idle ones included, and ``useful_steps`` those
    of them that advanced a training; on a CPU all are useful. Environment steps may be many more.
    ``curve`` holds the tests on the way, if there were any, and ``params`` the policy, if it is to be kept.
    """

    score: Array
    returns: Array
    num_steps: Array
    num_episodes: Array
    stopped_early: Array
    slot_steps: Array
    useful_steps: Array
    curve: Curve | None = None
    params: PyTree = None


class TrainingGround(NamedTuple):
    """Where agents train: an environment, and its params from flat weights [D] and the agent's discount."""

    env: Any
    env_params: Callable[[jax.Array, Any], Any]


def make_trials(
    agent: Agent,
    ground: TrainingGround,
    spec: EnvSpec,
    num_test_episodes: int,
    width: int = 1,
    chunk: int = 250,
    objective: Objective = max_reward,
    memory: int | None = None,
    keep: bool = False,
) -> Callable[[TrialTask], TrialResult]:
    """Build the pure function that runs M trials (leading axis M on every leaf of the task).

    Args:
        agent: the learner.
        ground: where it trains.
        spec: the real task.
        num_test_episodes: greedy episodes per trained agent.
        width: 1 runs members one after the other with real branches (CPU); more advances that many together.
        chunk: environment steps between hand-overs if ``width`` > 1, rounded to whole steps of the agent.
        objective: what makes a score of a training and its test.
        memory: bytes of a device, where they bound the width.
        keep: whether results hold the policies that were learnt.
    """

    def keys(task: TrialTask) -> jax.Array:
        return jax.random.split(jax.random.wrap_key_data(task.key_data, impl="threefry2x32"))

    def env_params(task: TrialTask) -> Any:
        return ground.env_params(task.proxy, task.hyperparams.discount)

    def init(task: tuple[TrialTask, Any]) -> PyTree:
        return agent.init(keys(task[0])[0], ground.env, task[1], task[0].hyperparams)

    def step(task: tuple[TrialTask, Any], state: PyTree) -> PyTree:
        return agent.step(state, ground.env, task[1], task[0].hyperparams)

    def train_in_slots(tasks: TrialTask) -> tuple[TrainResult, SlotSteps]:
        placed = (tasks, jax.vmap(env_params)(tasks))  # once, not in every step
        member = jax.eval_shape(lambda: init(jax.tree.map(lambda x: x[0], placed)))
        slots = width if memory is None else min(width, fitting_width(member, memory))
        trained, steps = run_slots(
            init,
            step,
            agent.finished,
            lambda _, state: agent.result(state),
            placed,
            slots,
            max(1, chunk // agent.stride),
        )
        num_tasks = tasks.proxy.shape[0]
        return trained, jax.tree.map(lambda x: jnp.full(num_tasks, x / num_tasks), steps)

    def train_one(task: TrialTask) -> tuple[TrainResult, SlotSteps]:
        trained = agent.train(keys(task)[0], ground.env, env_params(task), task.hyperparams)
        return trained, SlotSteps(*[trained.num_steps.astype(jnp.float32)] * 2)

    def test(task: TrialTask, trained: TrainResult, steps: SlotSteps) -> TrialResult:
        tested = evaluate(
            keys(task)[1],
            spec.env,
            spec.env_params,
            lambda key, obs: agent.act(key, trained.params, obs),
            num_test_episodes,
            spec.max_steps,
        )
        result = _result(objective, trained, tested, steps)
        return result._replace(params=trained.params) if keep else result

    if width > 1:
        return lambda tasks: jax.vmap(test)(tasks, *train_in_slots(tasks))
    return lambda tasks: jax.lax.map(lambda task: test(task, *train_one(task)), tasks)


def _result(objective: Objective, trained: TrainResult, tested: EvalResult, steps: SlotSteps) -> TrialResult:
    return TrialResult(
        score=objective(trained, tested.returns),
        returns=tested.returns,
        num_steps=trained.num_steps,
        num_episodes=trained.num_episodes,
        stopped_early=trained.stopped_early,
        slot_steps=steps.executed,
        useful_steps=steps.useful,
        curve=trained.curve,
    )
