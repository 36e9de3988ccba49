"""Multilayer perceptrons whose width may be a traced value.

Padding is exact rather than masked at run time: units beyond the traced width start with zero weights in and
out, every activation here maps 0 to 0, so their activations, gradients and Adam moments are exactly zero for
ever. Only initialisation knows about the width; the forward pass is a plain matrix product.

References:
    The layer layout and the uniform(+-1/sqrt(fan_in)) initialisation are those of PyTorch's ``Linear``, which
    the released SE/RN code relies on.
"""

import itertools
from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp

PRELU_SLOPE = 0.25  # the released code never trains or evolves PReLU slopes, so the slope is a constant
_NARROW = 4  # outputs up to which a product is worked off column by column

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
    draws: jax.Array, max_in: int, max_out: int, fan_in: int | jax.Array, fan_out: int | jax.Array
) -> Layer:
    """Scale draws to one layer, PyTorch style, zero outside ``[:fan_in, :fan_out]``.

    Args:
        draws: uniform in [-1, 1), [(max_in + 1) * max_out].
        max_in: static number of rows.
        max_out: static number of columns.
        fan_in: number of inputs in use (may be traced).
        fan_out: number of outputs in use (may be traced).

    Returns:
        kernel [max_in, max_out] and bias [max_out], both uniform in +-1/sqrt(fan_in).
    """
    draws = draws.reshape(max_in + 1, max_out) / jnp.sqrt(jnp.asarray(fan_in, jnp.float32))
    row = jnp.arange(max_in + 1)[:, None]
    inside = (row < fan_in) | (row == max_in)  # the last row is the bias
    inside &= jnp.arange(max_out)[None, :] < fan_out
    draws = jnp.where(inside, draws, 0.0)
    return Layer(draws[:-1], draws[-1])


def init_mlp(
    key: jax.Array,
    in_size: int,
    hidden_size: int | jax.Array,
    out_size: int,
    depth: int,
    max_hidden: int | None = None,
) -> Params:
    """Draw an MLP with ``depth`` hidden layers of equal width and a linear output.

    All weights come from one draw: on a CPU every call of ``jax.random`` costs compile time.

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
    width = int(hidden_size) if max_hidden is None else max_hidden
    shapes = [in_size, *[width] * depth, out_size]
    fans = [in_size, *[hidden_size] * depth, out_size]
    sizes = [(i + 1) * o for i, o in itertools.pairwise(shapes)]
    draws = jax.random.uniform(key, (sum(sizes),), minval=-1.0)
    layers, start = [], 0
    for i, size in enumerate(sizes):
        chunk = draws[start : start + size]
        layers.append(init_layer(chunk, shapes[i], shapes[i + 1], fans[i], fans[i + 1]))
        start += size
    return tuple(layers)


def _product(x: jax.Array, kernel: jax.Array) -> jax.Array:
    """``x @ kernel`` for x [B, in]. A few narrow outputs are faster on CPU one by one, as a Q-network's head."""
    if kernel.shape[1] > _NARROW:
        return jnp.dot(x, kernel)
    return jnp.stack([jnp.dot(x, kernel[:, i]) for i in range(kernel.shape[1])], axis=1)


@jax.custom_vjp
def _matmul(x: jax.Array, kernel: jax.Array) -> jax.Array:
    """``x @ kernel`` for x [B, in], with gradients that are fast on CPU."""
    return _product(x, kernel)


def _matmul_forward(x: jax.Array, kernel: jax.Array) -> tuple[jax.Array, tuple[jax.Array, jax.Array]]:
    return _product(x, kernel), (x, kernel)


def _matmul_backward(residuals: tuple[jax.Array, jax.Array], dy: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Narrow outputs column by column; for wide ones a barrier keeps XLA from folding the transpose into the product.

    XLA's CPU backend runs a product that contracts the leading axes up to twice as slow (37 against 25 microseconds
    for 128 x 128 x 128) as a transpose and a plain one. [199, 57]^T [199, 2] takes 7 microseconds either way, and 2
    as two products of a vector and a matrix; the outer products of the other gradient fuse with what follows.
    """
    x, kernel = residuals
    if kernel.shape[1] > _NARROW:
        return jnp.dot(dy, kernel.T), jnp.dot(jax.lax.optimization_barrier(x.T), dy)
    columns = [dy[:, i] for i in range(kernel.shape[1])]
    dx = sum(column[:, None] * kernel[None, :, i] for i, column in enumerate(columns))
    return jnp.asarray(dx), jnp.stack([jnp.dot(column, x) for column in columns], axis=1)


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
