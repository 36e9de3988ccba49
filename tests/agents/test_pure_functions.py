"""Targets and losses of agents are the same numbers with and without jit, and those of arithmetic by hand."""

from dataclasses import replace
from typing import Any

import chex
import jax.numpy as jnp
import numpy as np

from synthenv.agents import ddqn, ppo, ppo_monte_carlo, td3
from synthenv.agents.policies import policy_gradient
from synthenv.agents.policies.policy_gradient import Categorical, Gaussian
from synthenv.agents.policies.td3_policy import Actor
from synthenv.agents.ppo_config import PPOConfig, PPOMonteCarloConfig
from synthenv.agents.training.action_vectors import Actions
from synthenv.agents.training.hyperparams import fixed_hyperparams
from synthenv.agents.training.replay import Rows
from synthenv.agents.training.vector_rollout import Steps
from synthenv.nets.mlp import Layer
from tests.small_ddqn import SMALL as DDQN
from tests.small_td3 import SMALL as TD3

CHOICE, LINE = Actions(2, 1.0, True), Actions(1, 2.0, False)
BOTH_WAYS: Any = chex.variants(with_jit=True, without_jit=True)


def linear(kernel, bias):
    return (Layer(jnp.array(kernel, jnp.float32), jnp.array(bias, jnp.float32)),)


def rows_of(obs, next_obs, action, reward, not_done):
    return Rows(*map(jnp.array, (obs, next_obs, action, reward, not_done)))


class PureFunctions(chex.TestCase):
    """Two variants of each test: the compiled function, and the function as it stands."""

    @BOTH_WAYS
    def test_ddqn_targets(self):
        """The online net picks the second action where s' is positive, the target net values it at 7."""
        online, target = linear([[-1.0, 1.0]], [0.0, 0.0]), linear([[0.0, 0.0]], [5.0, 7.0])
        rows = rows_of([[0.0]] * 3, [[2.0], [-2.0], [2.0]], [0, 0, 0], [1.0, 1.0, 1.0], [1.0, 1.0, 0.0])
        targets = self.variant(lambda *args: ddqn.td_targets(*args, DDQN))(online, target, rows, 0.5)
        np.testing.assert_allclose(targets, [4.5, 3.5, 1.0])

    @BOTH_WAYS
    def test_ddqn_loss(self):
        """Values [1, 2] and [2, 4] of the taken actions: errors -1 and 3, weighed by a half and a quarter."""
        rows = rows_of([[1.0], [2.0]], [[0.0]] * 2, [0, 1], [0.0, 0.0], [1.0, 1.0])
        targets, weight = jnp.array([2.0, 1.0]), jnp.array([0.5, 0.25])
        loss = self.variant(lambda *args: ddqn.td_loss(*args, ddqn.value_function(DDQN)))
        np.testing.assert_allclose(loss(linear([[1.0, 2.0]], [0.0, 0.0]), rows, targets, weight), 2.75)

    @BOTH_WAYS
    def test_td3_critic_loss(self):
        """Q1 = s + a and Q2 = 2 s of s = 1, a = 2: errors 1 and 0 from the target 2."""
        critics = linear([[1.0], [1.0]], [0.0]), linear([[2.0], [0.0]], [0.0])
        rows = rows_of([[1.0]], [[0.0]], [[2.0]], [0.0], [1.0])
        loss = self.variant(lambda *args: td3.critic_loss(*args, TD3))
        np.testing.assert_allclose(loss(critics, rows, jnp.array([2.0]), jnp.array([0.5])), 0.5)

    @BOTH_WAYS
    def test_td3_actor_loss(self):
        """Minus Q = s + a at the policy's own action, 2 tanh(s)."""
        actor, critic = Actor(linear([[1.0]], [0.0]), jnp.float32(1)), linear([[1.0], [1.0]], [0.0])
        loss = self.variant(lambda *args: td3.actor_loss(*args, LINE, TD3))
        words, obs, weight = jnp.zeros((2, 1), jnp.uint32), jnp.array([[0.5], [-1.0]]), jnp.array([0.5, 0.5])
        expected = -np.mean([0.5 + 2 * np.tanh(0.5), -1.0 + 2 * np.tanh(-1.0)])
        np.testing.assert_allclose(loss(actor, words, critic, obs, jnp.int32(0), weight), expected, rtol=1e-5)

    @BOTH_WAYS
    def test_monte_carlo_returns(self):
        returns = self.variant(ppo_monte_carlo.monte_carlo_returns)
        found = returns(jnp.array([1.0, 2.0, 4.0]), jnp.array([False, True, False]), 0.5)
        np.testing.assert_allclose(found, [2.0, 2.0, 4.0])

    @BOTH_WAYS
    def test_ppo_advantages(self):
        """One environment, two steps: errors 1 + 0.5 * 2 - 1 = 1 and 2 - 4 = -2, the second weighed by a quarter."""
        reward, one, no = jnp.array([[1.0], [2.0]]), jnp.ones((2, 1)), jnp.zeros((2, 1), bool)
        steps = Steps(one, one, one, reward, one, one.at[1].set(0.0), no.at[1].set(True), one, one)
        value, next_value = jnp.array([[1.0], [4.0]]), jnp.array([[2.0], [9.0]])
        found = self.variant(ppo.advantages)(steps, value, next_value, 0.5, 0.5)
        np.testing.assert_allclose(found, [[0.5], [-2.0]])

    @BOTH_WAYS
    def test_ppo_loss(self):
        """Even odds as before, so no surrogate is left of standardised advantages; V = 1 misses 3 and 1."""
        config = replace(PPOConfig(), value_coefficient=0.25, entropy_coefficient=0.1)
        weights = ppo.Weights(linear([[0.0, 0.0]], [0.0, 0.0]), jnp.zeros(2), linear([[1.0]], [0.0]))
        half = jnp.full(2, jnp.log(0.5))
        batch = ppo.Batch(
            jnp.ones((2, 1)), jnp.array([0, 1]), half, jnp.array([1.0, 3.0]), jnp.array([3.0, 1.0])
        )
        hyperparams = fixed_hyperparams(config, 0.0)
        loss = self.variant(lambda *args: ppo.loss(*args, CHOICE, config))
        np.testing.assert_allclose(loss(weights, batch, hyperparams), 0.5 - 0.1 * np.log(2), rtol=1e-5)

    @BOTH_WAYS
    def test_ppo_monte_carlo_loss(self):
        """V = s: returns 3 and -1 of s = 1 leave errors 2 and -2, and advantages that cancel out at even odds."""
        config = replace(PPOMonteCarloConfig(), value_coefficient=0.5, entropy_coefficient=0.1)
        policy = ppo_monte_carlo.Policy(linear([[0.0, 0.0]], [0.0, 0.0]), jnp.ones(2))
        weights = ppo_monte_carlo.Weights(policy, linear([[1.0]], [0.0]))
        rows = rows_of([[1.0]] * 2, [[0.0]] * 2, [0, 1], [0.0, 0.0], [1.0, 1.0])
        half, returns = jnp.full(2, jnp.log(0.5)), jnp.array([3.0, -1.0])
        loss = self.variant(lambda *args: ppo_monte_carlo.loss(*args, CHOICE, config))
        found = loss(weights, rows, half, returns, fixed_hyperparams(config, 0.0))
        np.testing.assert_allclose(found, 0.5 * 4.0 - 0.1 * np.log(2), rtol=1e-5)

    @BOTH_WAYS
    def test_distributions(self):
        """The probabilities 1/4 and 3/4, and a standard normal at one standard deviation."""
        of_choice = self.variant(lambda logits, action: Categorical(logits).log_prob(action))
        np.testing.assert_allclose(
            of_choice(jnp.log(jnp.array([1.0, 3.0])), jnp.int32(1)), np.log(0.75), rtol=1e-6
        )
        of_vector = self.variant(lambda mean, std, action: Gaussian(mean, std).log_prob(action))
        density = np.exp(-0.5) / (2 * np.sqrt(2 * np.pi))
        np.testing.assert_allclose(
            of_vector(jnp.array([1.0]), jnp.array([2.0]), jnp.array([3.0])), np.log(density), rtol=1e-6
        )

    @BOTH_WAYS
    def test_surrogate_and_standardised(self):
        surrogate = self.variant(policy_gradient.clipped_surrogate)
        ratio, advantage = jnp.log(jnp.array([1.5, 0.5])), jnp.array([2.0, 1.0])
        np.testing.assert_allclose(surrogate(ratio, jnp.zeros(2), advantage, 0.2), [2.4, 0.5], rtol=1e-6)
        found = self.variant(policy_gradient.standardize)(jnp.array([1.0, 3.0]))
        np.testing.assert_allclose(found, [-1.0, 1.0], rtol=1e-6)
