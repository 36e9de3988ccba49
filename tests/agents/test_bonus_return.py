"""Rewards with a bonus for curiosity are scaled by the deviation of returns that have it too."""

import jax.numpy as jnp
import numpy as np

from synthenv.agents.curiosity.icm_rollouts import pay
from synthenv.agents.training.running_stats import init_stats, rescale, update_stats
from synthenv.agents.training.vector_rollout import Steps

T, N, DISCOUNT = 6, 2, 0.5


def steps_of(reward, ended, begun):
    """Steps whose discounted returns are those of ``reward`` [T, N], in episodes that had ``begun`` [N] before."""
    returns, total = [], np.asarray(begun, np.float32)
    for now, over in zip(reward, ended, strict=True):
        total = DISCOUNT * total + now
        returns.append(total)
        total = np.where(over, 0.0, total)
    nothing = jnp.zeros((T, N))
    fields = dict.fromkeys(Steps._fields, nothing)
    given = {"reward": reward, "ended": ended, "discounted_return": np.array(returns, np.float32)}
    return Steps(**fields | {name: jnp.asarray(value) for name, value in given.items()}), total


def test_returns_with_the_bonus_are_those_of_the_rewards_with_it():
    """Over two rollouts, the first of which ends in the middle of episodes."""
    rng = np.random.default_rng(0)
    plain, paid, carry = np.zeros(N), np.zeros(N), jnp.zeros(N)
    for _ in range(2):
        reward, bonus = rng.normal(size=(2, T, N)).astype(np.float32)
        ended = np.zeros((T, N), bool)
        ended[2, 0] = ended[4, 1] = True
        steps, plain = steps_of(reward, ended, plain)
        wanted, paid = steps_of(reward + bonus, ended, paid)
        said, carry = pay(steps, jnp.asarray(bonus), carry, jnp.float32(DISCOUNT))
        np.testing.assert_allclose(said.reward, wanted.reward, rtol=1e-6)
        np.testing.assert_allclose(said.discounted_return, wanted.discounted_return, rtol=1e-4, atol=1e-5)


def test_bonuses_are_told_apart_where_the_task_pays_nothing():
    """Scaled by returns without them all would be clipped to 10 deviations."""
    steps, _ = steps_of(np.zeros((T, N), np.float32), np.zeros((T, N), bool), np.zeros(N))
    bonus = jnp.asarray(np.random.default_rng(1).uniform(0.01, 0.5, (T, N)), jnp.float32)
    paid, _ = pay(steps, bonus, jnp.zeros(N), jnp.float32(DISCOUNT))
    scaled = rescale(update_stats(init_stats(()), paid.discounted_return.ravel()), paid.reward)
    np.testing.assert_allclose(scaled / scaled[0, 0], bonus / bonus[0, 0], rtol=1e-4)
    assert scaled.max() < 10
