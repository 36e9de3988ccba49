"""TD3 for continuous actions, and for discrete ones by Gumbel-softmax, in the schedule of the SE/RN papers.

There are two critics, clipped noise on the target's action, a delayed actor and delayed targets, and one gradient step
per environment step. The discrete form acts on vectors: the actor's logits become a relaxed (or one-hot) sample, the
environment takes the index of its largest entry, and the critics see the vector.

References:
    Fujimoto et al. (2018), Addressing function approximation error in actor-critic methods.
    Ferreira et al. (2022), tables 5, 16 and 17.
"""

from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from synthenv.agents.curiosity.icm import curious
from synthenv.agents.off_policy_config import TD3Config
from synthenv.agents.policies.td3_policy import Actor, Policy, act, noisy_action, propose
from synthenv.agents.training.action_vectors import env_action
from synthenv.agents.training.batch import sum_over_blocks
from synthenv.agents.training.bucket import Bucket
from synthenv.agents.training.replay import Replay, RowsTransform, sample_rows, unchanged
from synthenv.agents.training.schedule import Learner, Schedule
from synthenv.core.keys import normal, uniform
from synthenv.core.types import Agent
from synthenv.envs.action_units import Actions, actions_of
from synthenv.envs.registry import EnvSpec
from synthenv.nets.network import Network, apply_network, init_network

_ADAM = optax.scale_by_adam()


class Weights(NamedTuple):
    """What a gradient step changes; ``action_std`` stays as it is."""

    actor: Actor
    critics: tuple[Network, Network]
    target_actor: Actor
    target_critics: tuple[Network, Network]
    actor_opt: Any  # optax.ScaleByAdamState
    critic_opt: Any
    action_std: jax.Array


def init(
    key: jax.Array,
    obs: jax.Array,
    hyperparams: Any,
    actions: Actions,
    config: TD3Config,
    bucket: Bucket,
) -> Weights:
    """Draw a fresh actor and two critics, which are their own targets at first.

    Args:
        key: random key.
        obs: an observation [obs], read for its size.
        hyperparams: traced numbers of one agent; width, temperature and noise count here.
        actions: the environment's actions.
        config: the agent's config.
        bucket: depth and array width of the networks.
    """
    keys = jax.random.split(key, 3)
    hidden, shape = hyperparams.hidden_size, (bucket.depth, bucket.max_hidden)
    net = init_network(keys[0], config.network, obs.size, hidden, actions.size, *shape)
    actor = Actor(net, jnp.asarray(hyperparams.temperature, jnp.float32))
    critic = (config.network, obs.size + actions.size, hidden, 1, *shape)
    critics = init_network(keys[1], *critic), init_network(keys[2], *critic)
    std = jnp.asarray(hyperparams.action_std, jnp.float32)
    return Weights(actor, critics, actor, critics, _ADAM.init(actor), _ADAM.init(critics), std)


def explore(
    words: jax.Array,
    weights: Weights,
    obs: jax.Array,
    epsilon: jax.Array,
    warm_up: jax.Array,
    hyperparams: Any,
    actions: Actions,
    config: TD3Config,
) -> jax.Array:
    """Take a noisy action, or a uniformly random one while the buffer warms up.

    Args:
        words: random uint32 [4 * size].
        weights: the learner's.
        obs: observation [obs].
        epsilon: exploration rate, which does not matter here.
        warm_up: whether the buffer warms up, bool [].
        hyperparams: traced numbers of one agent.
        actions: the environment's actions.
        config: the agent's config.

    Returns:
        an action vector [size], which has one number per choice if actions are discrete.
    """
    size = actions.size
    policy = Policy(weights.actor, weights.critic_opt.count, weights.action_std)
    noisy = noisy_action(words[: 3 * size], policy, obs, actions, config)
    if actions.discrete:
        anything = jax.nn.one_hot(words[-1] % size, size)
    else:
        anything = actions.bound * (2.0 * uniform(words[3 * size :]) - 1.0)
    return jnp.where(warm_up, anything, noisy)


def value(critic: Network, obs: jax.Array, action: jax.Array, config: TD3Config) -> jax.Array:
    """Return what a critic expects [B] of actions [B, size] in states [B, obs]."""
    return apply_network(critic, jnp.concatenate([obs, action], axis=-1), config.activation)[..., 0]


def td_targets(
    words: jax.Array,
    weights: Weights,
    rows: Any,
    hyperparams: Any,
    actions: Actions,
    config: TD3Config,
) -> jax.Array:
    """Return targets [B]: the smaller of both target critics' values of the target actor's action under clipped noise.

    Args:
        words: random uint32 [B, 3 * size].
        weights: the learner's, whose targets are asked.
        rows: transitions [B].
        hyperparams: traced numbers of one agent.
        actions: the environment's actions.
        config: the agent's config.
    """
    size = actions.size
    action = propose(
        words[:, :size], weights.target_actor, rows.next_obs, weights.critic_opt.count, actions, config
    )
    noise = hyperparams.policy_std * normal(words[:, size:].reshape(-1, size, 2))
    action += jnp.clip(noise, -hyperparams.policy_clip, hyperparams.policy_clip)
    if not actions.discrete:  # a relaxed sample is not normalised again, as in the released code
        action = jnp.clip(action, -actions.bound, actions.bound)
    first, second = (value(critic, rows.next_obs, action, config) for critic in weights.target_critics)
    q = jnp.minimum(first, second)
    return rows.reward + hyperparams.discount * rows.not_done * q


def critic_loss(
    critics: tuple[Network, Network], rows: Any, targets: jax.Array, weight: jax.Array, config: TD3Config
) -> jax.Array:
    """Sum the weighted squared TD errors of both critics.

    Args:
        critics: both, which are differentiated.
        rows: transitions [B].
        targets: one for each row [B].
        weight: 1/batch_size inside the batch and 0 outside [B].
        config: the agent's config.
    """

    def loss(critic: Network) -> jax.Array:
        return jnp.sum(weight * jnp.square(value(critic, rows.obs, rows.action, config) - targets))

    return loss(critics[0]) + loss(critics[1])


def actor_loss(
    actor: Actor,
    words: jax.Array,
    critic: Network,
    obs: jax.Array,
    num_updates: jax.Array,
    weight: jax.Array,
    actions: Actions,
    config: TD3Config,
) -> jax.Array:
    """Return minus the weighted value of what the actor proposes.

    Args:
        actor: which is differentiated.
        words: random uint32 [B, size].
        critic: the one that values the proposals.
        obs: observations [B, obs].
        num_updates: gradient steps so far, int32 [], on which the temperature of samples may depend.
        weight: 1/batch_size inside the batch and 0 outside [B].
        actions: the environment's actions.
        config: the agent's config.
    """
    return -jnp.sum(
        weight * value(critic, obs, propose(words, actor, obs, num_updates, actions, config), config)
    )


def learn(
    words: jax.Array,
    weights: Weights,
    replay: Replay,
    obs_size: int,
    epsilon: jax.Array,
    hyperparams: Any,
    actions: Actions,
    config: TD3Config,
    bucket: Bucket,
    transform: RowsTransform = unchanged,
) -> Weights:
    """Train the critics on one batch, and with it every ``policy_delay`` steps the actor and all targets.

    Args:
        words: random uint32 [bucket.batch_rows * (1 + 4 * size)].
        weights: before the step.
        replay: the ring to draw from.
        obs_size: length of an observation.
        epsilon: exploration rate, which does not matter here.
        hyperparams: traced numbers of one agent.
        actions: the environment's actions.
        config: the agent's config.
        bucket: bound and blocks of the batch.
        transform: what is done to the rows before targets are computed.
    """
    size, count = actions.size, weights.critic_opt.count
    words = words.reshape(bucket.batch_rows, -1)  # [rows, 1 + 4 * size]
    rows_of = lambda block: sample_rows(block[:, 0], replay, obs_size, size)  # noqa: E731
    step = lambda p, u: p - hyperparams.learning_rate * u  # noqa: E731

    def critic_gradient(block: jax.Array, weight: jax.Array) -> Any:
        rows = transform(rows_of(block))
        targets = td_targets(block[:, 1 : 1 + 3 * size], weights, rows, hyperparams, actions, config)
        return jax.grad(critic_loss)(weights.critics, rows, targets, weight, config)

    grads = sum_over_blocks(words, hyperparams.batch_size, bucket, critic_gradient)
    updates, critic_opt = _ADAM.update(grads, weights.critic_opt)
    critics = jax.tree.map(step, weights.critics, updates)
    after = weights._replace(critics=critics, critic_opt=critic_opt)

    def actor_gradient(block: jax.Array, weight: jax.Array) -> Any:
        return jax.grad(actor_loss)(
            weights.actor,
            block[:, 1 + 3 * size :],
            critics[0],
            rows_of(block).obs,
            count,
            weight,
            actions,
            config,
        )

    def improve() -> Weights:
        grads = sum_over_blocks(words, hyperparams.batch_size, bucket, actor_gradient)
        updates, actor_opt = _ADAM.update(grads, weights.actor_opt)
        actor = jax.tree.map(step, weights.actor, updates)
        follow = lambda target, new: target + hyperparams.tau * (new - target)  # noqa: E731
        return after._replace(
            actor=actor,
            actor_opt=actor_opt,
            target_actor=jax.tree.map(follow, weights.target_actor, actor),
            target_critics=jax.tree.map(follow, weights.target_critics, critics),
        )

    return jax.lax.cond((count + 1) % hyperparams.policy_delay == 0, improve, lambda: after)


def make_learner(config: TD3Config, bucket: Bucket, actions: Actions) -> Learner:
    """Bind static choices to this module's functions."""
    bound = {"actions": actions, "config": config}
    return Learner(
        init=partial(init, bucket=bucket, **bound),
        explore=partial(explore, **bound),
        env_action=partial(env_action, actions=actions),
        learn=partial(learn, bucket=bucket, **bound),
        policy=lambda weights: Policy(weights.actor, weights.critic_opt.count, weights.action_std),
        act=partial(act, **bound),
        action_size=actions.size,
        num_explore_words=4 * actions.size,
        num_learn_words=bucket.batch_rows * (1 + 4 * actions.size),
    )


def make(config: TD3Config, bucket: Bucket, action_space: Any, task: EnvSpec | None = None) -> Agent:
    """Build the agent; with ``task`` (and ``config.test_episodes``) it is tested there while it trains."""
    actions = actions_of(action_space)
    learner = make_learner(config, bucket, actions)
    if config.curiosity is not None:
        sample = partial(sample_rows, action_size=actions.size)
        learner = curious(learner, sample, actions, config.curiosity, bucket)
    return Schedule(learner, config, task).make()
