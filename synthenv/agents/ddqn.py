"""Double DQN in the schedule of the SE/RN papers, as pure functions of one member.

One gradient step per environment step once ``init_episodes`` episodes have filled the buffer, epsilon lowered
once per episode, Polyak averaging of the target after every gradient step, replay sampled uniformly with
replacement, mean squared error, Adam without clipping.

References:
    van Hasselt et al. (2016), Deep reinforcement learning with double Q-learning.
    Ferreira et al. (2022), Learning synthetic environments and reward networks, appendix A.1 and tables 3-5.
"""

from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from flax import struct

from synthenv.agents.replay import Replay, Rows, init_replay, sample_rows, write_row
from synthenv.agents.stopping import StopRule, StopState, init_stop, update_stop
from synthenv.core import keys
from synthenv.core.keys import key_from, seed_words, uniform
from synthenv.core.types import Agent, TrainResult
from synthenv.nets.mlp import Params, apply_mlp, init_mlp

_ADAM = optax.scale_by_adam()


class DDQNConfig(NamedTuple):
    """Static choices: every distinct value compiles its own program.

    Attributes:
        depth: hidden layers.
        activation: name in ``nets.mlp.ACTIVATIONS``.
        max_hidden: width of the arrays; ``hyperparams.hidden_size`` may be anything up to it.
        max_batch: bound of ``hyperparams.batch_size``.
        batch_block: rows per gradient block. Equal to ``max_batch``: one block, the batch is masked. Smaller:
            a loop over as many blocks as the member's batch needs, so a small batch costs little.
        buffer_size: replay capacity; the oldest row is overwritten.
        stop: ``plateau`` (training return stopped changing), ``solved`` (training return reached
            ``hyperparams.solved_return``) or ``none``.
        stop_window: episodes averaged by the stop rule, ``d`` in the paper.
        time_limit: ``terminal`` stores a time limit as a terminal state, as gym 0.17 did;
            ``bootstrap`` looks through it. Defaults as in ``agents.config.AgentConfig``.
    """

    depth: int = 2
    activation: str = "relu"
    max_hidden: int = 128
    max_batch: int = 128
    batch_block: int = 128
    buffer_size: int = 100_000
    stop: StopRule = "plateau"
    stop_window: int = 10
    time_limit: str = "bootstrap"


@struct.dataclass
class DDQNHyperparams:
    """Traced values, free to differ between members. Defaults: table 5 of the paper."""

    learning_rate: Any = 1e-3
    discount: Any = 0.99
    tau: Any = 0.01
    epsilon_init: Any = 1.0
    epsilon_min: Any = 0.01
    epsilon_decay: Any = 0.9
    batch_size: Any = 128
    hidden_size: Any = 128
    init_episodes: Any = 10
    max_episodes: Any = 1000
    max_steps: Any = 1_000_000
    plateau_tolerance: Any = 0.01
    solved_return: Any = 195.0


class EpisodeState(NamedTuple):
    """What the end of an episode may change."""

    env_state: Any
    obs: jax.Array  # [obs]
    epsilon: jax.Array
    count: jax.Array  # finished episodes
    total_reward: jax.Array  # of the current episode
    stop: StopState
    finished: jax.Array


class TrainState(NamedTuple):
    """Everything that changes while one member trains."""

    seed: jax.Array  # uint32 [2], see core.keys
    step: jax.Array
    params: Params
    target_params: Params
    opt_state: optax.OptState
    replay: Replay
    episode: EpisodeState


def init(
    key: jax.Array, env: Any, env_params: Any, hyperparams: DDQNHyperparams, config: DDQNConfig
) -> TrainState:
    """Draw a fresh agent and reset its environment; ``key`` is also the root of all later randomness."""
    key_net, key_reset, key_train = jax.random.split(key, 3)
    obs, env_state = env.reset_env(key_reset, env_params)
    params = init_mlp(
        key_net, obs.size, hyperparams.hidden_size, env.num_actions, config.depth, config.max_hidden
    )
    return TrainState(
        seed=seed_words(key_train),
        step=jnp.int32(0),
        params=params,
        target_params=params,
        opt_state=_ADAM.init(params),
        replay=init_replay(config.buffer_size, obs.size),
        episode=EpisodeState(
            env_state=env_state,
            obs=obs,
            epsilon=jnp.asarray(hyperparams.epsilon_init, jnp.float32),
            count=jnp.int32(0),
            total_reward=jnp.float32(0),
            stop=init_stop(config.stop_window),
            finished=jnp.bool_(False),
        ),
    )


def act(params: Params, obs: jax.Array, config: DDQNConfig) -> jax.Array:
    """Greedy action for obs [..., obs]; ties go to the first action."""
    return jnp.argmax(apply_mlp(params, obs, config.activation), axis=-1)


def explore(words: jax.Array, greedy: jax.Array, epsilon: jax.Array, num_actions: int) -> jax.Array:
    """Replace the greedy action by a uniform one with probability ``epsilon``; words uint32 [2]."""
    other = (words[1] % num_actions).astype(greedy.dtype)
    return jnp.where(uniform(words[0]) < epsilon, other, greedy)


def value_of_best(scores: jax.Array, values: jax.Array) -> jax.Array:
    """``values[b, argmax(scores[b])]`` for [B, actions] inputs; ties go to the first action.

    Unrolled over the actions: on CPU this fuses, where ``argmax`` and ``take_along_axis`` (and above all the
    scatter in the latter's gradient) run element by element.
    """
    best_score, best_value = scores[:, 0], values[:, 0]
    for action in range(1, scores.shape[1]):
        better = scores[:, action] > best_score
        best_score = jnp.where(better, scores[:, action], best_score)
        best_value = jnp.where(better, values[:, action], best_value)
    return best_value


def value_of_action(values: jax.Array, action: jax.Array) -> jax.Array:
    """``values[b, action[b]]`` for values [B, actions] and action [B]."""
    chosen = action[:, None] == jnp.arange(values.shape[1])[None, :]
    return jnp.sum(jnp.where(chosen, values, 0.0), axis=-1)


def td_targets(
    params: Params, target_params: Params, rows: Rows, discount: jax.Array, activation: str
) -> jax.Array:
    """Double-Q targets [B]: the online net picks the next action, the target net values it."""
    next_q = apply_mlp(params, rows.next_obs, activation)  # [B, actions]
    next_q_target = apply_mlp(target_params, rows.next_obs, activation)  # [B, actions]
    return rows.reward + discount * rows.not_done * value_of_best(next_q, next_q_target)


def td_loss(params: Params, rows: Rows, targets: jax.Array, weight: jax.Array, activation: str) -> jax.Array:
    """Weighted sum of squared TD errors; ``weight`` [B] is 1/batch_size inside the batch and 0 outside."""
    q_taken = value_of_action(apply_mlp(params, rows.obs, activation), rows.action)
    return jnp.sum(weight * jnp.square(q_taken - targets))


def batch_rows(config: DDQNConfig) -> int:
    """Rows that a gradient step may touch: ``max_batch`` rounded up to whole blocks."""
    return -(-config.max_batch // config.batch_block) * config.batch_block


def gradient(words: jax.Array, state: TrainState, hyperparams: DDQNHyperparams, config: DDQNConfig) -> Params:
    """Gradient of the TD loss on a fresh batch, accumulated over ``batch_block`` rows at a time.

    ``words`` [rows] are random, one for each row that the batch may have (see ``batch_rows``).
    """
    block = config.batch_block
    max_blocks = batch_rows(config) // block
    words = words.reshape(max_blocks, block)
    batch_size = jnp.asarray(hyperparams.batch_size)

    def block_gradient(i: jax.Array) -> Params:
        rows = sample_rows(words[i], state.replay, state.episode.obs.size)
        inside = i * block + jnp.arange(block) < batch_size
        weight = jnp.where(inside, 1.0 / batch_size.astype(jnp.float32), 0.0)
        targets = td_targets(state.params, state.target_params, rows, hyperparams.discount, config.activation)
        return jax.grad(td_loss)(state.params, rows, targets, weight, config.activation)

    if max_blocks == 1:
        return block_gradient(jnp.int32(0))
    num_blocks = (batch_size + block - 1) // block
    zeros = jax.tree.map(jnp.zeros_like, state.params)
    return jax.lax.fori_loop(
        0, num_blocks, lambda i, total: jax.tree.map(jnp.add, total, block_gradient(i)), zeros
    )


def learn(
    words: jax.Array, state: TrainState, hyperparams: DDQNHyperparams, config: DDQNConfig
) -> tuple[Params, Params, optax.OptState]:
    """One Adam step and one Polyak step; returns params, target params and optimiser state."""
    grads = gradient(words, state, hyperparams, config)
    updates, opt_state = _ADAM.update(grads, state.opt_state)
    params = jax.tree.map(lambda p, u: p - hyperparams.learning_rate * u, state.params, updates)
    target_params = jax.tree.map(lambda t, p: t + hyperparams.tau * (p - t), state.target_params, params)
    return params, target_params, opt_state


def interact(
    words: jax.Array, state: TrainState, env: Any, env_params: Any, config: DDQNConfig
) -> tuple[TrainState, jax.Array]:
    """Take one epsilon-greedy step and store it.

    Returns:
        the state after the step (not reset), and whether the episode ended.
    """
    episode = state.episode
    action = explore(words[:2], act(state.params, episode.obs, config), episode.epsilon, env.num_actions)
    obs, env_state, reward, terminated, info = env.step_env(
        key_from(words[2:4]), episode.env_state, action, env_params
    )
    truncated = env.is_truncated(env_state, env_params)
    not_done = info["discount"]  # an SE may answer with a real number here, see proxies.synthetic_env
    if config.time_limit == "terminal":
        not_done = jnp.where(truncated, 0.0, not_done)
    replay = write_row(state.replay, state.step, episode.obs, obs, action, reward, not_done)
    episode = episode._replace(env_state=env_state, obs=obs, total_reward=episode.total_reward + reward)
    step = state.step + jnp.where(episode.finished, 0, 1)
    return state._replace(replay=replay, episode=episode, step=step), terminated | truncated


def end_episode(
    key: jax.Array,
    state: TrainState,
    env: Any,
    env_params: Any,
    hyperparams: DDQNHyperparams,
    config: DDQNConfig,
) -> EpisodeState:
    """Close an episode: stop rule, epsilon, reset."""
    stop = update_stop(
        state.episode.stop, state.episode.count, state.episode.total_reward, hyperparams, config.stop
    )
    obs, env_state = env.reset_env(key, env_params)
    count = state.episode.count + 1
    return EpisodeState(
        env_state=env_state,
        obs=obs,
        epsilon=jnp.maximum(state.episode.epsilon * hyperparams.epsilon_decay, hyperparams.epsilon_min),
        count=count,
        total_reward=jnp.float32(0),
        stop=stop,
        finished=stop.triggered | (count >= hyperparams.max_episodes),
    )


def train_step(
    state: TrainState, env: Any, env_params: Any, hyperparams: DDQNHyperparams, config: DDQNConfig
) -> TrainState:
    """One environment step, one gradient step, and the end of the episode if it came.

    A finished member stands still, so members of a vmapped group may be stepped on until all have finished. The
    branches return only what they change: under ``vmap`` they become selects, and a select over the replay
    buffer would cost more than the step itself.
    """
    words = keys.words(state.seed, state.step, 6 + batch_rows(config))
    ready = (state.episode.count >= hyperparams.init_episodes) & ~state.episode.finished
    state, done = interact(words[:4], state, env, env_params, config)
    params, target_params, opt_state = jax.lax.cond(
        ready,
        lambda: learn(words[6:], state, hyperparams, config),
        lambda: (state.params, state.target_params, state.opt_state),
    )
    episode = jax.lax.cond(
        done & ~state.episode.finished,
        lambda: end_episode(key_from(words[4:6]), state, env, env_params, hyperparams, config),
        lambda: state.episode,
    )
    episode = episode._replace(finished=episode.finished | (state.step >= hyperparams.max_steps))
    return state._replace(params=params, target_params=target_params, opt_state=opt_state, episode=episode)


def finished(state: TrainState) -> jax.Array:
    """Whether a stop rule or a bound has ended this training."""
    return state.episode.finished


def result(state: TrainState) -> TrainResult:
    """Read off what a finished training leaves behind."""
    return TrainResult(
        params=state.params,
        num_steps=state.step,
        num_episodes=state.episode.count,
        last_return=state.episode.stop.mean_return,
        stopped_early=state.episode.stop.triggered,
    )


def make(config: DDQNConfig) -> Agent:
    """Bind a static config to this module's functions."""
    return Agent(
        init=partial(init, config=config),
        step=partial(train_step, config=config),
        finished=finished,
        result=result,
        act=partial(act, config=config),
    )
