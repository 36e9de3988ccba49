"""The dueling head: its formula, and what its mean is taken over."""

import jax
import jax.numpy as jnp
import numpy as np

from synthenv.nets.dueling import DuelingParams, apply_dueling, init_dueling
from synthenv.nets.mlp import Layer, apply_mlp


def linear(kernel, bias):
    return (Layer(jnp.array(kernel, jnp.float32), jnp.array(bias, jnp.float32)),)


# Features are the two inputs; V = x1; A = [x2, 0, -x2 + 3].
PARAMS = DuelingParams(
    features=linear([[1.0, 0.0], [0.0, 1.0]], [0.0, 0.0]),
    value=linear([[1.0], [0.0]], [0.0]),
    advantage=linear([[0.0, 0.0, 0.0], [1.0, 0.0, -1.0]], [0.0, 0.0, 3.0]),
)
X = jnp.array([[10.0, 2.0], [20.0, 5.0], [99.0, 99.0]])


def test_mean_of_each_state():
    """Advantages [2, 0, 1] and [5, 0, -2] both have mean 1, and the values of a state average to V."""
    values = apply_dueling(PARAMS, X, "relu")
    np.testing.assert_allclose(values[:2], [[11.0, 9.0, 10.0], [24.0, 19.0, 17.0]])
    np.testing.assert_allclose(values.mean(axis=1), X[:, 0], rtol=1e-5)
    np.testing.assert_allclose(apply_dueling(PARAMS, X[0], "relu"), values[0])


def test_mean_over_the_batch():
    """As released: one mean for all; rows of weight zero do not count."""
    moved = PARAMS._replace(advantage=linear([[0.0] * 3, [1.0, 0.0, 0.0]], [0.0] * 3))  # A = [x2, 0, 0]
    weight = jnp.array([0.5, 0.5, 0.0])
    values = apply_dueling(moved, X, "relu", weight)
    mean = (2.0 + 5.0) / 2 / 3
    np.testing.assert_allclose(values[0], [12 - mean, 10 - mean, 10 - mean], rtol=1e-6)
    np.testing.assert_allclose(values[1], [25 - mean, 20 - mean, 20 - mean], rtol=1e-6)


def test_shapes_and_padding():
    """Three heads' worth of layers; a padded net is the unpadded one."""
    params = init_dueling(jax.random.key(0), 4, 5, 3, depth=2, feature_size=6, max_hidden=8)
    assert [layer.kernel.shape for layer in params.features] == [(4, 8), (8, 8), (8, 6)]
    assert [layer.kernel.shape for layer in params.value] == [(6, 6), (6, 1)]
    assert [layer.kernel.shape for layer in params.advantage] == [(6, 6), (6, 3)]
    assert not np.any(params.features[0].kernel[:, 5:]) and not np.any(params.features[1].kernel[5:])
    x = jax.random.normal(jax.random.key(1), (7, 4))
    cut = tuple(
        Layer(layer.kernel[: (4, 5, 5)[i], : (5, 5, 6)[i]], layer.bias[: (5, 5, 6)[i]])
        for i, layer in enumerate(params.features)
    )
    features = apply_mlp(params.features, x, "tanh")
    np.testing.assert_allclose(features, apply_mlp(cut, x, "tanh"), atol=1e-6)
