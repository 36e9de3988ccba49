"""What strangers hand in at a public door is seen there, while a program is traced, and not deep inside of it."""

from dataclasses import replace

import jax
import jax.numpy as jnp
import pytest

from synthenv.agents import registry as agents
from synthenv.agents.off_policy_config import DDQNConfig
from synthenv.agents.ppo_config import PPOConfig
from synthenv.agents.training.hyperparams import sample
from synthenv.envs import registry
from synthenv.envs.rollout import evaluate, rollout
from synthenv.outer.config import StrategyConfig
from synthenv.outer.strategy import check_shapes, make_strategy
from synthenv.proxies.config import RewardConfig, SyntheticConfig
from tests import probe_envs
from tests.worldmodel.test_dream_env import dream, params, predict_line

KEY = jax.random.key(0)
CARTPOLE = registry.make("CartPole-v0")


class RewardInBrackets(probe_envs.Probe):
    """Pays [1] numbers where an environment pays one."""

    def step_env(self, key, state, action, params):
        obs, state, reward, terminated, info = super().step_env(key, state, action, params)
        return obs, state, reward[None], terminated, info


class GrowingObservation(probe_envs.Probe):
    """Observes more after a step than before."""

    def step_env(self, key, state, action, params):
        obs, state, reward, terminated, info = super().step_env(key, state, action, params)
        return jnp.tile(obs, 2), state, reward, terminated, info


class Picture(probe_envs.Probe):
    """Observes a table, where agents read a line of numbers."""

    def reset_env(self, key, params):
        obs, state = super().reset_env(key, params)
        return obs[None], state.replace(obs=obs[None])


def trained(env, config):
    hyperparams, (bucket,) = sample(KEY, config, 0.0, 1)
    agent = agents.make(config, bucket, CARTPOLE.env.action_space(CARTPOLE.env_params))
    member = jax.tree.map(lambda x: x[0], hyperparams)
    return agent.train(KEY, env, env.default_params, member)


@pytest.mark.parametrize(
    "env", [RewardInBrackets(), GrowingObservation()], ids=lambda env: type(env).__name__
)
def test_steps_of_a_users_environment(env):
    act = lambda key, obs: jnp.int32(0)  # noqa: E731
    places = [
        lambda: evaluate(KEY, env, env.default_params, act, 2, 5),
        lambda: trained(env, DDQNConfig()),
        lambda: trained(env, PPOConfig()),
    ]
    if isinstance(env, RewardInBrackets):  # gymnax sees the other one by itself, where it resets
        places.append(lambda: rollout(KEY, env, env.default_params, act, 5))
    for place in places:
        with pytest.raises(AssertionError, match="Chex"):
            jax.eval_shape(place)


@pytest.mark.parametrize("config", [DDQNConfig(), PPOConfig()], ids=lambda config: config.name)
def test_observations_of_an_agent_are_lines(config):
    with pytest.raises(AssertionError, match=r"Chex.*assert_rank"):
        jax.eval_shape(lambda: trained(Picture(), config))
    jax.eval_shape(lambda: trained(probe_envs.PROBE, config))


@pytest.mark.parametrize("config", [SyntheticConfig(), SyntheticConfig(form="bandit"), RewardConfig()])
def test_weights_of_another_proxy(config):
    """Of another width, or with a network more, but not of another draw."""
    env = config.make(CARTPOLE.env, CARTPOLE.env_params)
    wider = replace(config, hidden_size=config.hidden_size + 1).make(CARTPOLE.env, CARTPOLE.env_params)
    env.env_params(env.init_params(KEY))
    for weights in (wider.init_params(KEY), {"more": env.init_params(KEY)}):
        with pytest.raises(AssertionError, match="Chex"):
            env.env_params(weights)


@pytest.mark.parametrize(
    "wrong",
    [
        {"next_obs": jnp.zeros(2)},
        {"next_obs_std": jnp.float32(0)},
        {"reward": jnp.zeros(1)},
        {"reward_std": jnp.zeros(1)},
        {"termination": jnp.zeros(1)},
    ],
    ids=lambda wrong: next(iter(wrong)),
)
def test_predictions_of_a_users_world_model(wrong):
    env = dream(lambda cache, obs, action: predict_line(cache, obs, action)._replace(**wrong))
    _, state = env.reset_env(KEY, params())
    with pytest.raises(AssertionError, match="Chex"):
        jax.eval_shape(lambda: env.step_env(KEY, state, jnp.zeros(1), params()))


def test_a_users_strategy():
    """Members that lack a number, scores that are not one each, and a state that grows."""
    ours = make_strategy(StrategyConfig(name="paper_nes", num_pairs=2), 3, 1.0)
    state, scores = ours.init(KEY, jnp.zeros(3)), jnp.arange(4.0)
    members, _ = ours.ask(KEY, state)
    assert ours.tell(KEY, members, scores, jnp.float32(0), state).shape == (3,)
    with pytest.raises(AssertionError, match="Chex"):
        ours.tell(KEY, members, scores[:, None], jnp.float32(0), state)
    for broken in (
        ours._replace(ask=lambda key, state: (ours.ask(key, state)[0][:, :2], state)),
        ours._replace(tell=lambda *args: jnp.concatenate([ours.tell(*args), jnp.zeros(1)])),
    ):
        checked = check_shapes(broken, 3)
        with pytest.raises(AssertionError, match="Chex"):
            checked.tell(KEY, *checked.ask(KEY, state)[:1], scores, jnp.float32(0), state)
