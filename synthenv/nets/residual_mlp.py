"""The multilayer perceptron that the one-shot world model reads its columns with.

A first layer, ``depth`` more of the same width, and a linear output. With ``residual`` the first layer's value *before*
its activation is added behind the activation of each of the ``depth`` layers.

References:
    The one-shot world model's paper, table 7 of its appendix; the place of the residual is that of the released code.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, NamedTuple

import jax

from synthenv.nets.linear import Linear, init_linear, linear


def gelu(x: jax.Array) -> jax.Array:
    """GELU by the error function, as PyTorch's default; JAX's default is an approximation by tanh."""
    return jax.nn.gelu(x, approximate=False)


ACTIVATIONS: dict[str, Callable[[jax.Array], jax.Array]] = {
    "relu": jax.nn.relu,
    "sigmoid": jax.nn.sigmoid,
    "gelu": gelu,
}


@dataclass(frozen=True)
class ResidualMLPConfig:
    """Table 7's options of an encoder or decoder.

    Attributes:
        width: units of each hidden layer.
        depth: hidden layers after the first.
        activation: of the first layer and of each after it, but the output.
        bias: whether the layers, the output among them, have biases.
        residual: whether each hidden layer after the first adds the first one's value before activation.
    """

    width: int
    depth: int
    activation: Literal["relu", "sigmoid", "gelu"]
    bias: bool
    residual: bool


class ResidualMLPParams(NamedTuple):
    """first [in] -> [width], hidden: ``depth`` of [width] -> [width], last [width] -> [out]."""

    first: Linear
    hidden: tuple[Linear, ...]
    last: Linear


def init_residual_mlp(
    key: jax.Array, config: ResidualMLPConfig, in_size: int, out_size: int
) -> ResidualMLPParams:
    """Draw all layers as PyTorch's ``Linear``."""
    first, last, middle = jax.random.split(key, 3)
    keys = jax.random.split(middle, config.depth)
    hidden = jax.vmap(lambda k: init_linear(k, config.width, config.width, config.bias))(keys)
    return ResidualMLPParams(
        first=init_linear(first, in_size, config.width, config.bias),
        hidden=tuple(jax.tree.map(lambda leaf: leaf[i], hidden) for i in range(config.depth)),  # noqa: B023
        last=init_linear(last, config.width, out_size, config.bias),
    )


def apply_residual_mlp(params: ResidualMLPParams, config: ResidualMLPConfig, x: jax.Array) -> jax.Array:
    """Map x [..., in] to [..., out]."""
    act = ACTIVATIONS[config.activation]
    residual = linear(params.first, x)
    x = act(residual)
    for layer in params.hidden:
        x = act(linear(layer, x))
        x = x + residual if config.residual else x
    return linear(params.last, x)
