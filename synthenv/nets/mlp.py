"""Multilayer perceptrons whose width may be a traced value.

Padding is exact rather than masked at run time: units beyond the traced width start with zero weights in and
out, every activation here maps 0 to 0, so their activations, gradients and Adam moments are exactly zero for
ever. Only initialisation knows about the width; the forward pass is a plain matrix product.

References:
    The layer layout and the uniform(+-1/sqrt(fan_in)) initialisation are those of PyTorch's ``Linear``, which
    the released SE/RN code relies on.
"""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp

PRELU_SLOPE = 0.25  # the released code never trains or evolves PReLU slopes, so the slope is a constant

ACTIVATIONS: dict[str, Callable[[jax.Array], jax.Array]] = {
    "tanh": jnp.tanh,
    "relu": jax.nn.relu,
    "leaky_relu": lambda x: jax.nn.leaky_relu(x, 0.01),
    "prelu": lambda x: jax.nn.leaky_relu(x, PRELU_SLOPE),
}


class Layer(NamedTuple):
    """Weights of one affine map, ``x @ kernel + bias``: kernel [in, out], bias [out]."""

    kernel: jax.Array
    bias: jax.Array


Params = tuple[Layer, ...]


def init_layer(
    key: jax.Array,
    max_in: int,
    max_out: int,
    fan_in: int | jax.Array | None = None,
    fan_out: int | jax.Array | None = None,
) -> Layer:
    """Draw one layer, PyTorch style, zero outside ``[:fan_in, :fan_out]``.

    Args:
        key: random key.
        max_in: static number of rows.
        max_out: static number of columns.
        fan_in: number of inputs in use (may be traced); all if None.
        fan_out: number of outputs in use (may be traced); all if None.

    Returns:
        kernel [max_in, max_out] and bias [max_out], both uniform in +-1/sqrt(fan_in).
    """
    key_kernel, key_bias = jax.random.split(key)
    bound = 1.0 / jnp.sqrt(jnp.asarray(max_in if fan_in is None else fan_in, jnp.float32))
    kernel = jax.random.uniform(key_kernel, (max_in, max_out), minval=-1.0) * bound
    bias = jax.random.uniform(key_bias, (max_out,), minval=-1.0) * bound
    if fan_in is not None:
        kernel = jnp.where(jnp.arange(max_in)[:, None] < fan_in, kernel, 0.0)
    if fan_out is not None:
        kernel = jnp.where(jnp.arange(max_out)[None, :] < fan_out, kernel, 0.0)
        bias = jnp.where(jnp.arange(max_out) < fan_out, bias, 0.0)
    return Layer(kernel, bias)


def init_mlp(
    key: jax.Array,
    in_size: int,
    hidden_size: int | jax.Array,
    out_size: int,
    depth: int,
    max_hidden: int | None = None,
) -> Params:
    """Draw an MLP with ``depth`` hidden layers of equal width and a linear output.

    Args:
        key: random key.
        in_size: number of inputs.
        hidden_size: units per hidden layer; may be traced if ``max_hidden`` is given.
        out_size: number of outputs.
        depth: number of hidden layers, at least 1.
        max_hidden: static width of the arrays; ``hidden_size`` if None.

    Raises:
        ValueError: if ``depth`` is below 1.
    """
    if depth < 1:
        raise ValueError(f"an MLP needs at least one hidden layer, got depth={depth}: use depth >= 1")
    keys = jax.random.split(key, depth + 1)
    if max_hidden is None:
        width, fan = int(hidden_size), None
    else:
        width, fan = max_hidden, hidden_size
    layers = [init_layer(keys[0], in_size, width, None, fan)]
    layers += [init_layer(keys[i], width, width, fan, fan) for i in range(1, depth)]
    layers.append(init_layer(keys[depth], width, out_size, fan, None))
    return tuple(layers)


@jax.custom_vjp
def _matmul(x: jax.Array, kernel: jax.Array) -> jax.Array:
    """``x @ kernel`` for x [B, in], with a weight gradient that is fast on CPU."""
    return jnp.dot(x, kernel)


def _matmul_forward(x: jax.Array, kernel: jax.Array) -> tuple[jax.Array, tuple[jax.Array, jax.Array]]:
    return jnp.dot(x, kernel), (x, kernel)


def _matmul_backward(residuals: tuple[jax.Array, jax.Array], dy: jax.Array) -> tuple[jax.Array, jax.Array]:
    """The barrier keeps XLA from folding the transpose into the product.

    XLA's CPU backend runs a product that contracts the leading axes two to four times slower (14 against 3
    microseconds for [199, 57]^T [199, 2], 37 against 25 for 128 x 128 x 128) than a transpose and a plain one.
    """
    x, kernel = residuals
    return jnp.dot(dy, kernel.T), jnp.dot(jax.lax.optimization_barrier(x.T), dy)


_matmul.defvjp(_matmul_forward, _matmul_backward)


def affine(layer: Layer, x: jax.Array) -> jax.Array:
    """Map x [..., in] to [..., out]."""
    y = _matmul(x, layer.kernel) if x.ndim == 2 else jnp.dot(x, layer.kernel)
    return y + jnp.broadcast_to(layer.bias, y.shape)


def apply_mlp(params: Params, x: jax.Array, activation: str) -> jax.Array:
    """Map x [..., in] to [..., out]; hidden layers activated, output linear."""
    act = ACTIVATIONS[activation]
    for layer in params[:-1]:
        x = act(affine(layer, x))
    return affine(params[-1], x)
