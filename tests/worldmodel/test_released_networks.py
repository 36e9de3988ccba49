"""Random networks of the OSWM prior: against NumPy from raw weights, and the activations against libm."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from synthenv.worldmodel.paper.prior import networks
from synthenv.worldmodel.paper.prior.networks import NetworkConfig

EXACT = {
    "sin": np.sin,
    "tanh": np.tanh,
    "sigmoid": lambda x: 1.0 / (1.0 + np.exp(-x)),
    "relu": lambda x: np.maximum(x, 0.0),
}


@pytest.mark.parametrize(("name", "error"), [("sin", 1e-6), ("tanh", 2e-6), ("sigmoid", 1e-6), ("relu", 0.0)])
def test_activation_is_close_to_libm(name, error):
    x = np.linspace(-60.0, 60.0, 240_001, dtype=np.float32)
    curve = jax.tree.map(lambda leaf: leaf[0], networks.curves([name]))
    y = np.asarray(jax.jit(networks.activate)(curve, x))
    # Beyond a few turns the float32 argument itself is what limits a sine.
    np.testing.assert_allclose(y, EXACT[name](x.astype(np.float64)), atol=error, rtol=0)


@pytest.mark.parametrize("name", EXACT)
def test_activation_behind_layer_norm_is_close_to_libm(name):
    x = np.linspace(-(15**0.5), 15**0.5, 20_001, dtype=np.float32)  # all that 16 normalised units can be
    curve = jax.tree.map(lambda leaf: leaf[0], networks.curves([name], normalized=True))
    y = np.asarray(jax.jit(networks.activate)(curve, x))
    np.testing.assert_allclose(y, EXACT[name](x.astype(np.float64)), atol=2e-6, rtol=0)


def oracle(weights, fan_in, choice, config, x):
    """One network in float64 from raw weights, as PyTorch would compute it: x [I, E] to [E]."""
    f, *others = (EXACT[config.activations[i]] for i in choice)
    start = 0

    def affine(h, fan, num_out):
        nonlocal start
        kernel, start = weights[start : start + h.shape[1] * num_out], start + h.shape[1] * num_out
        bias, start = (weights[start : start + num_out], start + num_out) if config.bias else (0.0, start)
        return (h @ kernel.reshape(-1, num_out) + bias) / np.sqrt(fan)

    z = affine(x.T, fan_in, config.width)
    h = f(z) + z * config.residual
    for g in others:
        y = affine(h, config.width, config.width)
        if config.layer_norm:
            y = (y - y.mean(1, keepdims=True)) / np.sqrt(y.var(1, keepdims=True) + 1e-5)
        h = g(y) + z * config.residual
    out = affine(h, config.width, 1)
    assert start == len(weights)
    return out[:, 0]


CONFIGS = {
    "final": NetworkConfig(),
    "activations": NetworkConfig(activations=("relu", "tanh", "sigmoid")),
    "bias": NetworkConfig(bias=True),
    "deep": NetworkConfig(width=8, num_hidden=3, bias=True, residual=False),
    "bare": NetworkConfig(width=20, layer_norm=False, activations=("sin", "relu")),
    "wide": NetworkConfig(width=40, num_hidden=2, bias=True),
}


@pytest.mark.parametrize("name", CONFIGS)
def test_networks_equal_numpy_from_the_same_words(name):
    config, num, pieces, episodes = CONFIGS[name], 12, (3, 2), 7
    rng = np.random.default_rng(0)
    words = rng.integers(0, 2**32, (num, networks.num_words(sum(pieces), config)), dtype=np.uint32)
    fan_in = rng.integers(2, 6, num)
    inputs = [10 * rng.normal(size=(num, size, episodes)).astype(np.float32) for size in pieces]

    @jax.jit
    def outputs(words, fan_in, inputs):
        nets = networks.draw(words, fan_in, sum(pieces), config)
        return networks.apply(nets, inputs, config)

    found = outputs(words, fan_in, inputs)
    num_curves = 1 + config.num_hidden
    weights = words[:, :-num_curves].view(np.int32) / 2.0**31
    choices = (words[:, -num_curves:] / 2.0**32 * len(config.activations)).astype(int)
    assert len(np.unique(choices)) == len(config.activations)
    for i in range(num):
        x = np.concatenate([part[i] for part in inputs]).astype(np.float64)
        expected = oracle(weights[i], fan_in[i], choices[i], config, x)
        np.testing.assert_allclose(found[i], expected, atol=5e-5)


def test_bucket_is_the_smallest_that_holds_the_count():
    sizes = networks.bucket_sizes(10.0, 4.0, 30)
    assert sizes == [4, 7, 10, 13, 16, 22, 30]
    run = jax.jit(lambda count: networks.run_bucket(count, sizes, lambda size: jnp.asarray(size)))
    for count in range(31):
        assert run(count) == min(size for size in sizes if size >= count)


@pytest.mark.parametrize("mean", [0.5, 3.8, 100.0])
def test_last_bucket_holds_everything(mean):
    assert networks.bucket_sizes(mean, 3.0, 11)[-1] == 11
