"""Limits beyond which episodes end."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from synthenv.core.errors import UserError
from synthenv.envs import registry
from synthenv.worldmodel.context.action_strategies import Collection
from synthenv.worldmodel.context.collect import collect
from synthenv.worldmodel.dream.known_ends import KNOWN
from synthenv.worldmodel.regression import end_limits


def limits_of(name, num_steps=1000):
    after = 4 if name.startswith("CartPole") else 0
    context = collect(
        jax.random.key(0), registry.make(name), Collection("held", num_steps, post_failure_steps=after)
    )
    return end_limits.find(context.transitions.next_obs, context.transitions.terminated)


def test_a_pole_falls_at_its_angle_and_for_no_other_reason():
    found = limits_of("CartPole-v0")
    bound = 12 * 2 * np.pi / 360
    np.testing.assert_allclose(found.high[2], bound, rtol=0.02)
    np.testing.assert_allclose(found.low[2], -bound, rtol=0.02)
    others = np.array([0, 1, 3])
    assert np.isinf(found.high[others]).all() and np.isinf(found.low[others]).all()
    assert found.explained == 1


def test_a_board_ends_at_its_edges():
    """Everywhere that a step may lead to, as the task's rule has it."""
    found, rule = limits_of("GridWorld"), KNOWN["GridWorld"]
    for x in range(8):
        for y in range(8):
            obs = jnp.array([x, y], jnp.float32)
            assert bool(end_limits.is_beyond(found, obs)) == bool(rule(obs)), (x, y)


def test_where_nothing_ended_nothing_ends():
    found = end_limits.find(np.zeros((5, 2), np.float32), np.zeros(5, bool))
    assert not end_limits.is_beyond(found, jnp.array([1e9, -1e9])) and found.explained == 1
    end_limits.check(found)


def test_ends_amidst_are_refused():
    obs = np.linspace(-1, 1, 21, dtype=np.float32)[:, None]
    found = end_limits.find(obs, np.abs(obs[:, 0]) < 0.15)
    with pytest.raises(UserError, match="0% of the ends"):
        end_limits.check(found)
