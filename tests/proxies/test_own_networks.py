"""A flax.linen module of a user's plays a synthetic environment or a reward network, and learns in one."""

import functools
from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from synthenv.agents import registry as agents
from synthenv.agents.presets import agent_from_stored
from synthenv.agents.training.hyperparams import sample
from synthenv.core.errors import UserError
from synthenv.core.files import plain
from synthenv.envs import registry
from synthenv.envs.rollout import evaluate, rollout
from synthenv.nets.network import apply_network
from synthenv.nets.registry import NETWORKS
from synthenv.proxies.config import RewardConfig, SyntheticConfig, from_stored
from synthenv.runs.meta_train import run as runs
from synthenv.runs.training.trial_runner import proxy_ground
from synthenv.zoo import registry as zoo
from tests.own_networks import GATED, SEQUENTIAL
from tests.tiny_run import TINY, story

CARTPOLE = registry.make("CartPole-v0")
SE = SyntheticConfig(network=GATED.name, max_steps=20)
KEY = jax.random.key(0)


def built(config, spec=CARTPOLE):
    env = config.make(spec.env, spec.env_params)
    return env, env.init_params(KEY)


@pytest.mark.parametrize("form", ["mdp", "bandit"])
def test_plays_a_synthetic_environment(form):
    """What an episode shows is what the modules say of (action, state); flat weights are the same environment."""
    env, nets = built(replace(SE, form=form, reset="learned"))
    flat, unravel = proxy_ground(env, nets)[1:]
    play = jax.jit(
        lambda params: rollout(KEY, env, params, lambda key, obs: jax.random.randint(key, (), 0, 2), 12)
    )
    steps = play(env.env_params(nets))
    jax.tree.map(np.testing.assert_array_equal, play(env.env_params(unravel(jnp.asarray(flat)))), steps)
    x = jnp.concatenate([jax.nn.one_hot(steps.action, 2), steps.obs], axis=1)
    np.testing.assert_allclose(steps.reward, apply_network(nets["reward"], x, "")[:, 0], rtol=1e-4, atol=1e-5)
    if form == "mdp":
        np.testing.assert_allclose(steps.next_obs, apply_network(nets["state"], x, ""), rtol=1e-4, atol=1e-5)
        done = apply_network(nets["done"], x, "")[:, 0] > 0.5
        np.testing.assert_array_equal(steps.terminated, done)


def test_plays_a_reward_network():
    """Of a gridworld, where the values of all cells are listed beforehand, and of CartPole."""
    config = RewardConfig(variant="exclusive_potential", network=SEQUENTIAL.name)
    for task in ("CliffWalking", "CartPole-v0"):
        spec = registry.make(task)
        env, net = built(config, spec)
        params = env.env_params(net, 0.9)
        obs, state = env.reset_env(KEY, params)
        after, _, reward, _, _ = env.step_env(KEY, state, 1, params)
        phi = apply_network(net, jnp.stack([obs, after]), "")[:, 0]
        np.testing.assert_allclose(reward, 0.9 * phi[1] - phi[0], rtol=1e-4, atol=1e-6)


def test_trains_in_a_synthetic_environment():
    """Its own agents, with a module of a user's instead: 600 steps there, and they balance in the real task."""
    place = zoo.load("synthetic/CartPole-v0:0")[0]
    config = replace(agent_from_stored(place.metadata["agent"]), network=SEQUENTIAL.name, vary=False)
    hyperparams, (bucket,) = sample(KEY, config, CARTPOLE.solved_return, 1)
    agent = agents.make(config, bucket, CARTPOLE.env.action_space(CARTPOLE.env_params))

    @jax.jit
    def train_and_test(key):
        member = jax.tree.map(lambda x: x[0], hyperparams)
        params = agent.train(key, place.env, place.env.env_params(place.proxy_params), member).params
        act = functools.partial(lambda params, key, obs: agent.act(key, params, obs), params)
        return evaluate(key, CARTPOLE.env, CARTPOLE.env_params, act, 10, CARTPOLE.max_steps).returns.mean()

    assert train_and_test(KEY) > 150, "untrained ones fall over after about ten steps"


# ---------------------------------------------------------------- searches and files


@pytest.mark.rank_promotion_ok
def test_a_search_evolves_one_and_its_file_plays_on(tmp_path, monkeypatch):
    """Agents with a module, in synthetic environments of modules; interrupted and resumed it is the same search."""
    config = replace(TINY, agent=replace(TINY.agent, network=SEQUENTIAL.name), proxy=SE)
    search = runs.Search(config, 0)
    monkeypatch.setattr(runs, "Search", lambda config, seed: search)  # compiled once
    runs.meta_train(config, 0, tmp_path / "whole", notify=lambda line: None)

    def interrupt(line):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        runs.meta_train(config, 0, tmp_path / "halves", on_generation=interrupt, notify=lambda line: None)
    runs.meta_train(config, 0, tmp_path / "halves", resume=True, notify=lambda line: None)
    assert story(tmp_path / "halves") == story(tmp_path / "whole")

    loaded = zoo.load(str(tmp_path / "whole"))[0]
    assert loaded.env.config == replace(SE, time_limit=loaded.env.config.time_limit)
    params = loaded.env.env_params(loaded.proxy_params)
    assert np.isfinite(rollout(KEY, loaded.env, params, lambda key, obs: jnp.int32(0), 5).reward).all()
    monkeypatch.delitem(NETWORKS._entries, GATED.name)  # as in a process that has not imported it
    zoo._made.cache_clear()
    with pytest.raises(UserError, match=r"unknown network 'own gated'.*--import FILE"):
        zoo.load(str(tmp_path / "whole"))


def test_files_of_before_proxies_could_have_one():
    """A proxy without a module is stored as ever; with one it is read as it was."""
    for config in (SyntheticConfig(), RewardConfig()):
        assert "network" not in config.stored()
        assert from_stored(plain(config.stored())) == config
    assert from_stored(plain(SE.stored())) == SE
