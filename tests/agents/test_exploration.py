"""Epsilon-greedy: shares of actions, and the rate from episode to episode."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from synthenv.agents.off_policy_config import DDQNConfig
from synthenv.agents.training.exploration import epsilon_greedy, next_epsilon
from synthenv.agents.training.hyperparams import fixed_hyperparams


def test_epsilon_greedy():
    """Epsilon 0 is greedy; epsilon 1 is uniform; between, greedy and a share of the uniform."""
    words = jax.random.bits(jax.random.key(0), (4000, 2))
    for epsilon in (0.0, 0.3, 1.0):
        actions = jax.vmap(lambda w: epsilon_greedy(w, jnp.int32(2), epsilon, 3))(words)  # noqa: B023
        share = np.bincount(actions, minlength=3) / 4000
        np.testing.assert_allclose(share, np.array([0, 0, 1 - epsilon]) + epsilon / 3, atol=0.03)


def test_next_epsilon():
    hyperparams = fixed_hyperparams(DDQNConfig(epsilon_decay=0.5, epsilon_min=0.2), 195.0)
    assert next_epsilon(0.8, hyperparams) == pytest.approx(0.4)
    assert next_epsilon(0.3, hyperparams) == pytest.approx(0.2)
