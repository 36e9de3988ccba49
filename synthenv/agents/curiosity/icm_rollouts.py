"""Curiosity for agents that learn from whole rollouts: both forms of PPO.

The bonus is added to the rewards of a whole rollout by the module as it is; after the policy has learnt, the module is
trained once on the same rollout.

References:
    Ferreira et al. (2022), tables 15 and 19, and the released code for the order of the two in PPO.
"""

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp

from synthenv.agents.config import ICMConfig
from synthenv.agents.curiosity import icm as modules
from synthenv.agents.curiosity.icm import ICM, Curious
from synthenv.agents.training.on_policy import OnPolicyLearner
from synthenv.agents.training.replay import Replay, Rows, unpack
from synthenv.agents.training.schedule import Learner
from synthenv.agents.training.vector_rollout import Steps
from synthenv.envs.action_units import Actions


def rows_of(steps: Steps) -> Rows:
    """Flatten steps [T, N] to rows [T * N]."""
    flat = jax.tree.map(lambda x: x.reshape(-1, *x.shape[2:]), steps)
    return Rows(flat.obs, flat.next_obs, flat.action, flat.reward, flat.not_done)


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
    """Give a learner of ``on_policy`` an intrinsic reward."""

    def learn(key: jax.Array, state: Curious, steps: Steps, progress: jax.Array, hyperparams: Any) -> Curious:
        rows = modules.seen(rows_of(steps), learner)
        bonus = modules.bonus(state.icm.params, rows, actions, config).reshape(steps.reward.shape)
        steps, bonus_return = pay(steps, bonus, state.bonus_return, hyperparams.discount)
        after = learner.learn(key, state.learner, steps, progress, hyperparams)
        return Curious(after, modules.train_once(state.icm, rows, actions, config), bonus_return)

    return modules.with_module(learner, learn, actions, config, bonus_return=jnp.zeros(num_envs))


def curious_in_rollouts(
    learner: Learner, rollout_length: int, actions: Actions, config: ICMConfig
) -> Learner:
    """Give a learner that learns from all of replay at once, every ``rollout_length`` steps, an intrinsic reward.

    Its state counts steps as ``num_steps``, and its ``learn`` takes ``transform`` (see ``Learner``).
    """

    def learn(
        words: jax.Array, state: Curious, replay: Replay, obs_size: int, epsilon: jax.Array, hyperparams: Any
    ) -> Curious:
        paid = partial(modules.pay, icm=state.icm, learner=learner, actions=actions, config=config)
        after = learner.learn(words, state.learner, replay, obs_size, epsilon, hyperparams, transform=paid)
        due = after.num_steps % rollout_length == 0

        def train(_: jax.Array, icm: ICM) -> ICM:
            rows = unpack(replay.rows, obs_size, None if actions.discrete else actions.size)
            return modules.train_once(icm, rows, actions, config)

        # The comment in ``ppo_monte_carlo.learn`` says why there is a loop in a branch.
        icm = jax.lax.cond(
            due,
            lambda: jax.lax.fori_loop(0, jnp.where(due, 1, 0), train, state.icm),
            lambda: state.icm,
        )
        return Curious(after, icm)

    return modules.with_module(learner, learn, actions, config)
