"""Models fitted by supervision: the data are real transitions, the scales fold away, the errors are what they say."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from experiments.synthetic_envs import supervised_model
from experiments.synthetic_envs.supervised_model import Recipe
from synthenv.core.types import Transition
from synthenv.envs import registry
from synthenv.envs.rollout import rollout
from synthenv.nets.mlp import apply_mlp, init_mlp
from synthenv.proxies.config import SyntheticConfig
from synthenv.proxies.synthetic_env import SyntheticMDP

SPEC = registry.make("CartPole-v0")
PROXY = SyntheticMDP(SPEC.env, SPEC.env_params, SyntheticConfig(hidden_size=32, done="threshold"))


@pytest.fixture(scope="module")
def random_data():
    return supervised_model.collect(jax.random.key(0), SPEC, "random", 20_000)


def real_step(obs, action):
    """CartPole by its equations, in NumPy."""
    _, x_dot, theta, theta_dot = obs.T.astype(np.float64)
    force = np.where(action == 1, 10.0, -10.0)
    push = (force + 0.05 * theta_dot**2 * np.sin(theta)) / 1.1
    turn = (9.8 * np.sin(theta) - np.cos(theta) * push) / (0.5 * (4 / 3 - 0.1 * np.cos(theta) ** 2 / 1.1))
    pull = push - 0.05 * turn * np.cos(theta) / 1.1
    change = np.stack([x_dot, pull, theta_dot, turn], axis=1)
    return obs + 0.02 * change


def test_data_are_transitions_of_the_real_task(random_data):
    assert random_data.obs.shape == (20_000, 4)
    np.testing.assert_allclose(
        random_data.next_obs, real_step(random_data.obs, random_data.action), atol=1e-5
    )
    beyond = (np.abs(random_data.next_obs[:, 0]) > 2.4) | (
        np.abs(random_data.next_obs[:, 2]) > 12 * np.pi / 180
    )
    np.testing.assert_array_equal(random_data.terminated, beyond)
    assert abs(random_data.action.mean() - 0.5) < 0.02


@pytest.mark.long
def test_older_agents_last_longer_and_balanced_data_hold_failures():
    played = supervised_model.streams(jax.random.key(1), SPEC, 16, 4000, 400)
    assert played.reward.shape == (16, 400)
    assert (played.terminated | played.truncated)[:, -1].all(), "every stream is cut at its end"
    ended = (played.terminated | played.truncated).sum(axis=1)
    assert ended[-4:].mean() < ended[:4].mean() / 2
    tests, best, balanced = (
        supervised_model.collect(jax.random.key(1), SPEC, data, 3200, 4000)
        for data in ("tests", "best", "balanced")
    )
    assert all(len(data.reward) == 3200 for data in (tests, best, balanced))
    assert best.terminated.mean() < tests.terminated.mean() < 0.1 < balanced.terminated.mean() < 0.25


def test_scales_fold_into_the_layers():
    generator = np.random.default_rng(0)
    x = jnp.asarray(generator.normal(3, 2, (10, 6)), jnp.float32)
    inputs = (jnp.arange(6.0), jnp.arange(1.0, 7.0))
    outputs = (jnp.array([5.0, -1.0]), jnp.array([0.5, 3.0]))
    net = init_mlp(jax.random.key(0), 6, 16, 2, 2)
    standardised = (x - inputs[0][None, :]) / inputs[1][None, :]
    expected = apply_mlp(net, standardised, "leaky_relu") * outputs[1][None, :] + outputs[0][None, :]
    folded = apply_mlp(supervised_model.unstandardise(net, inputs, outputs), x, "leaky_relu")
    np.testing.assert_allclose(folded, expected, rtol=1e-4, atol=1e-5)


def constant_nets(**outputs):
    """Networks that answer the same to everything."""
    nets = PROXY.init_params(jax.random.key(0))
    nets = jax.tree.map(jnp.zeros_like, nets)
    return {
        name: (*net[:-1], net[-1]._replace(bias=jnp.asarray(outputs[name], jnp.float32)))
        for name, net in nets.items()
    }


def test_one_step_errors_by_hand():
    obs = np.zeros((4, 4), np.float32)
    next_obs = np.array([[1, 0, 0, 0]] * 3 + [[3, 0, 0, 0]], np.float32) + np.array([0, 2, 2, 2], np.float32)
    data = Transition(
        obs, np.zeros(4, int), np.ones(4, np.float32), next_obs, np.array([1, 0, 0, 1], bool), np.zeros(4)
    )
    errors = supervised_model.one_step_errors(
        PROXY, constant_nets(state=[1, 2, 2, 0], reward=[0.5], done=[0.6]), data
    )
    # Squares: x 0, 0, 0, 4; the last number 4 each; the reward 0.25 each; over 4 x 5 numbers.
    assert errors["mse"] == pytest.approx((4 + 16 + 1) / 20)
    np.testing.assert_allclose(errors["relative_error"], [1 / np.sqrt(3), 0, 0, 1], rtol=1e-6)
    assert (errors["done_recall"], errors["false_ends"]) == (1, 1)
    silent = supervised_model.one_step_errors(
        PROXY, constant_nets(state=[0] * 4, reward=[1], done=[0.4]), data
    )
    assert (silent["done_recall"], silent["false_ends"]) == (0, 0)


def test_a_model_predicts_itself_over_many_steps():
    nets = PROXY.init_params(jax.random.key(3))
    act = lambda key, obs: jax.random.bernoulli(key).astype(jnp.int32)  # noqa: E731
    played = jax.vmap(lambda key: rollout(key, PROXY, PROXY.env_params(nets), act, 60))(
        jax.random.split(jax.random.key(0), 2)
    )
    played = jax.tree.map(np.asarray, played)
    np.testing.assert_allclose(supervised_model.multi_step_errors(PROXY, nets, played, 20), 0, atol=1e-5)
    wrong = jax.tree.map(lambda x: x * 0.9, nets)
    assert min(supervised_model.multi_step_errors(PROXY, wrong, played, 20)) > 1e-3


@pytest.mark.long
@pytest.mark.parametrize("recipe", [Recipe(epochs=20), Recipe("classified", True, 80, 1e-2)])
def test_a_fit_comes_close(random_data, recipe):
    nets = supervised_model.fit(jax.random.key(0), PROXY, random_data, recipe)
    errors = supervised_model.one_step_errors(PROXY, nets, random_data)
    first = supervised_model.one_step_errors(PROXY, PROXY.init_params(jax.random.key(0)), random_data)
    assert errors["mse"] < first["mse"] / 100
    assert errors["false_ends"] < 0.02
    if recipe.done == "classified":
        assert errors["done_recall"] > 0.8


def test_done_may_be_left_alone(random_data):
    key = jax.random.key(0)
    nets = supervised_model.fit(key, PROXY, random_data, Recipe("unfitted", epochs=1))
    drawn = PROXY.init_params(jax.random.split(key)[0])
    jax.tree.map(np.testing.assert_array_equal, nets["done"], drawn["done"])
    assert not np.array_equal(nets["state"][0].kernel, drawn["state"][0].kernel)
