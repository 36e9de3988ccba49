"""Random networks of the OSWM prior, many at once: each drives a state dimension, or pays the reward.

One network maps the inputs x of a step (observed state and action, zeros in unused slots) to one number:

    z = W_in x,    h = f(z) + z,    out = w_out . (g(LayerNorm(W_h h)) + z)

with 16 units, no biases, weights uniform in +-1/sqrt(fan-in), and f, g drawn from a config's activations. The paper's
search ended with these choices. ``NetworkConfig`` has the table's others, except dropout, which would make every step
random. The networks of a whole batch of environments stand side by side along an axis N; environments use different
numbers of them, so ``sample`` packs the ones in use and runs the smallest program for them (``run_bucket``).

On a CPU everything here is sums and products with the units innermost, which vectorise. XLA's batched product of such
small matrices takes twice as long, its tanh twice and its sine six times as long.

References:
    OSWM: the chapter's appendix, table 6; released code automl/oswm at 70647fb, priors/rl_prior.py (``HPStepNN``).
"""

import itertools
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import NamedTuple, TypeVar

import jax
import jax.numpy as jnp

LAYER_NORM_EPSILON = 1e-5  # PyTorch's
_MOST_TERMS = 32  # most terms of a product that is written out; more take long to compile

_TWO_PI_COARSE = 6.28125  # few enough bits that a small integer times it is exact (Cody and Waite)
_TWO_PI_REST = 0.0019353071795864769
# Coefficients of t (p0 + p1 t^2 + ...) / (1 + q1 t^2 + ...) with the least largest error on [-bound, bound], found by
# Lawson's iteration on 4,000 Chebyshev points. The error is below 2e-6 for tanh and 1e-6 for sine, rounding included.
_SINE = (1.0, -0.141643688, 0.00446910504, -3.88648514e-05, 0.0250229947, 0.000306247879, 2.07578159e-06)
_TANH = (0.999996126, 0.123151399, 0.00228858599, 3.98521979e-06, 0.456471264, 0.0211261418, 0.000143615121)
_SINE_BOUND, _TANH_BOUND = 3.14159274, 6.9
# The same for a sine on +-sqrt(15), beyond which LayerNorm lets nothing through of 16 units: here no turns have to be
# subtracted.
_WIDE_SINE = (
    1.00000012,
    -0.141211733,
    0.00441283174,
    -3.7597747e-05,
    0.0254551917,
    0.000321830652,
    2.39510427e-06,
)
_WIDE_BOUND = 3.88

Out = TypeVar("Out")


class Curve(NamedTuple):
    """One activation as numbers, so that networks with different ones run through the same instructions.

    It is ``offset + rational(clip(x - 2 pi round(x turns)))``, or max(x, 0). All fields [...] or [N, ...]. A field that
    none of a config's activations needs is None and costs nothing.

    Attributes:
        turns: 1 / (2 pi) for a sine, else 0.
        bound: the rational function's domain; beyond it tanh and sigmoid are flat.
        rational: numerator p0 to p3, then denominator q1 to q3 (q0 is 1). [..., 7].
        offset: what is added.
        is_relu: whether all this is replaced by max(x, 0).
    """

    turns: jax.Array | None
    bound: jax.Array
    rational: jax.Array
    offset: jax.Array | None
    is_relu: jax.Array | None


@dataclass(frozen=True)
class NetworkConfig:
    """Table 6; the defaults are its final values.

    Attributes:
        width: units of every layer but the output.
        num_hidden: layers between the first and the output.
        bias: whether all layers have biases.
        activations: names to draw from, a layer at a time: any of sin, tanh, relu, sigmoid.
        layer_norm: whether hidden layers normalise before their activation.
        residual: whether the first layer's value before its activation is added behind every activation.
    """

    width: int = 16
    num_hidden: int = 1
    bias: bool = False
    activations: tuple[str, ...] = ("sin", "tanh")
    layer_norm: bool = True
    residual: bool = True

    def shapes(self, num_inputs: int) -> list[tuple[int, int]]:
        """Return rows and columns of each layer's kernel, from the first to the output; a bias is a last row."""
        rows = [num_inputs + self.bias, *[self.width + self.bias] * (self.num_hidden + 1)]
        return list(zip(rows, [*[self.width] * (self.num_hidden + 1), 1], strict=True))


class Layer(NamedTuple):
    """One layer of N networks.

    Attributes:
        kernel: [N, I, O], or with a bias as its last row [N, I + 1, O]. A kernel before LayerNorm is centred: the mean
            over its outputs is subtracted from each row, which does LayerNorm's subtraction.
        curve: activations [N].
    """

    kernel: jax.Array
    curve: Curve


class Networks(NamedTuple):
    """N networks: their layers from the first on, and the kernel of the output [N, I, 1] or [N, I + 1, 1]."""

    layers: tuple[Layer, ...]
    out: jax.Array


def curves(names: Sequence[str], normalized: bool = False) -> Curve:
    """Return the activations of these names (sin, tanh, sigmoid, relu) along a leading axis.

    Args:
        names: their names.
        normalized: whether they only ever see outputs of LayerNorm over at most 16 units.

    Raises:
        KeyError: for another name.
    """
    halved = [0.5 * c * 0.5 ** (2 * i + 1) for i, c in enumerate(_TANH[:4])]
    halved += [c * 0.5 ** (2 * i + 2) for i, c in enumerate(_TANH[4:])]  # sigmoid(x) = (1 + tanh(x / 2)) / 2
    table = {
        "sin": (_WIDE_BOUND, _WIDE_SINE) if normalized else (_SINE_BOUND, _SINE),
        "tanh": (_TANH_BOUND, _TANH),
        "sigmoid": (2 * _TANH_BOUND, halved),
        "relu": (_TANH_BOUND, _TANH),
    }

    def marked(name: str, value: float | bool) -> jax.Array | None:
        return jnp.asarray([value if other == name else 0 for other in names]) if name in names else None

    return Curve(
        None if normalized else marked("sin", 0.5 / math.pi),
        jnp.asarray([table[name][0] for name in names]),
        jnp.asarray([table[name][1] for name in names]),
        marked("sigmoid", 0.5),
        marked("relu", True),
    )


def activate(curve: Curve, x: jax.Array) -> jax.Array:
    """Apply one activation to x of any shape; the fields of ``curve`` are scalars but for ``rational`` [7]."""
    t, p, q = x, curve.rational[:4], curve.rational[4:]
    if curve.turns is not None:
        turn = jnp.round(x * curve.turns)
        t = (x - turn * _TWO_PI_COARSE) - turn * _TWO_PI_REST
    t = jnp.clip(t, -curve.bound, curve.bound)
    s = t * t
    above = t * (p[0] + s * (p[1] + s * (p[2] + s * p[3])))
    y = above / (1.0 + s * (q[0] + s * (q[1] + s * q[2])))
    if curve.offset is not None:
        y = y + curve.offset
    return y if curve.is_relu is None else jnp.where(curve.is_relu > 0, jnp.maximum(x, 0.0), y)


def draw(words: jax.Array, fan_in: jax.Array, num_inputs: int, config: NetworkConfig) -> Networks:
    """Draw N networks.

    Args:
        words: random words, uint32 [N, ``num_words(num_inputs, config)``].
        fan_in: inputs in use, int [N]. Unused rows are drawn too: their inputs are zero.
        num_inputs: inputs of the first layer.
        config: what they look like.
    """
    num_layers = config.num_hidden + 1
    weights = words[:, :-num_layers].astype(jnp.int32).astype(jnp.float32) * 2.0**-31  # uniform in [-1, 1)
    kernels, start = [], 0
    for place, (rows, columns) in enumerate(config.shapes(num_inputs)):
        kernel = weights[:, start : start + rows * columns].reshape(-1, rows, columns)
        start += rows * columns
        kernel = kernel * (
            jax.lax.rsqrt(fan_in.astype(jnp.float32))[:, None, None] if place == 0 else config.width**-0.5
        )
        if config.layer_norm and 0 < place < num_layers:
            kernel = kernel - kernel.mean(2, keepdims=True)
        kernels.append(kernel)
    layers = map(Layer, kernels[:-1], _draw_curves(words[:, -num_layers:], config))
    return Networks(tuple(layers), kernels[-1])


def _draw_curves(coins: jax.Array, config: NetworkConfig) -> list[Curve]:
    """Activations [N] of every layer but the output, from random words [N, layers]."""
    names, bounded = config.activations, config.layer_norm and config.width <= 16  # see _WIDE_SINE
    choice = ((coins >> 16) * len(names)) >> 16
    tables = [curves(names), *[curves(names, normalized=bounded)] * config.num_hidden]
    return [jax.tree.map(lambda field, i=i: field[choice[:, i]], table) for i, table in enumerate(tables)]


def num_words(num_inputs: int, config: NetworkConfig) -> int:
    """Return the number of random words that one network takes."""
    return sum(rows * columns for rows, columns in config.shapes(num_inputs)) + config.num_hidden + 1


def apply(networks: Networks, inputs: Sequence[jax.Array], config: NetworkConfig) -> jax.Array:
    """Return the outputs [N, E] of N networks, each on its own E inputs.

    The inputs come in pieces [N, I1, E], [N, I2, E], ...
    """
    many = jax.vmap(activate)
    first, *hidden = networks.layers
    z = _affine(first.kernel, inputs)
    h = many(first.curve, z) + z if config.residual else many(first.curve, z)
    for layer in hidden:
        y = _affine(layer.kernel, [h.swapaxes(1, 2)])
        if config.layer_norm:
            # Sums over units as products with vectors: as reductions they take up to ten times as long.
            variance = jnp.dot(y * y, jnp.full((config.width,), 1.0 / config.width))
            y = y * jax.lax.rsqrt(variance + LAYER_NORM_EPSILON)[:, :, None]
        h = many(layer.curve, y) + z if config.residual else many(layer.curve, y)
    told = jnp.einsum("neu,nu->ne", h, networks.out[:, : config.width, 0])
    return told + networks.out[:, config.width] if config.bias else told


def _affine(kernel: jax.Array, inputs: Sequence[jax.Array]) -> jax.Array:
    """Apply a layer before its activation: inputs in pieces [N, I1, E], [N, I2, E], ... give [N, E, O]."""
    ends = list(itertools.accumulate(x.shape[1] for x in inputs))
    *kernels, bias = jnp.split(kernel, ends, axis=1)
    y = jnp.asarray(sum(_product(part, x) for part, x in zip(kernels, inputs, strict=True)))
    return y + bias if bias.shape[1] else y


def _product(kernel: jax.Array, x: jax.Array) -> jax.Array:
    """Multiply kernel [N, I, O] and x [N, I, E] to [N, E, O], as a sum of I outer products if these are few."""
    if kernel.shape[1] > _MOST_TERMS:
        return jnp.einsum("nie,nio->neo", x, kernel)
    terms = [x[:, i, :, None] * kernel[:, None, i, :] for i in range(kernel.shape[1])]
    return jnp.asarray(sum(terms[1:], terms[0]))


def bucket_sizes(mean: float, deviation: float, most: int) -> list[int]:
    """Return ascending sizes that fit a count of this mean and standard deviation closely; the last is ``most``."""
    sizes = {math.ceil(mean + z * deviation) for z in (-1.5, -0.75, 0.0, 0.75, 1.5, 3.0)}
    return [*sorted(size for size in sizes if 0 < size < most), most]


def run_bucket(count: jax.Array, sizes: Sequence[int], run: Callable[[int], Out]) -> Out:
    """Return ``run(size)`` for the smallest of the ascending ``sizes`` that holds ``count`` (traced, at most the last).

    It is a real branch, so only that size is computed; under ``vmap`` every size is computed and one selected.
    """
    index = jnp.searchsorted(jnp.asarray(sizes), count)
    return jax.lax.switch(index, [partial(run, size) for size in sizes])
