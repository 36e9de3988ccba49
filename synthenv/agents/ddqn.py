"""Double DQN, plain or dueling, in the schedule of the SE/RN papers.

The agent takes one gradient step per environment step, and the target follows by Polyak averaging after each. Batches
are drawn from replay uniformly with replacement, the loss is a mean squared error, Adam does not clip, and epsilon
falls once per episode.

References:
    van Hasselt et al. (2016), Deep reinforcement learning with double Q-learning.
    Wang et al. (2016), Dueling network architectures for deep reinforcement learning.
    Ferreira et al. (2022), Learning synthetic environments and reward networks, appendix A.1 and tables 3-5.
"""

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from synthenv.agents.curiosity.icm import curious
from synthenv.agents.off_policy_config import DDQNConfig
from synthenv.agents.training.batch import sum_over_blocks
from synthenv.agents.training.bucket import Bucket
from synthenv.agents.training.exploration import epsilon_greedy, next_epsilon
from synthenv.agents.training.replay import Replay, Rows, RowsTransform, sample_rows, unchanged
from synthenv.agents.training.schedule import Learner, Schedule
from synthenv.core.types import Agent
from synthenv.envs.action_units import actions_of
from synthenv.envs.registry import EnvSpec
from synthenv.nets.dueling import apply_advantages, apply_dueling, init_dueling
from synthenv.nets.network import apply_network, init_network

PyTree = Any
# params, observations [..., obs], weight of every row in a mean over the batch [B] -> values [..., actions]
ValueFunction = Callable[[PyTree, jax.Array, jax.Array | None], jax.Array]

_ADAM = optax.scale_by_adam()


class Weights(NamedTuple):
    """What a gradient step changes."""

    params: PyTree
    target_params: PyTree
    opt_state: optax.OptState


def init(
    key: jax.Array,
    obs: jax.Array,
    hyperparams: Any,
    num_actions: int,
    config: DDQNConfig,
    bucket: Bucket,
) -> Weights:
    """Draw a fresh network, which is the target too.

    Args:
        key: random key.
        obs: an observation [obs], read for its size.
        hyperparams: traced numbers of one agent; ``hidden_size`` counts here.
        num_actions: choices in a state.
        config: the agent's config.
        bucket: depth and array width of the network.
    """
    sizes = (obs.size, hyperparams.hidden_size, num_actions, bucket.depth)
    if config.name == "dueling_ddqn":
        params = init_dueling(key, *sizes, config.feature_size, bucket.max_hidden, config.network)
    else:
        params = init_network(key, config.network, *sizes, bucket.max_hidden)
    return Weights(params, params, _ADAM.init(params))


def value_function(config: DDQNConfig) -> ValueFunction:
    """Return the function of the network that ``config`` names."""
    if config.name == "dueling_ddqn":
        of_batch = config.advantage_mean == "batch"
        return lambda params, obs, weight=None: apply_dueling(
            params, obs, config.activation, weight if of_batch else None
        )
    return lambda params, obs, weight=None: apply_network(params, obs, config.activation)


def rank(params: PyTree, obs: jax.Array, config: DDQNConfig) -> jax.Array:
    """Score actions [..., actions], the greedy one highest.

    A dueling net is asked for its advantages alone: the value is the same for all actions of a state.
    """
    net = apply_advantages if config.name == "dueling_ddqn" else apply_network
    return net(params, obs, config.activation)


def act(params: PyTree, obs: jax.Array, config: DDQNConfig) -> jax.Array:
    """Greedy action for obs [..., obs]; ties go to the first action."""
    return jnp.argmax(rank(params, obs, config), axis=-1)


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
    params: PyTree,
    target_params: PyTree,
    rows: Rows,
    discount: jax.Array,
    config: DDQNConfig,
    weight: jax.Array | None = None,
) -> jax.Array:
    """Double-Q targets [B]: the online net picks the next action, the target net values it.

    Args:
        params: the online net.
        target_params: the target net.
        rows: transitions [B].
        discount: float32 [].
        config: the agent's config.
        weight: share of every row [B] in a dueling net's mean advantage over the batch; see ``apply_dueling``.
    """
    scores = rank(params, rows.next_obs, config)  # [B, actions]
    next_q_target = value_function(config)(target_params, rows.next_obs, weight)  # [B, actions]
    return rows.reward + discount * rows.not_done * value_of_best(scores, next_q_target)


def td_loss(
    params: PyTree, rows: Rows, targets: jax.Array, weight: jax.Array, values: ValueFunction
) -> jax.Array:
    """Return the weighted sum of squared TD errors.

    Args:
        params: the online net, which is differentiated.
        rows: transitions [B].
        targets: one for each row [B].
        weight: 1/batch_size inside the batch and 0 outside [B].
        values: what ``value_function`` returns.
    """
    q_taken = value_of_action(values(params, rows.obs, weight), rows.action)
    return jnp.sum(weight * jnp.square(q_taken - targets))


def gradient(
    words: jax.Array,
    weights: Weights,
    replay: Replay,
    obs_size: int,
    hyperparams: Any,
    config: DDQNConfig,
    bucket: Bucket,
    transform: RowsTransform = unchanged,
) -> PyTree:
    """Return the gradient of the TD loss on a fresh batch.

    Args:
        words: random uint32 [bucket.batch_rows], one for each row.
        weights: the nets before the step.
        replay: the ring to draw from.
        obs_size: length of an observation.
        hyperparams: traced numbers of one agent.
        config: the agent's config.
        bucket: bound and blocks of the batch.
        transform: what is done to the rows before targets are computed.
    """
    values = value_function(config)

    def of_block(words: jax.Array, weight: jax.Array) -> PyTree:
        rows = transform(sample_rows(words, replay, obs_size))
        targets = td_targets(
            weights.params, weights.target_params, rows, hyperparams.discount, config, weight
        )
        return jax.grad(td_loss)(weights.params, rows, targets, weight, values)

    return sum_over_blocks(words, hyperparams.batch_size, bucket, of_block)


def learn(
    words: jax.Array,
    weights: Weights,
    replay: Replay,
    obs_size: int,
    epsilon: jax.Array,
    hyperparams: Any,
    config: DDQNConfig,
    bucket: Bucket,
    transform: RowsTransform = unchanged,
) -> Weights:
    """Take one Adam step on a fresh batch, and one Polyak step of the target.

    Args:
        words: random uint32 [bucket.batch_rows].
        weights: before the step.
        replay: the ring to draw from.
        obs_size: length of an observation.
        epsilon: exploration rate, which does not matter here.
        hyperparams: traced numbers of one agent.
        config: the agent's config.
        bucket: bound and blocks of the batch.
        transform: what is done to the rows before targets are computed.
    """
    grads = gradient(words, weights, replay, obs_size, hyperparams, config, bucket, transform)
    updates, opt_state = _ADAM.update(grads, weights.opt_state)
    params = jax.tree.map(lambda p, u: p - hyperparams.learning_rate * u, weights.params, updates)
    target_params = jax.tree.map(lambda t, p: t + hyperparams.tau * (p - t), weights.target_params, params)
    return Weights(params, target_params, opt_state)


def make_learner(config: DDQNConfig, bucket: Bucket, num_actions: int) -> Learner:
    """Bind static choices to this module's functions."""

    def explore_step(words, weights, obs, epsilon, warm_up, hyperparams):  # the warm-up is epsilon-greedy too
        return epsilon_greedy(words, act(weights.params, obs, config), epsilon, num_actions)

    return Learner(
        init=partial(init, num_actions=num_actions, config=config, bucket=bucket),
        explore=explore_step,
        learn=partial(learn, config=config, bucket=bucket),
        policy=lambda weights: weights.params,
        act=lambda key, params, obs: act(params, obs, config),
        first_epsilon=lambda hyperparams: hyperparams.epsilon_init,
        next_epsilon=next_epsilon,
        num_explore_words=2,
        num_learn_words=bucket.batch_rows,
    )


def make(config: DDQNConfig, bucket: Bucket, action_space: Any, task: EnvSpec | None = None) -> Agent:
    """Build the agent; with ``task`` (and ``config.test_episodes``) it is tested there while it trains."""
    learner = make_learner(config, bucket, action_space.n)
    if config.curiosity is not None:
        learner = curious(learner, sample_rows, actions_of(action_space), config.curiosity, bucket)
    return Schedule(learner, config, task).make()
