"""Every agent with networks learns with a flax.linen module of a user's in their place."""

import functools
from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from gymnax.environments import spaces

from synthenv.agents import ddqn, ppo, registry
from synthenv.agents.off_policy_config import DDQNConfig
from synthenv.agents.ppo_config import PPOConfig, PPOMonteCarloConfig
from synthenv.agents.presets import agent_from_stored
from synthenv.agents.training.hyperparams import few_shapes, fixed_hyperparams, sample
from synthenv.core.errors import UserError
from synthenv.core.files import plain
from synthenv.nets.network import ModuleParams
from tests import probe_envs, small_ddqn, small_td3
from tests.own_networks import GATED, SEQUENTIAL

DDQN = replace(small_ddqn.SMALL, network=GATED.name)
DUELING = replace(DDQN, name="dueling_ddqn", feature_size=16, network=SEQUENTIAL.name)
PPO = PPOConfig(
    learning_rate=1e-2,
    discount=0.5,
    num_envs=4,
    rollout_length=16,
    num_epochs=4,
    num_minibatches=2,
    max_steps=3200,
    stop="none",
    network=GATED.name,
)
MONTE_CARLO = PPOMonteCarloConfig(
    learning_rate=1e-2,
    rollout_length=64,
    num_epochs=8,
    max_steps=2000,
    stop="none",
    test_noise=False,
    network=SEQUENTIAL.name,
)
TWO, LINE = spaces.Discrete(2), spaces.Box(-2.0, 2.0, (1,))
BOTH_WAYS = probe_envs.ObservedActionReward()


@functools.partial(jax.jit, static_argnames=("config", "env", "space"))
def policy_after_training(config, env, space=TWO):
    """The policy's params, and its actions where the observation is -1 and 1."""
    hyperparams, (bucket,) = sample(jax.random.key(0), config, 0.0, 1)
    agent = registry.make(config, bucket, space)
    member = jax.tree.map(lambda x: x[0], hyperparams)
    params = agent.train(jax.random.key(0), env, env.default_params, member).params
    return params, jnp.stack([agent.act(jax.random.key(0), params, jnp.array([x])) for x in (-1.0, 1.0)])


@pytest.mark.parametrize("config", [DDQN, DUELING, PPO, MONTE_CARLO], ids=lambda config: config.name)
def test_learns_what_it_sees(config):
    params, actions = policy_after_training(config, BOTH_WAYS)
    np.testing.assert_array_equal(actions, [0, 1])
    modules = jax.tree.leaves(params, is_leaf=lambda node: isinstance(node, ModuleParams))
    assert any(isinstance(node, ModuleParams) for node in modules)


@pytest.mark.parametrize(
    "config", [replace(PPO, max_steps=6400), replace(small_td3.SMALL, network=GATED.name)], ids=["ppo", "td3"]
)
def test_continuous_actions(config):
    actions = policy_after_training(config, probe_envs.Target(), LINE)[1]
    np.testing.assert_allclose(actions[:, 0], [-1.0, 1.0], atol=0.25)


def test_an_agent_of_discrete_td3():
    config = replace(small_td3.DISCRETE, network=GATED.name)
    np.testing.assert_array_equal(policy_after_training(config, BOTH_WAYS)[1], [0, 1])


def test_only_rates_and_batches_vary():
    """The other draws are those of the same agents without a module; all share a program."""
    with_module = replace(DDQNConfig(), vary=True, network=GATED.name)
    drawn, buckets = sample(jax.random.key(0), with_module, 0.0, 20)
    without, several = sample(jax.random.key(0), replace(with_module, network=""), 0.0, 20)
    np.testing.assert_array_equal(drawn.learning_rate, without.learning_rate)
    np.testing.assert_array_equal(drawn.batch_size, without.batch_size)
    assert len(set(buckets)) == 1 < len(set(several)) and set(drawn.hidden_size) == {128}
    assert few_shapes(jax.random.key(0), with_module, 3) == {}


def test_files_of_before_agents_could_have_one():
    """An agent without a module is stored as ever; with one it is read as it was."""
    without = DDQNConfig()
    assert "network" not in without.stored()
    for config in (without, DDQN, PPO, MONTE_CARLO):
        assert agent_from_stored(plain(config.stored())) == config


def test_a_name_that_nobody_registered_is_refused():
    with pytest.raises(UserError, match="unknown network 'own gatde'; did you mean 'own gated'"):
        list(replace(DDQN, network="own gatde").contradictions())
    assert not list(DDQN.contradictions())


def test_one_policy_for_an_observation_and_a_batch():
    """PPO's critic and DDQN's values take [B, obs], and acting takes [obs]."""
    bucket = sample(jax.random.key(0), PPO, 0.0, 1)[1][0]
    obs = jnp.linspace(-1.0, 1.0, 3)[:, None]
    actions = ppo.actions_of(TWO)
    weights = ppo.init(
        jax.random.key(0), jnp.zeros(1), fixed_hyperparams(PPO, 0.0), actions, PPO, bucket
    ).weights
    policy = ppo.Policy(weights.actor, weights.log_std, None)
    batch = ppo.distribution(policy, obs, actions, PPO).logits
    for row in range(3):
        one = ppo.distribution(policy, obs[row], actions, PPO).logits
        np.testing.assert_allclose(one, batch[row], rtol=1e-5, atol=1e-6)
    assert ppo.critic_value(weights, obs, PPO).shape == (3,)
    values = ddqn.value_function(DDQN)(weights.actor, obs, None)
    np.testing.assert_allclose(values, batch, rtol=1e-6)
