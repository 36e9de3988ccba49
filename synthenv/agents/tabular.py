"""Q-learning and SARSA on one-hot observations, with count-based exploration, in the schedule of the SE/RN papers.

References:
    Watkins (1989) and Rummery and Niranjan (1994) for the updates, Strehl and Littman (2008) for the bonus.
    Ferreira et al. (2022), tables 10-12, and the released code: SARSA's next action is drawn from the policy inside the
    update and is not the one that is executed next; the bonus is beta / sqrt(n) there, beta / n in the paper.
"""

from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from synthenv.agents.off_policy_config import TabularConfig
from synthenv.agents.training.bucket import Bucket
from synthenv.agents.training.exploration import epsilon_greedy, next_epsilon
from synthenv.agents.training.replay import Replay, unpack
from synthenv.agents.training.schedule import Learner, Schedule
from synthenv.core.types import Agent
from synthenv.envs.registry import EnvSpec


class Tables(NamedTuple):
    """What an update changes: values and numbers of visits, [cells, actions] each."""

    values: jax.Array
    visits: jax.Array


def act(values: jax.Array, obs: jax.Array) -> jax.Array:
    """Greedy action for one-hot obs [..., cells]; ties go to the first action."""
    return jnp.argmax(values[jnp.argmax(obs, axis=-1)], axis=-1)


def learn(
    words: jax.Array,
    tables: Tables,
    replay: Replay,
    obs_size: int,
    epsilon: jax.Array,
    hyperparams: Any,
    config: TabularConfig,
) -> Tables:
    """Update the value of the transition just made.

    Args:
        words: random uint32 [2], for SARSA's next action.
        tables: before the update.
        replay: a ring of one row.
        obs_size: cells of the table.
        epsilon: exploration rate, for SARSA's next action.
        hyperparams: traced numbers of one agent.
        config: the agent's config.
    """
    row = jax.tree.map(lambda x: x[0], unpack(replay.rows, obs_size))
    here = jnp.argmax(row.obs), row.action
    visits = tables.visits.at[here].add(1.0)
    power = 1.0 if config.count_form == "n" else 0.5
    reward = row.reward + hyperparams.count_bonus / visits[here] ** power

    next_values = tables.values[jnp.argmax(row.next_obs)]
    best = jnp.argmax(next_values)
    action = best if config.name == "q_learning" else epsilon_greedy(words, best, epsilon, next_values.size)
    target = reward + hyperparams.discount * row.not_done * next_values[action]
    change = hyperparams.learning_rate * (target - tables.values[here])
    return Tables(tables.values.at[here].add(change), visits)


def make_learner(config: TabularConfig, num_actions: int) -> Learner:
    """Bind static choices to this module's functions."""

    def init(key: jax.Array, obs: jax.Array, hyperparams: Any) -> Tables:
        zeros = jnp.zeros((obs.size, num_actions))
        return Tables(zeros, zeros)

    def explore(words, tables, obs, epsilon, warm_up, hyperparams):
        return epsilon_greedy(words, act(tables.values, obs), epsilon, num_actions)

    return Learner(
        init=init,
        explore=explore,
        learn=partial(learn, config=config),
        policy=lambda tables: tables.values,
        act=lambda key, values, obs: act(values, obs),
        first_epsilon=lambda hyperparams: hyperparams.epsilon_init,
        next_epsilon=next_epsilon,
        num_explore_words=2,
        num_learn_words=2,
    )


def make(config: TabularConfig, bucket: Bucket, action_space: Any, task: EnvSpec | None = None) -> Agent:
    """Build the agent; with ``task`` (and ``config.test_episodes``) it is tested there while it trains.

    Raises:
        ValueError: if its memory is longer than the transition just made.
    """
    if config.buffer_size != 1:
        raise ValueError(
            f"tabular agents learn from the last transition only: buffer_size {config.buffer_size} is not 1"
        )
    return Schedule(make_learner(config, action_space.n), config, task).make()
