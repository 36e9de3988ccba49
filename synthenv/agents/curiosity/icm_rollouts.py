"""Curiosity for agents that learn from whole rollouts: both forms of PPO.

The bonus is added to the rewards of a whole rollout by the module as it is; after the policy has learnt, the module is
trained once on the same rollout.

References:
    Ferreira et al. (2022), tables 15 and 19, and the released code for PPO's order of things.
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from synthenv.agents.config import ICMConfig
from synthenv.agents.curiosity import icm as modules
from synthenv.agents.curiosity.icm import ICM, Curious
from synthenv.agents.training.action_vectors import Actions
from synthenv.agents.training.on_policy import OnPolicyLearner
from synthenv.agents.training.replay import Replay, Rows, unpack
from synthenv.agents.training.schedule import Learner
from synthenv.agents.training.vector_rollout import Steps


def train_once(module: ICM, rows: Rows, actions: Actions, config: ICMConfig) -> ICM:
    """One Adam step of the module on all rows [B]."""
    weight = jnp.full(rows.reward.shape, 1.0 / rows.reward.size)
    gradient = jax.grad(modules.loss)(module.params, rows, weight, actions, config)
    return modules.update(module, gradient, config)


def rows_of(steps: Steps) -> Rows:
    """Steps [T, N] as rows [T * N]."""
    flat = jax.tree.map(lambda x: x.reshape(-1, *x.shape[2:]), steps)
    return Rows(flat.obs, flat.next_obs, flat.action, flat.reward, flat.not_done)


class CuriousOnPolicy(NamedTuple):
    """A learner of ``on_policy`` and its module; ``bonus_return`` [N] is the discounted bonus of current episodes."""

    learner: Any
    icm: ICM
    bonus_return: jax.Array


def pay(
    steps: Steps, bonus: jax.Array, bonus_return: jax.Array, discount: jax.Array
) -> tuple[Steps, jax.Array]:
    """Add a bonus [T, N] to the rewards of steps and to the returns that these are scaled by.

    Args:
        steps: [T, N].
        bonus: of each step.
        bonus_return: discounted bonus of the episodes that the steps begin in [N].
        discount: of the agent.

    Returns:
        the steps, and ``bonus_return`` behind them.
    """

    def forth(before: jax.Array, now: tuple[jax.Array, jax.Array]) -> tuple[jax.Array, jax.Array]:
        total = discount * before + now[0]
        return jnp.where(now[1], 0.0, total), total

    after, extra = jax.lax.scan(forth, bonus_return, (bonus, steps.ended))
    paid = steps._replace(reward=steps.reward + bonus, discounted_return=steps.discounted_return + extra)
    return paid, after


def curious_on_policy(
    learner: OnPolicyLearner, num_envs: int, actions: Actions, config: ICMConfig
) -> OnPolicyLearner:
    """Give a learner of ``on_policy`` an intrinsic reward; the module sees what the environments took."""

    def init(key: jax.Array, obs_size: int, hyperparams: Any) -> CuriousOnPolicy:
        module = modules.init(jax.random.fold_in(key, modules.OWN_KEY), obs_size, actions, config)
        return CuriousOnPolicy(learner.init(key, obs_size, hyperparams), module, jnp.zeros(num_envs))

    def explore(words: jax.Array, state: CuriousOnPolicy, obs: jax.Array) -> tuple[jax.Array, jax.Array]:
        return learner.explore(words, state.learner, obs)

    def learn(
        key: jax.Array, state: CuriousOnPolicy, steps: Steps, progress: jax.Array, hyperparams: Any
    ) -> CuriousOnPolicy:
        rows = rows_of(steps)
        rows = rows._replace(action=learner.env_action(rows.action))
        bonus = modules.bonus(state.icm.params, rows, actions, config).reshape(steps.reward.shape)
        steps, bonus_return = pay(steps, bonus, state.bonus_return, hyperparams.discount)
        after = learner.learn(key, state.learner, steps, progress, hyperparams)
        return CuriousOnPolicy(after, train_once(state.icm, rows, actions, config), bonus_return)

    return learner._replace(
        init=init, explore=explore, learn=learn, policy=lambda state: learner.policy(state.learner)
    )


def curious_in_rollouts(
    learner: Learner, rollout_length: int, actions: Actions, config: ICMConfig
) -> Learner:
    """Give a learner that learns from all of replay at once, every ``rollout_length`` steps, an intrinsic reward.

    Its state counts steps as ``num_steps``, and its ``learn`` takes ``transform`` (see ``Learner``).
    """

    def init(key: jax.Array, obs: jax.Array, hyperparams: Any) -> Curious:
        module = modules.init(jax.random.fold_in(key, modules.OWN_KEY), obs.size, actions, config)
        return Curious(learner.init(key, obs, hyperparams), module)

    def explore(words: jax.Array, state: Curious, *args: Any) -> jax.Array:
        return learner.explore(words, state.learner, *args)

    def learn(
        words: jax.Array, state: Curious, replay: Replay, obs_size: int, epsilon: jax.Array, hyperparams: Any
    ) -> Curious:
        def add_bonus(rows: Rows) -> Rows:
            return rows._replace(reward=rows.reward + modules.bonus(state.icm.params, rows, actions, config))

        after = learner.learn(
            words, state.learner, replay, obs_size, epsilon, hyperparams, transform=add_bonus
        )
        due = after.num_steps % rollout_length == 0

        def train(_: jax.Array, module: ICM) -> ICM:
            rows = unpack(replay.rows, obs_size, None if actions.discrete else actions.size)
            return train_once(module, rows, actions, config)

        # A branch for one member, a loop of at most one round for many: see ``ppo_monte_carlo.learn``.
        module = jax.lax.cond(
            due,
            lambda: jax.lax.fori_loop(0, jnp.where(due, 1, 0), train, state.icm),
            lambda: state.icm,
        )
        return Curious(after, module)

    return learner._replace(
        init=init, explore=explore, learn=learn, policy=lambda state: learner.policy(state.learner)
    )
