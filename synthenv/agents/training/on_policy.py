"""The training schedule of agents that learn from what a fixed policy has just done, around any such learner.

``OnPolicySchedule.make`` puts an ``Agent``, which others step, around an ``OnPolicyLearner``:

    Agent.init    Learner.init draws weights, N environments are reset
    Agent.step    interact       Learner.explore chooses actions and N environments answer, T times
                  Learner.learn  from these T * N steps, which are forgotten then; not before ``init_episodes`` are over
                  judge          with ``test_episodes``: Learner.act plays the real task; then stop rule and bounds
    Agent.act     Learner.act

The stop rule takes in one number per iteration: the mean test return where the agent is tested, else the mean return of
the training episodes that ended in this iteration, if any did. ``stop_window`` and, for that rule, ``init_episodes``
count these numbers. ``max_steps`` and ``max_episodes`` are checked after an iteration, so the last one may overrun
them.
"""

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from synthenv.agents.ppo_config import PPOConfig
from synthenv.agents.training.stopping import StopState, init_stop, update_stop
from synthenv.agents.training.vector_rollout import ENV_WORDS, Envs, Steps, collect, reset_all
from synthenv.core.types import Agent, Curve, TrainResult
from synthenv.envs.registry import EnvSpec
from synthenv.envs.rollout import evaluate

PyTree = Any


class OnPolicyLearner(NamedTuple):
    """An algorithm without its schedule: pure functions of one member; ``learner`` is its state.

    Attributes:
        init: (key, obs [obs], hyperparams) -> learner.
        explore: (words uint32 [N, num_explore_words], learner, obs [N, obs]) -> actions [N, ...] as they are learnt
            from, and their log-probabilities [N].
        env_action: an action as it is learnt from -> as the environment takes it.
        learn: (key, learner, steps, progress, hyperparams) -> learner after an iteration's gradient steps; progress is
            the share of ``max_steps`` that was used before this iteration.
        policy: learner -> params of the policy that is tested.
        act: (key, params, obs [obs]) -> action for the environment, as in a test.
        num_explore_words: random words for an action.
    """

    init: Callable[..., PyTree]
    explore: Callable[..., tuple[jax.Array, jax.Array]]
    env_action: Callable[[jax.Array], jax.Array]
    learn: Callable[..., PyTree]
    policy: Callable[[PyTree], PyTree]
    act: Callable[[jax.Array, PyTree, jax.Array], jax.Array]
    num_explore_words: int


class TrainState(NamedTuple):
    """Everything that changes from one iteration to the next; ``curve`` is None if nothing is tested on the way."""

    key: jax.Array
    step: jax.Array  # steps so far, of all environments together
    learner: PyTree
    envs: Envs
    num_episodes: jax.Array
    num_scores: jax.Array  # how many numbers the stop rule has seen
    stop: StopState
    finished: jax.Array
    curve: Curve | None


class OnPolicySchedule(NamedTuple):
    """What the functions below close over; ``task`` is None if nothing is tested on the way."""

    learner: OnPolicyLearner
    config: PPOConfig
    task: EnvSpec | None = None

    @property
    def num_steps(self) -> int:
        """Environment steps of one iteration."""
        return self.config.num_envs * self.config.rollout_length * self.config.action_repeat

    @property
    def max_iterations(self) -> int:
        """Return the most iterations that ``max_steps``, or the range it is drawn from, allows."""
        config = self.config
        drawn = config.variation.max_steps if config.vary else None
        return -(-(drawn[1] if drawn else config.max_steps) // self.num_steps)

    def make(self) -> Agent:
        """Bind the schedule to this module's functions."""
        return Agent(
            init=partial(init, self),
            step=partial(train_step, self),
            finished=lambda state: state.finished,
            result=partial(result, self),
            act=self.learner.act,
            stride=self.num_steps,
        )


def init(
    schedule: OnPolicySchedule, key: jax.Array, env: Any, env_params: Any, hyperparams: Any
) -> TrainState:
    """Draw a fresh agent and begin an episode in every environment.

    Args:
        schedule: learner, config and task.
        key: random key, also the root of all later randomness.
        env: a gymnax 1.x environment.
        env_params: its parameters.
        hyperparams: traced numbers of one agent.
    """
    config, length = schedule.config, schedule.max_iterations
    key, key_learner, key_reset = jax.random.split(key, 3)
    envs = reset_all(key_reset, env, env_params, config.num_envs)
    return TrainState(
        key=key,
        step=jnp.int32(0),
        learner=schedule.learner.init(key_learner, envs.obs[0], hyperparams),
        envs=envs,
        num_episodes=jnp.int32(0),
        num_scores=jnp.int32(0),
        stop=init_stop(config.stop_window),
        finished=jnp.bool_(False),
        curve=schedule.task and Curve(jnp.zeros(length), jnp.zeros(length, jnp.int32)),
    )


def train_step(
    schedule: OnPolicySchedule, state: TrainState, env: Any, env_params: Any, hyperparams: Any
) -> TrainState:
    """Run one iteration. A finished member stands still; the steps themselves live inside the iteration only.

    Args:
        schedule: learner, config and task.
        state: before the step.
        env: a gymnax 1.x environment.
        env_params: its parameters.
        hyperparams: traced numbers of one agent.
    """
    return jax.lax.cond(
        state.finished, lambda: state, lambda: iterate(schedule, state, env, env_params, hyperparams)
    )


def iterate(
    schedule: OnPolicySchedule, state: TrainState, env: Any, env_params: Any, hyperparams: Any
) -> TrainState:
    """Collect, learn, test, and see whether to stop.

    Args:
        schedule: learner, config and task.
        state: before the step.
        env: a gymnax 1.x environment.
        env_params: its parameters.
        hyperparams: traced numbers of one agent.
    """
    key, key_collect, key_learn, key_test = jax.random.split(state.key, 4)
    envs, steps = interact(schedule, key_collect, state, env, env_params, hyperparams)
    num_episodes = state.num_episodes + jnp.sum(steps.ended)
    progress = state.step / hyperparams.max_steps
    learner = jax.lax.cond(
        num_episodes >= hyperparams.init_episodes,
        lambda: schedule.learner.learn(key_learn, state.learner, steps, progress, hyperparams),
        lambda: state.learner,
    )
    state = state._replace(
        key=key, step=state.step + schedule.num_steps, learner=learner, envs=envs, num_episodes=num_episodes
    )
    return judge(schedule, key_test, state, steps, hyperparams)


def interact(
    schedule: OnPolicySchedule,
    key: jax.Array,
    state: TrainState,
    env: Any,
    env_params: Any,
    hyperparams: Any,
) -> tuple[Envs, Steps]:
    """Step every environment T times with samples of the policy.

    Args:
        schedule: learner, config and task.
        key: random key.
        state: before the iteration.
        env: a gymnax 1.x environment.
        env_params: its parameters.
        hyperparams: traced numbers of one agent.

    Returns:
        the environments after the steps, and the steps [T, N].
    """
    config, learner = schedule.config, schedule.learner
    words = jax.random.bits(
        key, (config.rollout_length, config.num_envs, ENV_WORDS + learner.num_explore_words)
    )
    return collect(
        words,
        state.envs,
        env,
        env_params,
        lambda words, obs: learner.explore(words, state.learner, obs),
        learner.env_action,
        hyperparams.discount,
        config.time_limit,
    )


def judge(
    schedule: OnPolicySchedule, key: jax.Array, state: TrainState, steps: Steps, hyperparams: Any
) -> TrainState:
    """Test if there is a task to test on, tell the stop rule how the agent fares, and check the bounds.

    Args:
        schedule: learner, config and task.
        key: random key, for the test.
        state: after learning.
        steps: what this iteration collected [T, N].
        hyperparams: traced numbers of one agent.
    """
    if state.curve is None:
        num_ended = jnp.sum(steps.ended)
        score = jnp.sum(steps.ended * steps.episode_return) / jnp.maximum(num_ended, 1)
        scored = num_ended > 0
    else:
        score, scored = mean_test_return(schedule, key, state.learner), jnp.bool_(True)
        index = state.step // schedule.num_steps - 1
        returns = state.curve.returns.at[index].set(score)
        state = state._replace(curve=Curve(returns, state.curve.steps.at[index].set(state.step)))
    judged = update_stop(state.stop, state.num_scores, score, hyperparams, schedule.config.stop)
    stop = jax.tree.map(lambda new, old: jnp.where(scored, new, old), judged, state.stop)
    over = (state.step >= hyperparams.max_steps) | (state.num_episodes >= hyperparams.max_episodes)
    return state._replace(stop=stop, num_scores=state.num_scores + scored, finished=stop.triggered | over)


def mean_test_return(schedule: OnPolicySchedule, key: jax.Array, learner: PyTree) -> jax.Array:
    """Return the mean return [] of ``test_episodes`` episodes of the real task."""
    task, params = schedule.task, schedule.learner.policy(learner)
    assert task is not None
    tested = evaluate(
        key,
        task.env,
        task.env_params,
        lambda key, obs: schedule.learner.act(key, params, obs),
        schedule.config.test_episodes,
        task.max_steps,
    )
    return jnp.mean(tested.returns)


def result(schedule: OnPolicySchedule, state: TrainState) -> TrainResult:
    """Read off what a finished training leaves behind."""
    return TrainResult(
        params=schedule.learner.policy(state.learner),
        num_steps=state.step,
        num_episodes=state.num_episodes,
        stopped_early=state.stop.triggered,
        curve=state.curve,
    )
