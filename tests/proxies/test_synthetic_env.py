"""Synthetic environments against a NumPy transcription, in both forms and every done and reset variant."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from synthenv.agents import registry as agents
from synthenv.agents.off_policy_config import DDQNConfig
from synthenv.agents.training.bucket import Bucket
from synthenv.agents.training.hyperparams import fixed_hyperparams
from synthenv.envs import registry
from synthenv.proxies.synthetic_env import SyntheticBandit, SyntheticConfig, SyntheticMDP

KEY = jax.random.key(0)
NUM_ACTIONS = {"CartPole-v0": 2, "Acrobot-v1": 3}


@functools.cache
def build(form=SyntheticMDP, task="CartPole-v0", **config):
    """One environment per configuration, its weights, and its jitted step and reset."""
    spec = registry.make(task)
    env = form(spec.env, spec.env_params, SyntheticConfig(**{"hidden_size": 16, **config}))
    return env, jax.jit(env.init_params)(jax.random.key(1)), jax.jit(env.step_env), jax.jit(env.reset_env)


def numpy_mlp(params, x, slope):
    """Linear layers with a leaky ReLU in between."""
    for layer in params[:-1]:
        x = x @ np.asarray(layer.kernel) + np.asarray(layer.bias)
        x = np.where(x > 0, x, slope * x)
    return x @ np.asarray(params[-1].kernel) + np.asarray(params[-1].bias)


def with_done(nets, value):
    """Fix the output of the done net."""
    first, last = nets["done"]
    last = last._replace(kernel=jnp.zeros_like(last.kernel), bias=jnp.full_like(last.bias, value))
    return {**nets, "done": (first, last)}


@pytest.mark.parametrize("task", NUM_ACTIONS)
@pytest.mark.parametrize(("activation", "slope"), [("leaky_relu", 0.01), ("prelu", 0.25)])
def test_mdp_transcription(task, activation, slope):
    """Ten steps equal NumPy's: one-hot action before state, next state predicted directly, raw done."""
    env, nets, step, reset = build(task=task, activation=activation, depth=2)
    params, key_reset = env.env_params(nets), jax.random.key(3)
    obs, state = reset(key_reset, params)
    expected = np.asarray(obs)
    for action in np.random.default_rng(0).integers(NUM_ACTIONS[task], size=10):
        x = np.concatenate([np.eye(NUM_ACTIONS[task])[action], expected])
        expected = numpy_mlp(nets["state"], x, slope)
        reward, done = numpy_mlp(nets["reward"], x, slope)[0], numpy_mlp(nets["done"], x, slope)[0]
        obs, state, *outcome, info = step(KEY, state, action, params)
        np.testing.assert_allclose(obs, expected, rtol=1e-4, atol=1e-5)
        np.testing.assert_allclose(outcome[0], reward, rtol=1e-4, atol=1e-5)
        np.testing.assert_allclose(info["discount"], 1 - done, rtol=1e-4, atol=1e-5)
        assert outcome[1] == (done > 0.5)
    assert state.time == 10


@pytest.mark.parametrize(
    ("form", "output", "terminated", "discount"),
    [
        ("raw", 0.75, True, 0.25),
        ("raw", 0.5, False, 0.5),
        ("raw", -0.25, False, 1.25),
        ("raw", 2.0, True, -1.0),
        ("threshold", 0.75, True, 0.0),
        ("threshold", 0.5, False, 1.0),
        ("threshold", -0.25, False, 1.0),
    ],
)
def test_done(form, output, terminated, discount):
    """An episode ends above 0.5; the bootstrap factor is one minus the raw, or the thresholded, output."""
    env, nets, step, reset = build(done=form)
    params = env.env_params(with_done(nets, output))
    *_, ended, info = step(KEY, reset(KEY, params)[1], 0, params)
    assert bool(ended) == terminated
    assert info["discount"] == discount


def test_done_never():
    """Without a done net nothing ends the episode but the time limit."""
    env, nets, step, reset = build(done="never")
    params = env.env_params(nets)
    *_, ended, info = step(KEY, reset(KEY, params)[1], 1, params)
    assert "done" not in nets
    assert not ended and info["discount"] == 1.0


@pytest.mark.parametrize("task", NUM_ACTIONS)
def test_real_reset(task):
    """The first observation is the real task's, for the same key; time starts at zero."""
    (env, nets, _, reset), spec = build(task=task), registry.make(task)
    for key in jax.random.split(KEY, 3):
        obs, state = reset(key, env.env_params(nets))
        np.testing.assert_array_equal(obs, spec.env.reset(key, spec.env_params)[0])
        np.testing.assert_array_equal(state.raw, obs)
        assert state.time == 0


@pytest.mark.parametrize("form", [SyntheticMDP, SyntheticBandit])
def test_learned_reset(form):
    """The first observation is the reset net's answer to standard normal noise."""
    env, nets, _, reset = build(form, reset="learned")
    for key in jax.random.split(KEY, 3):
        obs, state = reset(key, env.env_params(nets))
        noise = np.asarray(jax.random.normal(key, (4,)))
        np.testing.assert_allclose(obs, numpy_mlp(nets["reset"], noise, 0.01), rtol=1e-4, atol=1e-5)
        np.testing.assert_array_equal(state.raw, obs)


def test_bandit():
    """One step of reward(one-hot action, context), then the end: discount zero, context unmoved."""
    env, nets, step, reset = build(SyntheticBandit)
    params = env.env_params(nets)
    context, state = reset(KEY, params)
    rewards = []
    for action in range(2):
        obs, _, reward, terminated, info = step(KEY, state, action, params)
        expected = numpy_mlp(nets["reward"], np.concatenate([np.eye(2)[action], context]), 0.01)[0]
        np.testing.assert_allclose(reward, expected, rtol=1e-4, atol=1e-5)
        np.testing.assert_array_equal(obs, context)
        assert terminated and info["discount"] == 0.0
        rewards.append(float(reward))
    assert rewards[0] != rewards[1]


def test_gymnax_step_truncates():
    """At ``max_steps`` gymnax's own ``step`` truncates, resets, and keeps the last observation."""
    env, nets, step, _ = build(max_steps=3)
    params = env.env_params(with_done(nets, 0.0))
    obs, state = env.reset(KEY, params)
    for time in range(1, 4):
        inner, *_ = step(KEY, state, 1, params)
        obs, state, _, terminated, truncated, info = env.step(jax.random.key(time), state, 1, params)
        np.testing.assert_allclose(info["final_observation"], inner, rtol=1e-5)
        assert not terminated and bool(truncated) == (time == 3)
    np.testing.assert_array_equal(obs, env.reset(jax.random.split(jax.random.key(3))[1], params)[0])
    assert state.time == 0


def test_gymnax_step_terminates():
    """Above 0.5 gymnax's ``step`` reports a terminal state, no truncation, and resets."""
    env, nets, *_ = build()
    params = env.env_params(with_done(nets, 1.0))
    _, state = env.reset(KEY, params)
    obs, state, _, terminated, truncated, info = env.step(KEY, state, 0, params)
    assert terminated and not truncated and state.time == 0
    assert np.abs(obs).max() <= 0.05  # CartPole's initial states
    assert not np.array_equal(obs, info["final_observation"])


@pytest.mark.parametrize(
    ("task", "config", "size"),
    [
        # three hidden layers of 83 units on 2 + 4 inputs, 4 + 1 + 1 outputs: 3 * 7 * 83 + 6 * 84
        ("CartPole-v0", {"hidden_size": 83, "activation": "leaky_relu"}, 2247),
        # the released code's 6357 count three PReLU slopes, which are constants here
        ("Acrobot-v1", {"hidden_size": 167, "activation": "prelu"}, 6354),
    ],
)
def test_parameter_count(task, config, size):
    """Table 3's environments have as many weights as the released code's."""
    env = build(task=task, **config)[0]
    nets = jax.eval_shape(env.init_params, KEY)
    assert set(nets) == {"state", "reward", "done"}
    assert sum(leaf.size for leaf in jax.tree.leaves(nets)) == size


def test_interface():
    """Actions, shapes, limit and name are those of the real task, the bounds are not."""
    env, nets, *_ = build(task="Acrobot-v1", max_steps=500)
    assert env.num_actions == env.action_space().n == 3
    assert env.observation_space().shape == (6,)
    assert np.isposinf(env.observation_space().high).all()
    assert env.env_params(nets).max_steps_in_episode == 500
    assert env.name == "SyntheticMDP-Acrobot-v1"
    assert env.default_params.nets is None


def test_vmap_over_proxy_params_only():
    """A population of environments trains agents as each of them alone would."""
    env = build(max_steps=5)[0]
    config = DDQNConfig(
        batch_size=8, hidden_size=8, depth=1, init_episodes=2, max_steps=30, buffer_size=64, stop="none"
    )
    agent = agents.make(config, Bucket(1, 8, 8, 8), env.action_space())
    hyperparams = fixed_hyperparams(config, 195.0)

    def train(nets):
        return agent.train(KEY, env, env.env_params(nets), hyperparams)

    population = jax.jit(jax.vmap(env.init_params))(jax.random.split(KEY, 3))  # [P]
    together = jax.jit(jax.vmap(train))(population)
    alone = jax.jit(train)
    for i in range(3):
        one = alone(jax.tree.map(lambda leaf: leaf[i], population))  # noqa: B023
        jax.tree.map(lambda a, b: np.testing.assert_allclose(a[i], b, atol=1e-4), together, one)  # noqa: B023
    assert not np.allclose(together.params[0].kernel[0], together.params[0].kernel[1])
