"""EfficientNet-lite: image networks of inverted bottlenecks without squeeze-and-excitation, made for fine-tuning.

The network is a row of *units*: the stem, the blocks, and the head before the pooling. ``apply_units`` runs a part of
the row, so that a frozen beginning can be computed once and its output kept. A classifier follows the pooled features.

Images are [B, H, W, 3], of any size, in [-1, 1] as :func:`normalise` makes them. Pointwise convolutions are matrix
products and depthwise ones sums of shifted images: on a CPU XLA's own gradients of grouped convolutions take several
times as long (``depthwise``).

References:
    Tan & Le, "EfficientNet", 2019; sizes, padding and the epsilon of the norms as in the TensorFlow code of the lite
    variants, whose stem, head and number of blocks in the first and last stage do not scale.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import lax

# repeats, kernel, stride, expansion, in, out
STAGES = (
    (1, 3, 1, 1, 32, 16),
    (2, 3, 2, 6, 16, 24),
    (2, 5, 2, 6, 24, 40),
    (3, 3, 2, 6, 40, 80),
    (3, 5, 1, 6, 80, 112),
    (4, 5, 2, 6, 112, 192),
    (1, 3, 1, 6, 192, 320),
)
_EPSILON = 1e-3


@dataclass(frozen=True)
class EfficientNetLiteConfig:
    """Which of the family.

    Attributes:
        width: coefficient of the number of channels.
        depth: coefficient of the number of blocks in a stage.
        num_stem: channels of the stem.
        num_features: channels of the head, which are the features.
        norm_decay: of the norms' running statistics, a training step.
    """

    width: float = 1.0
    depth: float = 1.0
    num_stem: int = 32
    num_features: int = 1280
    norm_decay: float = 0.9

    @property
    def blocks(self) -> "tuple[BlockShape, ...]":
        """The blocks in their order."""
        blocks: list[BlockShape] = []
        last = len(STAGES) - 1
        for i, (repeats, kernel, stride, expansion, _, out) in enumerate(STAGES):
            repeats = repeats if i in (0, last) else math.ceil(self.depth * repeats)
            for n in range(repeats):
                before = blocks[-1].num_out if blocks else self.num_stem
                out_size = _rounded(out * self.width)
                blocks.append(BlockShape(kernel, 1 if n else stride, expansion, before, out_size))
        return tuple(blocks)

    @property
    def num_units(self) -> int:
        """Units: the stem, the blocks and the head."""
        return len(self.blocks) + 2


class BlockShape(NamedTuple):
    """What is static about a block."""

    kernel: int
    stride: int
    expansion: int
    num_in: int
    num_out: int


class Conv(NamedTuple):
    """A convolution and the scale and bias of the norm behind it.

    kernel: [k, k, in, out] of the stem, [in, out] of a pointwise, [k, k, channels] of a depthwise one.
    """

    kernel: jax.Array
    scale: jax.Array
    bias: jax.Array


class Statistics(NamedTuple):
    """Running mean and variance of a norm's input. [channels]"""

    mean: jax.Array
    var: jax.Array


Unit = tuple[Conv, ...]  # the stem's, the head's, or a block's [expand,] depthwise, project
UnitStatistics = tuple[Statistics, ...]


def normalise(images: jax.Array) -> jax.Array:
    """Bring uint8 or float images from [0, 255] to the range that the published weights were trained in."""
    return (images.astype(jnp.float32) - 127.0) / 128.0


def init_units(
    key: jax.Array, config: EfficientNetLiteConfig
) -> tuple[tuple[Unit, ...], tuple[UnitStatistics, ...]]:
    """Draw the weights of all units, normal with the variance 2 / fan-out; norms start as the identity."""
    shapes = unit_shapes(config)
    keys = iter(jax.random.split(key, sum(map(len, shapes))))

    def drawn(shape: tuple[int, ...]) -> Conv:
        out = shape[-1]
        taps = math.prod(shape[:2]) if len(shape) > 2 else 1
        fan_out = taps * (out if len(shape) != 3 else 1)
        kernel = jax.random.normal(next(keys), shape) * math.sqrt(2.0 / fan_out)
        return Conv(kernel, jnp.ones(out), jnp.zeros(out))

    units = tuple(tuple(drawn(shape) for shape in unit) for unit in shapes)
    statistics = tuple(
        tuple(Statistics(jnp.zeros(shape[-1]), jnp.ones(shape[-1])) for shape in unit) for unit in shapes
    )
    return units, statistics


def unit_shapes(config: EfficientNetLiteConfig) -> tuple[tuple[tuple[int, ...], ...], ...]:
    """The shapes of all kernels, unit by unit."""
    blocks = config.blocks
    shapes: list[tuple[tuple[int, ...], ...]] = [((3, 3, 3, config.num_stem),)]
    for block in blocks:
        inner = block.num_in * block.expansion
        expand = ((block.num_in, inner),) if block.expansion > 1 else ()
        shapes.append((*expand, (block.kernel, block.kernel, inner), (inner, block.num_out)))
    return (*shapes, ((blocks[-1].num_out, config.num_features),))


def apply_units(
    units: Sequence[Unit],
    statistics: Sequence[UnitStatistics],
    config: EfficientNetLiteConfig,
    x: jax.Array,
    first: int = 0,
    train: bool = False,
) -> tuple[jax.Array, tuple[UnitStatistics, ...]]:
    """Run some units that follow each other.

    Args:
        units: their weights.
        statistics: of their norms.
        config: of the whole network.
        x: images [B, H, W, 3] or what the unit before put out. [B, h, w, channels]
        first: the place of ``units[0]`` among all.
        train: whether norms use the statistics of the batch, rather than the running ones.

    Returns:
        the output, which behind the head is pooled [B, num_features], and the running statistics.
    """
    blocks, new = config.blocks, []
    for place, (unit, norms) in enumerate(zip(units, statistics, strict=True), first):
        if place == 0:
            x, norm = _norm(_full(x, unit[0].kernel), unit[0], norms[0], config, train)
            x, seen = _relu6(x), (norm,)
        elif place <= len(blocks):
            x, seen = _block(unit, norms, blocks[place - 1], config, x, train)
        else:
            x, norm = _norm(_pointwise(x, unit[0].kernel), unit[0], norms[0], config, train)
            x, seen = _relu6(x).mean((1, 2)), (norm,)
        new.append(seen)
    return x, tuple(new)


def _block(
    unit: Unit,
    norms: UnitStatistics,
    shape: BlockShape,
    config: EfficientNetLiteConfig,
    x: jax.Array,
    train: bool,
) -> tuple[jax.Array, UnitStatistics]:
    before, seen, last = x, [], len(unit) - 1
    for i, (conv, norm) in enumerate(zip(unit, norms, strict=True)):
        x = depthwise(x, conv.kernel, shape.stride) if i == last - 1 else _pointwise(x, conv.kernel)
        x, norm = _norm(x, conv, norm, config, train)
        x = x if i == last else _relu6(x)
        seen.append(norm)
    return (x + before if shape.stride == 1 and shape.num_in == shape.num_out else x), tuple(seen)


def depthwise(x: jax.Array, kernel: jax.Array, stride: int) -> jax.Array:
    """Convolve every channel of x [B, H, W, C] with its own kernel [k, k, C]; padding as TensorFlow's SAME.

    Taps that only ever meet padding, as those at the rim of a 5 x 5 kernel on a 2 x 2 image, are left out.
    """
    size = kernel.shape[0]
    (h, w), taps = x.shape[1:3], range(size)
    (top, bottom), (left, right) = _same(h, size, stride), _same(w, size, stride)
    out_h, out_w = -(-h // stride), -(-w // stride)
    padded = jnp.pad(x, ((0, 0), (top, bottom), (left, right), (0, 0)))
    rows = [i for i in taps if i + (out_h - 1) * stride >= top and i < top + h]
    columns = [j for j in taps if j + (out_w - 1) * stride >= left and j < left + w]
    out = jnp.zeros((x.shape[0], out_h, out_w, x.shape[3]), x.dtype)
    for i in rows:
        for j in columns:
            end = (x.shape[0], i + (out_h - 1) * stride + 1, j + (out_w - 1) * stride + 1, x.shape[3])
            shifted = lax.slice(padded, (0, i, j, 0), end, (1, stride, stride, 1))
            out = out + shifted * kernel[None, None, None, i, j]
    return out


def _full(x: jax.Array, kernel: jax.Array) -> jax.Array:
    """The stem's convolution."""
    return lax.conv_general_dilated(x, kernel, (2, 2), "SAME", dimension_numbers=("NHWC", "HWIO", "NHWC"))


def _pointwise(x: jax.Array, kernel: jax.Array) -> jax.Array:
    return (x.reshape(-1, x.shape[-1]) @ kernel).reshape(*x.shape[:-1], -1)


def _norm(
    x: jax.Array, conv: Conv, running: Statistics, config: EfficientNetLiteConfig, train: bool
) -> tuple[jax.Array, Statistics]:
    mean, var = running
    if train:
        mean = x.mean((0, 1, 2))
        var = jnp.maximum(jnp.square(x).mean((0, 1, 2)) - jnp.square(mean), 0.0)
        kept = config.norm_decay
        seen = Statistics(mean, var)
        running = jax.tree.map(
            lambda old, now: kept * old + (1 - kept) * lax.stop_gradient(now), running, seen
        )
    scale = conv.scale * lax.rsqrt(var + _EPSILON)
    shift = conv.bias - mean * scale
    return x * scale[None, None, None] + shift[None, None, None], running


def _relu6(x: jax.Array) -> jax.Array:
    return jnp.clip(x, 0.0, 6.0)


def _same(size: int, kernel: int, stride: int) -> tuple[int, int]:
    """Padding before and behind."""
    total = max((-(-size // stride) - 1) * stride + kernel - size, 0)
    return total // 2, total - total // 2


def _rounded(channels: float) -> int:
    """The nearest multiple of 8 that loses at most a tenth."""
    rounded = max(8, int(channels + 4) // 8 * 8)
    return rounded + 8 if rounded < 0.9 * channels else rounded
