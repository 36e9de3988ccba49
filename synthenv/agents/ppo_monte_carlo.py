"""PPO as the SE/RN papers' code has it, in their schedule: Monte-Carlo returns, full batches, one environment.

Every ``rollout_length`` steps, be it inside an episode, the policy is improved ``num_epochs`` times on all steps since
the last time. Returns are discounted sums up to the end of the episode (or of the rollout: the unfinished tail is not
bootstrapped), standardised over the batch; the advantage is the standardised return minus the critic's value. There are
no generalised advantages and no minibatches; neither gradients nor the actions that the environment gets are clipped.
Continuous actions are Gaussian around a squashed mean, with one learned standard deviation per component;
it is kept above 0.001 when acting and above 0.01 when learning. Tests sample too (``test_noise``).

Replay holds exactly ``rollout_length`` rows, so whenever it is time to learn it holds those since the last time, in
their order. The policy has not changed since, so their log-probabilities are computed then.

References:
    Schulman et al. (2017), Proximal policy optimization algorithms.
    Ferreira et al. (2022), table 18, and the released code, which updates once the collected steps exceed
    ``update_episodes`` times the time limit (so ``rollout_length`` is that product plus 1), and knows nothing of the
    policy delay in the table.
"""

from dataclasses import replace
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from synthenv.agents.curiosity.icm_rollouts import curious_in_rollouts
from synthenv.agents.policies.policy_gradient import (
    Categorical,
    Gaussian,
    clipped_surrogate,
    noise_from,
    num_noise_words,
    standardize,
)
from synthenv.agents.ppo_config import PPOMonteCarloConfig
from synthenv.agents.training.bucket import Bucket
from synthenv.agents.training.replay import Replay, Rows, RowsTransform, unchanged, unpack
from synthenv.agents.training.schedule import Learner, Schedule
from synthenv.core.types import Agent
from synthenv.envs.action_units import Actions, actions_of
from synthenv.envs.registry import EnvSpec
from synthenv.nets.network import Network, apply_network, init_network

_ADAM = optax.scale_by_adam()
_LEAST_STD_ACTING = 0.001
_LEAST_STD_LEARNING = 0.01


class Policy(NamedTuple):
    """The actor; ``std`` [size] is unused by discrete actions."""

    net: Network
    std: jax.Array


class Weights(NamedTuple):
    """What a gradient step changes."""

    policy: Policy
    critic: Network


class LearnerState(NamedTuple):
    """Weights, moments, and the steps taken so far."""

    weights: Weights
    opt_state: Any  # optax.ScaleByAdamState
    num_steps: jax.Array


def init(
    key: jax.Array,
    obs: jax.Array,
    hyperparams: Any,
    actions: Actions,
    config: PPOMonteCarloConfig,
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
    net = init_network(key_actor, *into, actions.size, *shape)
    std = jnp.full(actions.size, jnp.asarray(hyperparams.action_std, jnp.float32))
    weights = Weights(Policy(net, std), init_network(key_critic, *into, 1, *shape))
    return LearnerState(weights, _ADAM.init(weights), jnp.int32(0))


def distribution(
    policy: Policy, obs: jax.Array, least_std: float, actions: Actions, config: PPOMonteCarloConfig
) -> Categorical | Gaussian:
    """Return the distribution of actions for observations.

    Args:
        policy: the actor.
        obs: observations [..., obs].
        least_std: bound of the standard deviation from below, in units of the action.
        actions: the environment's actions.
        config: the agent's config.
    """
    out = apply_network(policy.net, obs, config.activation)
    if actions.discrete:
        return Categorical(out)
    std = jnp.broadcast_to(jnp.maximum(policy.std, least_std), out.shape)
    return Gaussian(actions.bound * jnp.tanh(out), std)


def sample(
    words: jax.Array, policy: Policy, obs: jax.Array, actions: Actions, config: PPOMonteCarloConfig
) -> jax.Array:
    """Draw an action, which is not clipped.

    Args:
        words: random uint32 [num_noise_words].
        policy: the actor.
        obs: observation [obs].
        actions: the environment's actions.
        config: the agent's config.
    """
    choice = distribution(policy, obs, _LEAST_STD_ACTING, actions, config)
    return choice.sample(noise_from(words, actions))


def act(
    key: jax.Array, policy: Policy, obs: jax.Array, actions: Actions, config: PPOMonteCarloConfig
) -> jax.Array:
    """Act in a test: by a sample as the released code has it, or by the mode.

    Args:
        key: random key, which only a sample needs.
        policy: the actor.
        obs: observation [obs].
        actions: the environment's actions.
        config: says by ``test_noise`` which of the two it is.
    """
    if config.test_noise:
        return sample(jax.random.bits(key, (num_noise_words(actions),)), policy, obs, actions, config)
    return distribution(policy, obs, _LEAST_STD_ACTING, actions, config).mode()


def monte_carlo_returns(reward: jax.Array, ended: jax.Array, discount: jax.Array) -> jax.Array:
    """Return the discounted returns [T] of rows [T] in the order of time.

    The sum begins anew after the last step of an episode.
    """

    def back(later: jax.Array, now: tuple[jax.Array, jax.Array]) -> tuple[jax.Array, jax.Array]:
        value = now[0] + discount * jnp.where(now[1], 0.0, later)
        return value, value

    return jax.lax.scan(back, jnp.float32(0), (reward, ended), reverse=True)[1]


def loss(
    weights: Weights,
    rows: Rows,
    old_log_prob: jax.Array,
    returns: jax.Array,
    hyperparams: Any,
    actions: Actions,
    config: PPOMonteCarloConfig,
) -> jax.Array:
    """Return equation 9 of Schulman et al. (2017), negated.

    Args:
        weights: which are differentiated.
        rows: transitions [T].
        old_log_prob: log-probabilities of the rows' actions before the first gradient step [T].
        returns: standardised returns [T], which are the critic's targets.
        hyperparams: traced numbers of one agent.
        actions: the environment's actions.
        config: the agent's config.
    """
    value = apply_network(weights.critic, rows.obs, config.activation)[:, 0]
    choice = distribution(weights.policy, rows.obs, _LEAST_STD_LEARNING, actions, config)
    surrogate = clipped_surrogate(
        choice.log_prob(rows.action),
        old_log_prob,
        returns - jax.lax.stop_gradient(value),
        hyperparams.clip_ratio,
    )
    return jnp.mean(
        -surrogate
        + hyperparams.value_coefficient * jnp.square(value - returns)
        - hyperparams.entropy_coefficient * choice.entropy()
    )


def improve(
    learner: LearnerState,
    rows: Rows,
    hyperparams: Any,
    actions: Actions,
    config: PPOMonteCarloConfig,
) -> LearnerState:
    """Take ``num_epochs`` gradient steps, each on all rows.

    Args:
        learner: before the first gradient step.
        rows: transitions [T] in the order of time.
        hyperparams: traced numbers of one agent.
        actions: the environment's actions.
        config: the agent's config.
    """
    # A synthetic environment may answer with a real number, and ends the episode where it is above one half.
    returns = standardize(monte_carlo_returns(rows.reward, rows.not_done < 0.5, hyperparams.discount))
    old = distribution(learner.weights.policy, rows.obs, _LEAST_STD_LEARNING, actions, config)
    old_log_prob = old.log_prob(rows.action)

    def epoch(_: jax.Array, carry: tuple[Weights, Any]) -> tuple[Weights, Any]:
        weights, opt_state = carry
        grads = jax.grad(loss)(weights, rows, old_log_prob, returns, hyperparams, actions, config)
        updates, opt_state = _ADAM.update(grads, opt_state)
        return jax.tree.map(lambda w, u: w - hyperparams.learning_rate * u, weights, updates), opt_state

    weights, opt_state = jax.lax.fori_loop(0, config.num_epochs, epoch, (learner.weights, learner.opt_state))
    return learner._replace(weights=weights, opt_state=opt_state)


def learn(
    words: jax.Array,
    learner: LearnerState,
    replay: Replay,
    obs_size: int,
    epsilon: jax.Array,
    hyperparams: Any,
    actions: Actions,
    config: PPOMonteCarloConfig,
    transform: RowsTransform = unchanged,
) -> LearnerState:
    """Count the step, and improve if it was the last of a rollout.

    Args:
        words: random words, which this agent does without.
        learner: before the step.
        replay: the last ``rollout_length`` rows.
        obs_size: length of an observation.
        epsilon: exploration rate, which does not matter here.
        hyperparams: traced numbers of one agent.
        actions: the environment's actions.
        config: the agent's config.
        transform: what is done to the rows before returns are computed.
    """
    learner = learner._replace(num_steps=learner.num_steps + 1)
    due = learner.num_steps % config.rollout_length == 0

    def on_all_rows(_: jax.Array, learner: LearnerState) -> LearnerState:
        rows = transform(unpack(replay.rows, obs_size, None if actions.discrete else actions.size))
        return improve(learner, rows, hyperparams, actions, config)

    # The branch is for a single member, where a loop alone would copy the rows in every step. The loop of at most one
    # round inside it is for many members: vmap turns the branch into a select, and works off both sides in every step.
    return jax.lax.cond(
        due,
        lambda: jax.lax.fori_loop(0, jnp.where(due, 1, 0), on_all_rows, learner),
        lambda: learner,
    )


def make_learner(config: PPOMonteCarloConfig, bucket: Bucket, actions: Actions) -> Learner:
    """Bind static choices to this module's functions."""
    bound = {"actions": actions, "config": config}

    def explore(words, learner, obs, epsilon, warm_up, hyperparams):
        return sample(words, learner.weights.policy, obs, **bound)

    return Learner(
        init=partial(init, bucket=bucket, **bound),
        explore=explore,
        learn=partial(learn, **bound),
        policy=lambda learner: learner.weights.policy,
        act=partial(act, **bound),
        action_size=1 if actions.discrete else actions.size,
        num_explore_words=num_noise_words(actions),
        num_learn_words=1,
        warms_up=False,
    )


def make(
    config: PPOMonteCarloConfig, bucket: Bucket, action_space: Any, task: EnvSpec | None = None
) -> Agent:
    """Build the agent; with ``task`` (and ``config.test_episodes``) it is tested there while it trains.

    Raises:
        ValueError: if time limits are to be bootstrapped through: returns could not tell where an episode ends.
    """
    if config.time_limit != "terminal":
        raise ValueError(
            f"Monte-Carlo returns end with the episode: time_limit {config.time_limit!r} has to be 'terminal'"
        )
    actions = actions_of(action_space)
    learner = make_learner(config, bucket, actions)
    if config.curiosity is not None:
        learner = curious_in_rollouts(learner, config.rollout_length, actions, config.curiosity)
    return Schedule(learner, replace(config, buffer_size=config.rollout_length), task).make()
