"""Distributions over actions and the clipped surrogate, by hand arithmetic; running statistics against NumPy."""

import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from synthenv.agents.policies.policy_gradient import (
    Categorical,
    Gaussian,
    as_distrax,
    clipped_surrogate,
    noise_from,
    num_noise_words,
    standardize,
)
from synthenv.agents.training.running_stats import init_stats, normalize, rescale, update_stats
from synthenv.envs.action_units import Actions

CHOICE, PLANE = Actions(3, 1.0, True), Actions(2, 1.0, False)


def noise(actions):
    return noise_from(jax.random.bits(jax.random.key(0), (4000, num_noise_words(actions))), actions)


def test_categorical():
    """Shifted log-probabilities of 0.5, 0.3 and 0.2."""
    probs = np.array([0.5, 0.3, 0.2], np.float32)
    choice = Categorical(jnp.log(probs) + 7.0)
    assert choice.mode() == 0
    np.testing.assert_allclose(choice.entropy(), -(probs * np.log(probs)).sum(), rtol=1e-5)
    each = Categorical(jnp.tile(choice.logits[None], (3, 1)))
    np.testing.assert_allclose(each.log_prob(jnp.arange(3)), np.log(probs), rtol=1e-5)
    drawn = Categorical(jnp.tile(choice.logits[None], (4000, 1))).sample(noise(CHOICE))
    np.testing.assert_allclose(np.bincount(drawn, minlength=3) / 4000, probs, atol=0.03)


def test_gaussian():
    """The log-density of two independent components is the sum of log(exp(-z^2/2) / (std sqrt(2 pi)))."""
    mean, std = jnp.array([1.0, -2.0]), jnp.array([0.5, 3.0])
    choice = Gaussian(mean, std)
    np.testing.assert_array_equal(choice.mode(), mean)
    z = np.array([(0.2 - 1.0) / 0.5, (1.0 + 2.0) / 3.0])
    density = np.exp(-(z**2) / 2) / (np.array([0.5, 3.0]) * np.sqrt(2 * np.pi))
    np.testing.assert_allclose(choice.log_prob(jnp.array([0.2, 1.0])), np.log(density).sum(), rtol=1e-5)
    np.testing.assert_allclose(choice.entropy(), 0.5 * np.log((2 * np.pi * np.e) ** 2 * 1.5**2), rtol=1e-5)
    many = Gaussian(jnp.tile(mean[None], (4000, 1)), jnp.tile(std[None], (4000, 1))).sample(noise(PLANE))
    np.testing.assert_allclose(many.mean(axis=0), mean, atol=0.15)
    np.testing.assert_allclose(many.std(axis=0), std, rtol=0.05)
    assert abs(np.corrcoef(many.T)[0, 1]) < 0.05


OBS = np.random.default_rng(0)
CHOICES = Categorical(jnp.asarray(3 * OBS.normal(size=(50, 4)), jnp.float32))
VECTORS = Gaussian(
    jnp.asarray(OBS.normal(size=(50, 3)), jnp.float32),
    jnp.asarray(OBS.uniform(0.01, 3.0, (50, 3)), jnp.float32),
)


@pytest.mark.parametrize("ours", [CHOICES, VECTORS], ids=lambda ours: type(ours).__name__)
def test_ours_are_distraxs(ours):
    """Mode, entropy and log-probabilities with their gradients, of actions that distrax draws."""
    theirs = as_distrax(ours)
    actions = jax.jit(lambda: as_distrax(ours).sample(seed=jax.random.key(0), sample_shape=20))()
    of_all = lambda choice: jax.vmap(choice.log_prob)(actions)  # noqa: E731
    np.testing.assert_array_equal(ours.mode(), theirs.mode())
    np.testing.assert_allclose(ours.entropy(), theirs.entropy(), rtol=1e-5)
    np.testing.assert_allclose(of_all(ours), of_all(theirs), rtol=1e-4, atol=1e-5)
    for measure in (of_all, lambda choice: choice.entropy()):
        slope = jax.grad(lambda choice, known, measure=measure: jnp.mean(measure(known(choice))))
        found, expected = slope(ours, lambda choice: choice), slope(ours, as_distrax)
        jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-3, atol=1e-6), found, expected)


@pytest.mark.parametrize("ours", [CHOICES, VECTORS], ids=lambda ours: type(ours).__name__)
def test_samples_from_words_are_those_of_distrax(ours):
    """As often, or with the same mean and spread, as 4000 that distrax draws from a key."""
    one = jax.tree.map(lambda x: jnp.tile(x[:1], (4000, 1)), ours)
    space = Actions(one[0].shape[1], 1.0, isinstance(ours, Categorical))
    drawn = np.asarray(one.sample(noise(space)))
    theirs = np.asarray(as_distrax(one).sample(seed=jax.random.key(1)))
    if space.discrete:
        drawn, theirs = (np.bincount(x, minlength=4)[None] / 4000 for x in (drawn, theirs))
        np.testing.assert_allclose(drawn, theirs, atol=0.03)
    else:
        spread = np.asarray(ours.std[0])
        np.testing.assert_allclose(drawn.mean(0) / spread, theirs.mean(0) / spread, atol=0.08)
        np.testing.assert_allclose(drawn.std(0), theirs.std(0), rtol=0.05)


def test_only_policies_pay_for_distrax():
    """Neither the package nor its agents, strategies and proxies import it."""
    rooms = "synthenv, synthenv.agents.registry, synthenv.outer.strategy, synthenv.zoo.registry"
    code = f"import sys, {rooms}; print('distrax' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"


@pytest.mark.parametrize(
    ("ratio", "advantage", "objective", "slope"),
    [
        (1.0, 2.0, 2.0, 2.0),
        (1.5, 2.0, 2.4, 0.0),  # no gain beyond 1.2
        (1.5, -2.0, -3.0, -3.0),  # but the whole loss
        (0.5, 2.0, 1.0, 1.0),
        (0.5, -2.0, -1.6, 0.0),  # no gain below 0.8
    ],
)
def test_clipped_surrogate(ratio, advantage, objective, slope):
    """Objective, and slope in the log-probability (ratio times advantage where it is not clipped)."""

    def of(log_prob):
        return clipped_surrogate(log_prob, jnp.float32(-1.0), jnp.float32(advantage), jnp.float32(0.2))

    value, gradient = jax.value_and_grad(of)(-1.0 + jnp.log(ratio))
    np.testing.assert_allclose([value, gradient], [objective, slope], atol=1e-5)


def test_standardize():
    x = standardize(jnp.array([1.0, 2.0, 6.0]))
    np.testing.assert_allclose(x, np.array([-2.0, -1.0, 3.0]) / np.sqrt(14 / 3), rtol=1e-5)
    np.testing.assert_array_equal(standardize(jnp.full(4, 3.0)), 0.0)


def test_running_stats_are_those_of_all_samples():
    data = 3.0 + 2.0 * np.random.default_rng(0).normal(size=(60, 2)).astype(np.float32)
    stats = init_stats((2,))
    np.testing.assert_array_equal(normalize(stats, jnp.array([[3.0, -4.0]])), [[3.0, -4.0]])
    for part in np.split(data, [5, 6, 40]):
        stats = update_stats(stats, jnp.asarray(part))
    np.testing.assert_allclose(stats.mean, data.mean(axis=0), rtol=1e-5)
    np.testing.assert_allclose(stats.var, data.var(axis=0), rtol=1e-5)
    np.testing.assert_allclose(
        normalize(stats, jnp.asarray(data)), (data - data.mean(axis=0)) / data.std(axis=0), atol=1e-4
    )
    assert normalize(stats, jnp.full((1, 2), 1e6)).max() == 10.0
    one = update_stats(init_stats(()), jnp.asarray(data[:, 0]))
    np.testing.assert_allclose(
        rescale(one, jnp.array([1.0, -1e6])), [1.0 / data[:, 0].std(), -10.0], rtol=1e-5
    )
