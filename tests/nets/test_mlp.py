"""Masked width is exact: a padded net is the narrow net, at the start and after training."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from synthenv.nets.mlp import ACTIVATIONS, Layer, apply_mlp, init_mlp

IN, OUT, MAX = 5, 3, 12

init = jax.jit(init_mlp, static_argnums=(1, 3, 4, 5))  # the width is traced
apply = jax.jit(apply_mlp, static_argnums=2)


def narrow(params, width):
    """The unpadded net inside a padded one."""
    first, *middle, last = params
    return (
        Layer(first.kernel[:, :width], first.bias[:width]),
        *(Layer(layer.kernel[:width, :width], layer.bias[:width]) for layer in middle),
        Layer(last.kernel[:width], last.bias),
    )


def padding(params, width):
    """All weights outside the width, as one vector."""
    inner = [np.asarray(leaf) for leaf in jax.tree.leaves(narrow(params, width))]
    rest = []
    for leaf, part in zip(jax.tree.leaves(params), inner, strict=True):
        outside = np.ones(leaf.shape, bool)
        outside[tuple(slice(n) for n in part.shape)] = False
        rest.append(np.asarray(leaf)[outside])
    return np.concatenate(rest)


def plain_mlp(params, x, activation):
    """The forward pass in `jnp.dot`, differentiated by JAX alone."""
    for i, layer in enumerate(params):
        x = jnp.dot(x, layer.kernel) + jnp.broadcast_to(layer.bias, (*x.shape[:-1], layer.bias.size))
        x = ACTIVATIONS[activation](x) if i < len(params) - 1 else x
    return x


@pytest.mark.parametrize("width", [3, 48])
def test_init_bounds_with_traced_width(width):
    """Each layer fills +-1/sqrt(fan_in), where the fan-in is the width in use, not the padded one."""
    key = jax.random.split(jax.random.key(0), 100)
    nets = jax.jit(jax.vmap(lambda k, w: init_mlp(k, IN, w, 200, 2, max_hidden=64), (0, None)))(key, width)
    for layer, fan_in in zip(nets, (IN, width, width), strict=True):
        for leaf in layer:
            largest = np.abs(leaf).max() * np.sqrt(fan_in)
            assert 0.98 < largest <= 1.000001
            inside = np.asarray(leaf)[np.asarray(leaf) != 0] * np.sqrt(fan_in)
            assert abs(inside.mean()) < 5 / np.sqrt(3 * inside.size)
            assert abs(inside.var() - 1 / 3) < 0.05


def test_init_shapes_and_width():
    """Exactly the weights within the width are drawn; the rest is zero."""
    params = init(jax.random.key(0), IN, 7, OUT, 3, MAX)
    assert [layer.kernel.shape for layer in params] == [(IN, MAX), (MAX, MAX), (MAX, MAX), (MAX, OUT)]
    assert not padding(params, 7).any()
    assert all(np.all(leaf != 0) for leaf in jax.tree.leaves(narrow(params, 7)))


def test_init_at_full_width_needs_no_mask():
    """A static width gives the same net as a traced width that fills the arrays."""
    static = jax.jit(lambda: init_mlp(jax.random.key(1), IN, MAX, OUT, 2))()
    traced = init(jax.random.key(1), IN, MAX, OUT, 2, MAX)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-6), static, traced)


def test_depth_zero_is_refused():
    """A net without hidden layers is an error that names the remedy."""
    with pytest.raises(ValueError, match="depth >= 1"):
        init_mlp(jax.random.key(0), IN, MAX, OUT, 0)


def test_forward_by_hand():
    """Two inputs, two hidden units, one output, in arithmetic."""
    params = (
        Layer(jnp.array([[1.0, -1.0], [2.0, 0.5]]), jnp.array([0.5, 0.0])),
        Layer(jnp.array([[3.0], [10.0]]), jnp.array([-1.0])),
    )
    x = jnp.array([2.0, -1.0])  # hidden: 2 - 2 + 0.5 = 0.5 and -2 - 0.5 = -2.5
    assert apply_mlp(params, x, "relu").tolist() == [0.5]
    assert apply_mlp(params, x, "prelu").tolist() == [1.5 - 6.25 - 1.0]
    assert apply_mlp(params, x, "leaky_relu")[0] == pytest.approx(1.5 - 0.25 - 1.0)
    assert apply_mlp(params, x, "tanh")[0] == pytest.approx(3 * np.tanh(0.5) + 10 * np.tanh(-2.5) - 1)
    assert apply_mlp(params, jnp.stack([x, x]), "relu").tolist() == [[0.5], [0.5]]


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_padding_stays_zero_and_training_is_that_of_the_narrow_net(activation):
    """After ten Adam steps the padding is exactly zero and the rest is the narrow net's training."""
    width, adam = 7, optax.adam(0.05)
    x = jax.random.normal(jax.random.key(1), (16, IN))

    def train(params):
        def step(carry, _):
            params, opt_state = carry
            grads = jax.grad(lambda p: jnp.mean(jnp.square(apply_mlp(p, x, activation) - 1.0)))(params)
            updates, opt_state = adam.update(grads, opt_state)
            return (optax.apply_updates(params, updates), opt_state), None

        return jax.lax.scan(step, (params, adam.init(params)), None, 10)[0]

    start = init(jax.random.key(0), IN, width, OUT, 2, MAX)
    padded, (moments, _) = jax.jit(train)(start)
    alone, _ = jax.jit(train)(narrow(start, width))
    for tree in (padded, moments.mu, moments.nu):
        assert not padding(tree, width).any()
    assert all(np.all(a != b) for a, b in zip(narrow(start, width)[0], alone[0], strict=True))
    # The gradient at a dead ReLU is zero up to rounding, which Adam divides by itself.
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=1e-4), narrow(padded, width), alone)


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_padded_output_is_the_narrow_output(activation):
    """Padding changes no output, with or without a batch axis."""
    params = init(jax.random.key(0), IN, 4, OUT, 2, MAX)
    x = jax.random.normal(jax.random.key(1), (6, IN))
    expected = apply(narrow(params, 4), x, activation)
    np.testing.assert_allclose(apply(params, x, activation), expected, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(apply(params, x[0], activation), expected[0], rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("mapped", ["neither", "params", "inputs", "both"])
def test_gradients_are_those_of_autodiff(mapped):
    """The hand-written product gradient equals autodiff of `jnp.dot`, in weights and inputs, under vmap too."""
    key_params, key_x = jax.random.split(jax.random.key(0))
    params = jax.jit(jax.vmap(lambda k: init_mlp(k, IN, 8, OUT, 2)))(jax.random.split(key_params, 3))  # [P]
    x = jax.random.normal(key_x, (3, 10, IN))  # [P, B, in]
    axes = (0 if mapped in ("params", "both") else None, 0 if mapped in ("inputs", "both") else None)
    params = params if axes[0] == 0 else jax.tree.map(lambda leaf: leaf[0], params)
    x = x if axes[1] == 0 else x[0]

    def gradients(mlp):
        grad = jax.grad(lambda p, x: jnp.sum(jnp.sin(mlp(p, x, "tanh"))), argnums=(0, 1))
        return jax.jit(grad if mapped == "neither" else jax.vmap(grad, axes))(params, x)

    ours, plain = gradients(apply_mlp), gradients(plain_mlp)
    assert jax.tree.structure(ours) == jax.tree.structure(plain)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5), ours, plain)
