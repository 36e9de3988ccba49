"""Random networks of the OSWM prior: against NumPy from raw weights, and the activations against libm."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from synthenv.worldmodel import released_networks as networks

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


def oracle(weights, fan_in, choice, names, x):
    """One network in float64 from raw weights, as PyTorch would compute it: x [I, E] to [E]."""
    num_inputs = x.shape[0]
    cut = num_inputs * 16
    inward = weights[:cut].reshape(num_inputs, 16) / np.sqrt(fan_in)
    hidden, outward = weights[cut : cut + 256].reshape(16, 16) / 4, weights[cut + 256 :] / 4
    f, g = (EXACT[names[i]] for i in choice)
    z = x.T @ inward
    y = (f(z) + z) @ hidden
    y = (y - y.mean(1, keepdims=True)) / np.sqrt(y.var(1, keepdims=True) + 1e-5)
    return (g(y) + z) @ outward


@pytest.mark.parametrize("names", [("sin", "tanh"), ("relu", "tanh", "sigmoid")])
def test_networks_equal_numpy_from_the_same_words(names):
    num, pieces, episodes = 12, (3, 2), 7
    rng = np.random.default_rng(0)
    words = rng.integers(0, 2**32, (num, networks.num_words(sum(pieces))), dtype=np.uint32)
    fan_in = rng.integers(2, 6, num)
    inputs = [10 * rng.normal(size=(num, size, episodes)).astype(np.float32) for size in pieces]

    @jax.jit
    def outputs(words, fan_in, inputs):
        nets = networks.draw(words, fan_in, sum(pieces), names)
        return networks.apply(nets, inputs)

    found = outputs(words, fan_in, inputs)
    weights = words[:, :-2].view(np.int32) / 2.0**31
    choices = (words[:, -2:] / 2.0**32 * len(names)).astype(int)
    assert len(np.unique(choices)) == len(names)
    for i in range(num):
        x = np.concatenate([part[i] for part in inputs]).astype(np.float64)
        expected = oracle(weights[i], fan_in[i], choices[i], names, x)
        np.testing.assert_allclose(found[i], expected, atol=3e-5)


def test_bucket_is_the_smallest_that_holds_the_count():
    sizes = networks.bucket_sizes(10.0, 4.0, 30)
    assert sizes == [4, 7, 10, 13, 16, 22, 30]
    run = jax.jit(lambda count: networks.run_bucket(count, sizes, lambda size: jnp.asarray(size)))
    for count in range(31):
        assert run(count) == min(size for size in sizes if size >= count)


@pytest.mark.parametrize("mean", [0.5, 3.8, 100.0])
def test_last_bucket_holds_everything(mean):
    assert networks.bucket_sizes(mean, 3.0, 11)[-1] == 11
