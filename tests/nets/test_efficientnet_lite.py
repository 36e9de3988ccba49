"""The image network against one written in loops of NumPy, and cut into parts."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from synthenv.nets import efficientnet_lite as lite

TINY = lite.EfficientNetLiteConfig(0.1, 0.5, num_stem=8, num_features=16)


def same_padded(x: np.ndarray, kernel: int, stride: int) -> tuple[np.ndarray, int, int]:
    """TensorFlow's SAME: as many outputs as strides begun, and the odd row of padding behind."""
    sizes = [-(-n // stride) for n in x.shape[1:3]]
    totals = [max((m - 1) * stride + kernel - n, 0) for n, m in zip(x.shape[1:3], sizes, strict=True)]
    pads = [(t // 2, t - t // 2) for t in totals]
    return np.pad(x, ((0, 0), *pads, (0, 0))), *sizes


def convolve(x: np.ndarray, kernel: np.ndarray, stride: int, per_channel: bool) -> np.ndarray:
    """One output pixel after the other."""
    size = kernel.shape[0]
    padded, h, w = same_padded(x, size, stride)
    out = np.zeros((x.shape[0], h, w, kernel.shape[-1]))
    for b, i, j in itertools.product(range(x.shape[0]), range(h), range(w)):
        patch = padded[b, i * stride : i * stride + size, j * stride : j * stride + size]
        out[b, i, j] = (
            (patch * kernel).sum((0, 1))
            if per_channel
            else np.tensordot(patch, kernel, ([0, 1, 2], [0, 1, 2]))
        )
    return out


def normed(x: np.ndarray, conv: lite.Conv, seen: lite.Statistics, relu: bool) -> np.ndarray:
    x = (x - np.asarray(seen.mean)) / np.sqrt(np.asarray(seen.var) + 1e-3) * np.asarray(conv.scale)
    x = x + np.asarray(conv.bias)
    return np.minimum(np.maximum(x, 0), 6) if relu else x


def oracle(units, statistics, config: lite.EfficientNetLiteConfig, x: np.ndarray) -> np.ndarray:
    """The features, with running statistics."""
    kernels = [[np.asarray(conv.kernel, np.float64) for conv in unit] for unit in units]
    x = normed(convolve(x, kernels[0][0], 2, False), units[0][0], statistics[0][0], True)
    for block, unit, kernel, seen in zip(config.blocks, units[1:], kernels[1:], statistics[1:], strict=False):
        before, n = x, 0
        if block.expansion > 1:
            x, n = normed(x @ kernel[0], unit[0], seen[0], True), 1
        x = normed(convolve(x, kernel[n], block.stride, True), unit[n], seen[n], True)
        x = normed(x @ kernel[n + 1], unit[n + 1], seen[n + 1], False)
        x = x + before if x.shape == before.shape else x
    return normed(x @ kernels[-1][0], units[-1][0], statistics[-1][0], True).mean((1, 2))


@pytest.fixture(scope="module")
def network():
    """A tiny network whose norms have statistics of their own."""
    units, statistics = lite.init_units(jax.random.key(0), TINY)
    key = jax.random.key(1)
    drawn = jax.tree.map(
        lambda x: 0.5 + jax.random.uniform(jax.random.fold_in(key, x.size), x.shape), statistics
    )
    return units, drawn


IMAGES = np.random.default_rng(0).normal(size=(2, 13, 18, 3)).astype(np.float32)


@pytest.mark.parametrize("shape", [(13, 18), (32, 32)])
def test_features_are_those_of_loops(network, shape):
    x = np.random.default_rng(sum(shape)).normal(size=(2, *shape, 3)).astype(np.float32)
    features, _ = jax.jit(lambda x: lite.apply_units(*network, TINY, x))(x)
    np.testing.assert_allclose(features, oracle(*network, TINY, x), rtol=2e-4, atol=2e-5)


@pytest.mark.parametrize(("size", "kernel", "stride"), [(1, 5, 1), (2, 5, 1), (5, 3, 2), (6, 5, 2)])
def test_depthwise_leaves_out_only_taps_that_meet_padding(size, kernel, stride):
    x = jax.random.normal(jax.random.key(2), (2, size, size + 1, 4))
    taps = jax.random.normal(jax.random.key(3), (kernel, kernel, 4))
    found = jax.jit(lite.depthwise, static_argnums=2)(x, taps, stride)
    expected = convolve(np.asarray(x), np.asarray(taps), stride, True)
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-5)


def test_parts_of_the_network_are_the_whole(network):
    units, statistics = network
    x = jnp.asarray(IMAGES)
    for first, end in ((0, 4), (4, TINY.num_units)):
        part = jax.jit(lite.apply_units, static_argnums=(2, 4))
        x, _ = part(units[first:end], statistics[first:end], TINY, x, first)
    np.testing.assert_allclose(x, oracle(units, statistics, TINY, IMAGES), rtol=2e-4, atol=2e-5)


def test_training_norms_by_the_batch_and_moves_the_running_statistics(network):
    units, statistics = network
    stem = jax.jit(lambda x: lite.apply_units(units[:1], statistics[:1], TINY, x, train=True))
    x, seen = stem(IMAGES)
    raw = convolve(IMAGES, np.asarray(units[0][0].kernel), 2, False)
    batch = lite.Statistics(raw.mean((0, 1, 2)), raw.var((0, 1, 2)))
    np.testing.assert_allclose(x, normed(raw, units[0][0], batch, True), rtol=1e-3, atol=1e-4)
    for new, old, now in zip(seen[0][0], statistics[0][0], batch, strict=True):
        np.testing.assert_allclose(new, 0.9 * old + 0.1 * now, rtol=1e-4)


@pytest.mark.parametrize(
    ("width", "depth", "blocks", "millions"),
    [(1.0, 1.0, 16, 3.371), (1.0, 1.1, 21, 4.136), (1.1, 1.2, 21, 4.811)],
)
def test_the_family_has_the_published_sizes(width, depth, blocks, millions):
    config = lite.EfficientNetLiteConfig(width, depth)
    units, _ = jax.eval_shape(lambda: lite.init_units(jax.random.key(0), config))
    assert len(config.blocks) == blocks and config.num_units == blocks + 2
    size = sum(leaf.size for leaf in jax.tree.leaves(units))
    assert round(size / 1e6, 3) == millions  # the published 4.65, 5.42 and 6.09 with 1.281 of the classifier
