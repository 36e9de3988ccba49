"""PPO with generalised advantage estimation, for discrete and for continuous actions.

Actor and critic are separate networks under one Adam; the Gaussian has one learned standard deviation per component, in
units of the action's bound; the critic's loss is a plain mean squared error, not clipped. A time limit is bootstrapped
through, from the last observation of the episode, unless ``time_limit`` says terminal.

Statistics of observations (``normalize_observations``) are those of all iterations before this one, so that a row is
normalised alike when it is collected and when it is learnt from. Rewards are divided by the standard deviation of the
discounted return (``normalize_rewards``), this iteration's and a bonus for curiosity included.

References:
    Schulman et al. (2017), Proximal policy optimization algorithms.
    Schulman et al. (2016), High-dimensional continuous control using generalized advantage estimation, equation 16.
    Engstrom et al. (2020), Implementation matters in deep policy gradients, for the two normalisations.
    Pardo et al. (2018), Time limits in reinforcement learning, for the bootstrap.
"""

from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from synthenv.agents.curiosity.icm_rollouts import curious_on_policy
from synthenv.agents.policies.policy_gradient import (
    Categorical,
    Gaussian,
    clipped_surrogate,
    noise_from,
    num_noise_words,
    standardize,
)
from synthenv.agents.ppo_config import PPOConfig
from synthenv.agents.training.bucket import Bucket
from synthenv.agents.training.on_policy import OnPolicyLearner, OnPolicySchedule
from synthenv.agents.training.running_stats import RunningStats, init_stats, normalize, rescale, update_stats
from synthenv.agents.training.vector_rollout import Steps
from synthenv.core.types import Agent
from synthenv.envs.action_units import Actions, actions_of
from synthenv.envs.registry import EnvSpec
from synthenv.nets.network import Network, apply_network, init_network

_ADAM = optax.scale_by_adam(eps=1e-5)


class Weights(NamedTuple):
    """What a gradient step changes; ``log_std`` [size] is unused by discrete actions."""

    actor: Network
    log_std: jax.Array
    critic: Network


class Policy(NamedTuple):
    """What acting needs; ``obs_stats`` is None unless observations are normalised."""

    net: Network
    log_std: jax.Array
    obs_stats: RunningStats | None


class LearnerState(NamedTuple):
    """What an iteration changes; statistics are None where nothing is normalised."""

    weights: Weights
    opt_state: Any  # optax.ScaleByAdamState
    obs_stats: RunningStats | None
    reward_stats: RunningStats | None


class Batch(NamedTuple):
    """Rows to learn from, [B]; ``target`` is the critic's."""

    obs: jax.Array  # normalised if the config says so
    action: jax.Array
    log_prob: jax.Array
    advantage: jax.Array
    target: jax.Array


def init(
    key: jax.Array,
    obs: jax.Array,
    hyperparams: Any,
    actions: Actions,
    config: PPOConfig,
    bucket: Bucket,
) -> LearnerState:
    """Draw fresh networks.

    Args:
        key: random key.
        obs: an observation [obs], read for its size.
        hyperparams: traced numbers of one agent; width and first standard deviation count here.
        actions: the environment's actions.
        config: the agent's config.
        bucket: depth and array width of the networks.
    """
    key_actor, key_critic = jax.random.split(key)
    into, shape = (config.network, obs.size, hyperparams.hidden_size), (bucket.depth, bucket.max_hidden)
    weights = Weights(
        actor=init_network(key_actor, *into, actions.size, *shape),
        log_std=jnp.full(actions.size, jnp.log(hyperparams.action_std)),
        critic=init_network(key_critic, *into, 1, *shape),
    )
    return LearnerState(
        weights,
        _ADAM.init(weights),
        obs_stats=init_stats((obs.size,)) if config.normalize_observations else None,
        reward_stats=init_stats(()) if config.normalize_rewards else None,
    )


def policy_of(learner: LearnerState) -> Policy:
    """Take the part of a learner that acts."""
    return Policy(learner.weights.actor, learner.weights.log_std, learner.obs_stats)


def distribution(
    policy: Policy, obs: jax.Array, actions: Actions, config: PPOConfig
) -> Categorical | Gaussian:
    """Return the distribution of actions for obs [..., obs] as the environment gives them."""
    if policy.obs_stats is not None:
        obs = normalize(policy.obs_stats, obs)
    out = apply_network(policy.net, obs, config.activation)
    if actions.discrete:
        return Categorical(out)
    return Gaussian(out, jnp.broadcast_to(jnp.exp(policy.log_std), out.shape))


def explore(
    words: jax.Array, learner: LearnerState, obs: jax.Array, actions: Actions, config: PPOConfig
) -> tuple[jax.Array, jax.Array]:
    """Sample an action in each of N environments.

    Args:
        words: random uint32 [N, num_noise_words].
        learner: whose policy acts.
        obs: observations of N environments [N, obs].
        actions: the environments' actions.
        config: the agent's config.

    Returns:
        actions [N, ...] as they are learnt from, and their log-probabilities [N].
    """
    choice = distribution(policy_of(learner), obs, actions, config)
    action = choice.sample(noise_from(words, actions))
    return action, choice.log_prob(action)


def env_action(action: jax.Array, actions: Actions) -> jax.Array:
    """Return an action as the environment takes it: an index as it is, a vector clipped to the bound."""
    return action if actions.discrete else actions.bound * jnp.clip(action, -1.0, 1.0)


def act(key: jax.Array, policy: Policy, obs: jax.Array, actions: Actions, config: PPOConfig) -> jax.Array:
    """Act in a test: by the mode, or by a sample.

    Args:
        key: random key, which only a sample needs.
        policy: the actor, and the statistics of observations.
        obs: observation [obs].
        actions: the environment's actions.
        config: says by ``test_noise`` which of the two it is.
    """
    choice = distribution(policy, obs, actions, config)
    if config.test_noise:
        words = jax.random.bits(key, (num_noise_words(actions),))
        return env_action(choice.sample(noise_from(words, actions)), actions)
    return env_action(choice.mode(), actions)


def advantages(
    steps: Steps, value: jax.Array, next_value: jax.Array, discount: jax.Array, gae_lambda: jax.Array
) -> jax.Array:
    """Estimate generalised advantages [T, N].

    An estimate reaches to the end of its episode or of the rollout, and counts there the value of ``next_obs`` times
    ``not_done``.

    Args:
        steps: a rollout [T, N].
        value: the critic's values of ``steps.obs`` [T, N].
        next_value: the critic's values of ``steps.next_obs`` [T, N].
        discount: float32 [].
        gae_lambda: decay of the estimate, float32 [].
    """
    error = steps.reward + discount * steps.not_done * next_value - value
    decay = discount * gae_lambda * steps.not_done * ~steps.ended

    def back(later: jax.Array, now: tuple[jax.Array, jax.Array]) -> tuple[jax.Array, jax.Array]:
        advantage = now[0] + now[1] * later
        return advantage, advantage

    return jax.lax.scan(back, jnp.zeros_like(error[0]), (error, decay), reverse=True)[1]


def make_batch(learner: LearnerState, steps: Steps, hyperparams: Any, config: PPOConfig) -> Batch:
    """Make T * N = B steps into rows to learn from."""
    obs, next_obs = (x.reshape(-1, x.shape[-1]) for x in (steps.obs, steps.next_obs))
    if learner.obs_stats is not None:
        obs, next_obs = (normalize(learner.obs_stats, x) for x in (obs, next_obs))
    if learner.reward_stats is not None:
        steps = steps._replace(reward=rescale(learner.reward_stats, steps.reward))
    value, next_value = (critic_value(learner.weights, x, config) for x in (obs, next_obs))
    shape = steps.reward.shape
    advantage = advantages(
        steps, value.reshape(shape), next_value.reshape(shape), hyperparams.discount, hyperparams.gae_lambda
    ).ravel()
    action = steps.action.reshape(-1, *steps.action.shape[2:])
    return Batch(obs, action, steps.log_prob.ravel(), advantage, advantage + value)


def critic_value(weights: Weights, obs: jax.Array, config: PPOConfig) -> jax.Array:
    """Return the values [B] of (normalised) obs [B, obs]."""
    return apply_network(weights.critic, obs, config.activation)[:, 0]


def loss(weights: Weights, batch: Batch, hyperparams: Any, actions: Actions, config: PPOConfig) -> jax.Array:
    """Return equation 9 of Schulman et al. (2017), negated; advantages are standardised over the rows.

    Args:
        weights: which are differentiated.
        batch: a minibatch of rows [B].
        hyperparams: traced numbers of one agent.
        actions: the environment's actions.
        config: the agent's config.
    """
    choice = distribution(Policy(weights.actor, weights.log_std, None), batch.obs, actions, config)
    surrogate = clipped_surrogate(
        choice.log_prob(batch.action), batch.log_prob, standardize(batch.advantage), hyperparams.clip_ratio
    )
    error = critic_value(weights, batch.obs, config) - batch.target
    return (
        -jnp.mean(surrogate)
        + hyperparams.value_coefficient * jnp.mean(jnp.square(error))
        - hyperparams.entropy_coefficient * jnp.mean(choice.entropy())
    )


def improve(
    key: jax.Array,
    learner: LearnerState,
    batch: Batch,
    learning_rate: jax.Array,
    hyperparams: Any,
    actions: Actions,
    config: PPOConfig,
) -> LearnerState:
    """Go through the rows ``num_epochs`` times in shuffled minibatches.

    Args:
        key: random key, for the order of rows.
        learner: before the first gradient step.
        batch: rows [B].
        learning_rate: float32 [].
        hyperparams: traced numbers of one agent.
        actions: the environment's actions.
        config: the agent's config.
    """

    def gradient_step(carry: tuple[Weights, Any], index: jax.Array) -> tuple[tuple[Weights, Any], None]:
        weights, opt_state = carry
        rows = jax.tree.map(lambda x: x[index], batch)
        grads = jax.grad(loss)(weights, rows, hyperparams, actions, config)
        updates, opt_state = _ADAM.update(clip_by_norm(grads, hyperparams.max_grad_norm), opt_state)
        return (jax.tree.map(lambda w, u: w - learning_rate * u, weights, updates), opt_state), None

    def epoch(carry: tuple[Weights, Any], key: jax.Array) -> tuple[tuple[Weights, Any], None]:
        order = jax.random.permutation(key, batch.target.size)
        return jax.lax.scan(gradient_step, carry, order.reshape(config.num_minibatches, -1))

    start = learner.weights, learner.opt_state
    (weights, opt_state), _ = jax.lax.scan(epoch, start, jax.random.split(key, config.num_epochs))
    return learner._replace(weights=weights, opt_state=opt_state)


def clip_by_norm(grads: Weights, max_norm: jax.Array) -> Weights:
    """Shorten a gradient whose norm over all leaves exceeds ``max_norm``."""
    factor = jnp.minimum(1.0, max_norm / (optax.tree.norm(grads) + 1e-8))
    return jax.tree.map(lambda g: factor * g, grads)


def learn(
    key: jax.Array,
    learner: LearnerState,
    steps: Steps,
    progress: jax.Array,
    hyperparams: Any,
    actions: Actions,
    config: PPOConfig,
) -> LearnerState:
    """Improve on T * N steps, under the statistics that they were collected with.

    Args:
        key: random key.
        learner: before this iteration.
        steps: what this iteration collected [T, N].
        progress: share of ``max_steps`` used before this iteration, float32 [].
        hyperparams: traced numbers of one agent.
        actions: the environment's actions.
        config: the agent's config.
    """
    if learner.reward_stats is not None:
        reward_stats = update_stats(learner.reward_stats, steps.discounted_return.ravel())
        learner = learner._replace(reward_stats=reward_stats)
    learning_rate = hyperparams.learning_rate * (1.0 - progress if config.anneal_learning_rate else 1.0)
    batch = make_batch(learner, steps, hyperparams, config)
    learner = improve(key, learner, batch, learning_rate, hyperparams, actions, config)
    if learner.obs_stats is not None:
        obs_stats = update_stats(learner.obs_stats, steps.obs.reshape(-1, steps.obs.shape[-1]))
        learner = learner._replace(obs_stats=obs_stats)
    return learner


def make(config: PPOConfig, bucket: Bucket, action_space: Any, task: EnvSpec | None = None) -> Agent:
    """Build the agent; with ``task`` (and ``config.test_episodes``) it is tested there while it trains.

    Raises:
        ValueError: if the steps of an iteration do not divide into minibatches.
    """
    if config.num_envs * config.rollout_length % config.num_minibatches:
        raise ValueError(
            f"{config.num_envs} environments x {config.rollout_length} steps do not divide into"
            f" {config.num_minibatches} minibatches: choose num_minibatches so that they do"
        )
    actions = actions_of(action_space)
    bound = {"actions": actions, "config": config}
    learner = OnPolicyLearner(
        init=partial(init, bucket=bucket, **bound),
        explore=partial(explore, **bound),
        env_action=partial(env_action, actions=actions),
        learn=partial(learn, **bound),
        policy=policy_of,
        act=partial(act, **bound),
        num_explore_words=num_noise_words(actions),
    )
    if config.curiosity is not None:
        learner = curious_on_policy(learner, config.num_envs, actions, config.curiosity)
    return OnPolicySchedule(learner, config, task).make()
