"""The training schedule of the SE/RN papers, around any learner that acts and learns step by step.

``Schedule.make`` puts an ``Agent``, which others step, around a ``Learner``, which knows of no environment:

    Agent.init    Learner.init draws weights, the environment is reset
    Agent.step    interact       Learner.explore chooses an action, the environment answers, replay stores the row
                  Learner.learn  once the first ``init_episodes`` episodes are over
                  end_episode    where one has ended: stop rule, Learner.next_epsilon, a reset
                  advance_test   with ``test_episodes``: Learner.act plays the real task after every training episode
    Agent.act     Learner.act

A test is played in steps of its own, during which training stands still: members that are stepped together need not
wait for one another's tests.

References:
    Ferreira et al. (2022), appendix A.1, algorithms 2 and 3, as released.
"""

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import chex
import jax
import jax.numpy as jnp

from synthenv.agents.config import AgentConfig
from synthenv.agents.training import periodic_tests
from synthenv.agents.training.periodic_tests import PeriodicTest
from synthenv.agents.training.replay import Replay, init_replay, pack_row, write_row
from synthenv.agents.training.stopping import StopState, init_stop, update_stop
from synthenv.core import keys
from synthenv.core.keys import key_from, seed_words
from synthenv.core.types import Agent, TrainResult
from synthenv.envs.registry import EnvSpec
from synthenv.envs.rollout import check_step

PyTree = Any


class Learner(NamedTuple):
    """An algorithm without its schedule: pure functions of one member.

    ``learner`` is its state: weights, optimiser moments, whatever a gradient step changes.

    Attributes:
        init: (key, obs [obs], hyperparams) -> learner.
        explore: (words uint32 [num_explore_words], learner, obs, epsilon, warm_up, hyperparams) -> the action as
            replay keeps it, [action_size] or [] if that is 1.
        learn: (words uint32 [num_learn_words], learner, replay, obs_size, epsilon, hyperparams) -> learner after a
            gradient step. Those that replay batches take ``transform`` too, rows -> rows, applied before the targets
            are computed; their words are equally many for each row of the batch, and the first of them picks the row.
        policy: learner -> params of the policy that is tested.
        act: (key, params, obs) -> action for the environment, as in a test.
        num_explore_words: random words for an action.
        num_learn_words: random words for a gradient step.
        env_action: an action as replay keeps it -> as the environment takes it.
        first_epsilon: hyperparams -> exploration rate of the first episode.
        next_epsilon: (epsilon, hyperparams) -> that of the next one.
        action_size: floats of an action in replay.
        warms_up: whether ``learn`` is called only once the first ``init_episodes`` episodes are over, or in every step.
    """

    init: Callable[..., PyTree]
    explore: Callable[..., jax.Array]
    learn: Callable[..., PyTree]
    policy: Callable[[PyTree], PyTree]
    act: Callable[[jax.Array, PyTree, jax.Array], jax.Array]
    num_explore_words: int
    num_learn_words: int
    env_action: Callable[[jax.Array], jax.Array] = lambda action: action
    first_epsilon: Callable[[Any], Any] = lambda hyperparams: 0.0
    next_epsilon: Callable[[jax.Array, Any], jax.Array] = lambda epsilon, hyperparams: epsilon
    action_size: int = 1
    warms_up: bool = True


class EpisodeState(NamedTuple):
    """What the end of an episode may change."""

    env_state: Any
    obs: jax.Array  # [obs]
    epsilon: jax.Array
    count: jax.Array  # finished episodes
    return_so_far: jax.Array  # rewards of the current episode so far
    stop: StopState
    finished: jax.Array


class TrainState(NamedTuple):
    """Everything that changes while one member trains; ``test`` is None if it is not tested on the way.

    ``step`` counts decisions: with action repeat the environment makes several steps for each.
    """

    seed: jax.Array  # uint32 [2], see core.keys
    step: jax.Array
    learner: PyTree
    replay: Replay
    episode: EpisodeState
    test: PeriodicTest | None


class Schedule(NamedTuple):
    """What the functions below close over; ``task`` is None if nothing is tested on the way."""

    learner: Learner
    config: AgentConfig
    task: EnvSpec | None = None

    def make(self) -> Agent:
        """Bind the schedule to this module's functions."""
        return Agent(
            init=partial(init, self),
            step=partial(train_step, self),
            finished=lambda state: state.episode.finished,
            result=partial(result, self),
            act=self.learner.act,
        )


def init(schedule: Schedule, key: jax.Array, env: Any, env_params: Any, hyperparams: Any) -> TrainState:
    """Draw a fresh agent and reset its environment.

    Args:
        schedule: learner, config and task.
        key: random key, also the root of all later randomness.
        env: a gymnax 1.x environment.
        env_params: its parameters.
        hyperparams: traced numbers of one agent.
    """
    learner, config = schedule.learner, schedule.config
    key_learner, key_reset, key_train = jax.random.split(key, 3)
    obs, env_state = env.reset_env(key_reset, env_params)
    chex.assert_rank(obs, 1)
    return TrainState(
        seed=seed_words(key_train),
        step=jnp.int32(0),
        learner=learner.init(key_learner, obs, hyperparams),
        replay=init_replay(config.buffer_size, obs.size, learner.action_size),
        episode=EpisodeState(
            env_state=env_state,
            obs=obs,
            epsilon=jnp.asarray(learner.first_epsilon(hyperparams), jnp.float32),
            count=jnp.int32(0),
            return_so_far=jnp.float32(0),
            stop=init_stop(config.stop_window),
            finished=jnp.bool_(False),
        ),
        test=schedule.task
        and periodic_tests.init(jax.random.fold_in(key_reset, 1), schedule.task, config.max_episodes),
    )


def train_step(
    schedule: Schedule, state: TrainState, env: Any, env_params: Any, hyperparams: Any
) -> TrainState:
    """Make one environment step and one gradient step, and end the episode if it is over; or play one step of a test.

    A finished member stands still, so members of a vmapped group may be stepped on until all have finished. The
    branches return only what they change: under ``vmap`` they become selects, and a select over the replay buffer would
    cost more than the step itself. During tests nothing is written to replay; a finished member that is stepped on may
    write there, where nobody reads it.

    Args:
        schedule: learner, config and task.
        state: before the step.
        env: a gymnax 1.x environment.
        env_params: its parameters.
        hyperparams: traced numbers of one agent.
    """
    learner, test = schedule.learner, state.test
    n = learner.num_explore_words
    words = keys.words(
        state.seed, state.step if test is None else state.step + test.step, n + 4 + learner.num_learn_words
    )
    idle = state.episode.finished if test is None else state.episode.finished | test.active
    ready = ~idle
    if learner.warms_up:
        ready &= state.episode.count >= hyperparams.init_episodes

    row, episode, done = interact(schedule, words[: n + 2], state, idle, env, env_params, hyperparams)
    state = state._replace(
        replay=write_row(state.replay, state.step, row, skip=None if test is None else idle),
        episode=episode,
        step=state.step + jnp.where(idle, 0, 1),
    )
    learned = jax.lax.cond(
        ready,
        lambda: learner.learn(
            words[n + 4 :], state.learner, state.replay, episode.obs.size, episode.epsilon, hyperparams
        ),
        lambda: state.learner,
    )
    ended = done & ~idle
    key = key_from(words[n + 2 : n + 4])
    state = state._replace(
        episode=jax.lax.cond(
            ended,
            lambda: end_episode(schedule, key, state, env, env_params, hyperparams),
            lambda: state.episode,
        )
    )
    if test is not None:
        state = advance_test(schedule, words[: n + 4], state, ended, hyperparams)
    over = state.episode.finished | (state.step * schedule.config.action_repeat >= hyperparams.max_steps)
    if state.test is not None:
        over &= ~state.test.active
    return state._replace(learner=learned, episode=state.episode._replace(finished=over))


def interact(
    schedule: Schedule,
    words: jax.Array,
    state: TrainState,
    idle: jax.Array,
    env: Any,
    env_params: Any,
    hyperparams: Any,
) -> tuple[jax.Array, EpisodeState, jax.Array]:
    """Explore one step.

    Args:
        schedule: learner, config and task.
        words: random uint32 [num_explore_words + 2].
        state: before the step.
        idle: whether training stands still, bool [].
        env: a gymnax 1.x environment.
        env_params: its parameters.
        hyperparams: traced numbers of one agent.

    Returns:
        the row for replay [width], the episode after the step (not reset), and whether it ended.
    """
    learner, config, episode = schedule.learner, schedule.config, state.episode
    width = state.replay.rows.shape[1]

    def step() -> tuple[jax.Array, EpisodeState, jax.Array]:
        warm_up = episode.count < hyperparams.init_episodes
        action = learner.explore(
            words[:-2], state.learner, episode.obs, episode.epsilon, warm_up, hyperparams
        )
        obs, env_state, reward, terminated, info = env.step_env(
            key_from(words[-2:]), episode.env_state, learner.env_action(action), env_params
        )
        check_step(episode.obs, obs, reward, terminated)
        truncated = env.is_truncated(env_state, env_params)
        not_done = info["discount"]  # a real number in some synthetic environments, see proxies.synthetic_env
        if config.time_limit == "terminal":
            not_done = jnp.where(truncated, 0.0, not_done)
        row = pack_row(width, episode.obs, obs, action, reward, not_done)
        after = episode._replace(env_state=env_state, obs=obs, return_so_far=episode.return_so_far + reward)
        return row, after, terminated | truncated

    if state.test is None:
        return step()
    return jax.lax.cond(idle, lambda: (jnp.zeros(width), episode, jnp.bool_(False)), step)


def end_episode(
    schedule: Schedule, key: jax.Array, state: TrainState, env: Any, env_params: Any, hyperparams: Any
) -> EpisodeState:
    """Close a training episode: apply the stop rule (unless a test comes first), lower the exploration rate, reset.

    Args:
        schedule: learner, config and task.
        key: random key, for the reset.
        state: after the last step of the episode.
        env: a gymnax 1.x environment.
        env_params: its parameters.
        hyperparams: traced numbers of one agent.
    """
    episode, stop = state.episode, state.episode.stop
    if state.test is None:
        stop = update_stop(stop, episode.count, episode.return_so_far, hyperparams, schedule.config.stop)
    obs, env_state = env.reset_env(key, env_params)
    count = episode.count + 1
    return EpisodeState(
        env_state=env_state,
        obs=obs,
        epsilon=schedule.learner.next_epsilon(episode.epsilon, hyperparams),
        count=count,
        return_so_far=jnp.float32(0),
        stop=stop,
        finished=stop.triggered | (count >= hyperparams.max_episodes),
    )


def advance_test(
    schedule: Schedule, words: jax.Array, state: TrainState, ended: jax.Array, hyperparams: Any
) -> TrainState:
    """Begin a test if a training episode has ended, or play a step of one; the last step may end the training.

    Args:
        schedule: learner, config and task.
        words: random uint32, of which the last six are used.
        state: after the training step.
        ended: whether a training episode has just ended, bool [].
        hyperparams: traced numbers of one agent.
    """
    learner, task, before, episode = schedule.learner, schedule.task, state.test, state.episode
    assert task is not None and before is not None

    def act(key: jax.Array, obs: jax.Array) -> jax.Array:
        return learner.act(key, learner.policy(state.learner), obs)

    test = jax.lax.cond(
        before.active,
        lambda: periodic_tests.play(words[-6:], before, task, act),
        lambda: jax.lax.cond(
            ended, lambda: periodic_tests.begin(key_from(keys.mix(words[-2:])), before, task), lambda: before
        ),
    )

    def end() -> tuple[PeriodicTest, EpisodeState]:
        mean, last = test.return_so_far / schedule.config.test_episodes, episode.count - 1
        stop = update_stop(episode.stop, last, mean, hyperparams, schedule.config.stop)
        finished = stop.triggered | (episode.count >= hyperparams.max_episodes)
        after = episode._replace(stop=stop, finished=finished)
        return periodic_tests.record(test, last, mean, state.step * schedule.config.action_repeat), after

    over = before.active & (test.count >= schedule.config.test_episodes)
    test, episode = jax.lax.cond(over, end, lambda: (test, episode))
    return state._replace(test=test, episode=episode)


def result(schedule: Schedule, state: TrainState) -> TrainResult:
    """Read off what a finished training leaves behind."""
    return TrainResult(
        params=schedule.learner.policy(state.learner),
        num_steps=state.step * schedule.config.action_repeat,
        num_episodes=state.episode.count,
        stopped_early=state.episode.stop.triggered,
        curve=None if state.test is None else state.test.curve,
    )
