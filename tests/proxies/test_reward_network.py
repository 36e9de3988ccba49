"""Reward networks: every variant against NumPy, dynamics untouched, tables equal networks, refusals in one line."""

import dataclasses
import functools
from typing import get_args

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from synthenv.core.errors import UserError
from synthenv.envs import registry
from synthenv.proxies.config import RewardConfig, SyntheticConfig, Variant, from_stored
from synthenv.proxies.reward_network import RewardNetwork

KEY = jax.random.key(0)
DISCOUNT = 0.9
VARIANTS = get_args(Variant)
PLAIN = [v for v in VARIANTS if not v.endswith(("augmented", "linear"))]


class WithVector(type(registry.make("CartPole-v0").env)):
    """CartPole that tells its pole's angle and its action in the info vector."""

    info_size = 2

    def step_env(self, key, state, action, params):
        obs, state, reward, terminated, info = super().step_env(key, state, action, params)
        return obs, state, reward, terminated, {**info, "vector": jnp.stack([obs[2], 1.0 * action])}


@functools.cache
def build(variant, task="CartPole-v0", with_vector=False, **config):
    """One environment per configuration, its weights, and its jitted step and reset."""
    spec = registry.make(task)
    real = WithVector() if with_vector else spec.env
    env = RewardNetwork(real, spec.env_params, RewardConfig(variant, 8, **config))
    return env, env.init_params(jax.random.key(1)), jax.jit(env.step_env), jax.jit(env.reset_env), spec


def numpy_net(net, x):
    """One hidden layer of PReLU units with the slope that is never trained."""
    hidden = x @ np.asarray(net[0].kernel) + np.asarray(net[0].bias)
    hidden = np.where(hidden > 0, hidden, 0.25 * hidden)
    return (hidden @ np.asarray(net[1].kernel) + np.asarray(net[1].bias))[0]


def expected(variant, net, real_reward, obs, next_obs, vector):
    """The formulas of the module's docstring."""
    base = real_reward if variant.startswith("additive") else 0.0
    if variant.endswith("linear"):
        return base + vector @ np.asarray(net[0].kernel)[:, 0]
    extra = vector if variant.endswith("augmented") else np.zeros(0)
    after = numpy_net(net, np.concatenate([next_obs, extra]))
    if "non_potential" in variant:
        return base + after
    return base + DISCOUNT * after - numpy_net(net, np.concatenate([obs, extra]))


@pytest.mark.parametrize("variant", VARIANTS)
def test_rewards_are_the_formulas_and_dynamics_are_real(variant):
    env, net, step, reset, spec = build(variant, with_vector=True)
    params = env.env_params(net, DISCOUNT)
    obs, state = reset(KEY, params)
    _, real = env.real_env.reset_env(KEY, spec.env_params)
    for action in (0, 1, 1, 0, 1):
        next_obs, state, reward, terminated, info = step(KEY, state, action, params)
        real_obs, real, real_reward, real_end, real_info = env.real_env.step_env(
            KEY, real, action, spec.env_params
        )
        np.testing.assert_allclose(next_obs, real_obs, rtol=1e-6)
        assert (terminated, info["discount"]) == (real_end, real_info["discount"])
        assert info["real_reward"] == real_reward == 1.0
        wanted = expected(
            variant, net, 1.0, np.asarray(obs), np.asarray(next_obs), np.asarray(info["vector"])
        )
        np.testing.assert_allclose(reward, wanted, rtol=1e-4, atol=1e-5)
        obs = next_obs


@pytest.mark.parametrize("variant", PLAIN)
def test_a_table_of_cells_equals_the_network(variant):
    """In a gridworld Phi is looked up; the reward is that of the network on one-hot observations."""
    env, net, step, reset, _ = build(variant, "CliffWalking")
    params = env.env_params(net, DISCOUNT)
    obs, state = reset(KEY, params)
    for action in (3, 0, 0, 2):
        next_obs, state, reward, _, info = step(KEY, state, action, params)
        wanted = expected(
            variant, net, float(info["real_reward"]), np.asarray(obs), np.asarray(next_obs), None
        )
        np.testing.assert_allclose(reward, wanted, rtol=1e-4, atol=1e-5)
        obs = next_obs
    assert state.real.cell == 38  # up, right, right, down: into the cliff
    assert env.is_terminated(state, params)


def test_terminal_potential():
    """Zero at the end of the task, and only there; a time limit is no end."""
    rewards = {}
    for terminal in ("learned", "zero"):
        env, net, step, reset, _ = build("exclusive_potential", "CliffWalking", terminal_potential=terminal)
        params = env.env_params(net, DISCOUNT)
        _, state = reset(KEY, params)
        rewards[terminal] = []
        for action in (3, 0, 2):
            before = state.real.cell
            _, state, reward, *_ = step(KEY, state, action, params)
            rewards[terminal].append(float(reward))
    np.testing.assert_allclose(rewards["learned"][:2], rewards["zero"][:2])
    np.testing.assert_allclose(rewards["zero"][2], -params.potentials[before], rtol=1e-5)
    assert rewards["learned"][2] != pytest.approx(rewards["zero"][2], abs=1e-4)


def test_time_limit_is_the_real_one():
    env, net, step, reset, spec = build("additive_non_potential", "CliffWalking")
    params = env.env_params(net)
    _, state = reset(KEY, params)
    for time in range(spec.max_steps):
        assert not env.is_truncated(state, params), time
        _, state, *_ = step(KEY, state, 3, params)
    assert env.is_truncated(state, params)


def test_continuous_actions():
    """MountainCarContinuous: the energy cost stays in an additive reward."""
    env, net, step, reset, _ = build("additive_non_potential", "MountainCarContinuous-v0")
    params = env.env_params(net)
    _, state = reset(KEY, params)
    obs, _, reward, _, info = step(KEY, state, jnp.array([0.5]), params)
    np.testing.assert_allclose(info["real_reward"], -0.1 * 0.25, rtol=1e-5)
    np.testing.assert_allclose(reward, -0.025 + numpy_net(net, np.asarray(obs)), rtol=1e-4)


@pytest.mark.parametrize("variant", set(VARIANTS) - set(PLAIN))
def test_without_info_vector(variant):
    spec = registry.make("CartPole-v0")
    with pytest.raises(UserError, match="this task has none: choose a variant without"):
        RewardNetwork(spec.env, spec.env_params, RewardConfig(variant))


def test_stored_configs_find_their_class():
    for config in (RewardConfig("exclusive_potential", 5), SyntheticConfig(hidden_size=7)):
        assert from_stored(config.stored()) == config


def test_box_inputs():
    """Bounds become -1 and 1; what is unbounded stays; a task without bounds refuses."""
    env, net, step, reset, spec = build("exclusive_non_potential", "MountainCarContinuous-v0", inputs="box")
    _, state = reset(KEY, env.env_params(net))
    next_obs, _, reward, *_ = step(KEY, state, jnp.ones(1), env.env_params(net))
    scaled = (np.asarray(next_obs) - [-0.3, 0.0]) / [0.9, 0.07]
    np.testing.assert_allclose(reward, numpy_net(net, scaled), rtol=1e-5)
    twice = RewardNetwork(spec.env, spec.env_params, dataclasses.replace(env.config, output_scale=2.0))
    np.testing.assert_allclose(twice.phi(net, next_obs), 2 * reward, rtol=1e-5)
    cart = build("exclusive_non_potential", "CartPole-v0", inputs="box")[0]
    np.testing.assert_allclose(cart.half, [4.8, 1.0, 0.41887903, 1.0], rtol=1e-6)
    assert not cart.middle.any()


def test_box_inputs_need_bounds():
    pendulum = registry.make("Pendulum-v1")

    class Boundless(type(pendulum.env)):
        def observation_space(self, params):
            space = super().observation_space(params)
            return type(space)(-jnp.inf, jnp.inf, space.shape, space.dtype)

    with pytest.raises(UserError, match=r"states no bounds .* --proxy.inputs raw"):
        RewardNetwork(Boundless(), pendulum.env_params, RewardConfig(inputs="box"))
