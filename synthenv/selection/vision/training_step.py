"""The compiled parts of a fine-tuning: what is frozen, the gradient of the rest, the optimiser's step, and a test.

What is trained lies in one flat vector, the classifier at its end, so that one small program is every optimiser. The
classifier has columns for a multiple of 16 classes, and those too many are masked. Every number of the settings is
traced: a program goes by the network, by how many units are frozen, and by the shapes of its arrays.
"""

import math
from functools import cache, partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from synthenv.nets.efficientnet_lite import (
    Conv,
    EfficientNetLiteConfig,
    Unit,
    UnitStatistics,
    apply_units,
    normalise,
    unit_shapes,
)

_NEVER = -1e9  # the logit of a class that there is not


class Trained(NamedTuple):
    """What is trained: the last units, and kernel [num_features, K] and bias [K] of the classifier."""

    units: tuple[Unit, ...]
    kernel: jax.Array
    bias: jax.Array


class TuneState(NamedTuple):
    """A fine-tuning between two steps.

    Attributes:
        params: what is trained. float32 [P]
        first: the optimiser's mean of gradients, or its momentum. [P]
        second: its mean of squares. [P]
        statistics: of the trained units' norms.
        step: steps so far. int32
    """

    params: jax.Array
    first: jax.Array
    second: jax.Array
    statistics: tuple[UnitStatistics, ...]
    step: jax.Array


class Rates(NamedTuple):
    """What the optimiser is told: vectors [P] and numbers.

    Attributes:
        scale: by which learning rates differ. [P]
        decayed: 1 where weights decay, else 0. [P]
        anchor: the pretrained weights. [P]
        anchored: 1 where these pull, else 0. [P]
        weight_decay: how strongly weights decay.
        sp_reg: how strongly the pretrained weights pull.
        clip: greatest norm of a gradient; 0 for none.
        beta1: how much of the mean of gradients, or of the momentum, stays.
        beta2: the same of the mean of squares.
        is_adam: rather than SGD.
        is_decoupled: whether weights decay aside from the gradient.
    """

    scale: jax.Array
    decayed: jax.Array
    anchor: jax.Array
    anchored: jax.Array
    weight_decay: jax.Array
    sp_reg: jax.Array
    clip: jax.Array
    beta1: jax.Array
    beta2: jax.Array
    is_adam: jax.Array
    is_decoupled: jax.Array


@cache
def template(config: EfficientNetLiteConfig, frozen: int, classes: int) -> Trained:
    """The shapes of what is trained."""

    def shape(*sizes: int) -> Any:
        return jax.ShapeDtypeStruct(sizes, jnp.float32)

    units = tuple(
        tuple(Conv(*(shape(*sizes) for sizes in (kernel, kernel[-1:], kernel[-1:]))) for kernel in unit)
        for unit in unit_shapes(config)[frozen:]
    )
    return Trained(units, shape(config.num_features, classes), shape(classes))


def flat(trained: Trained) -> np.ndarray:
    """What is trained as a vector, in the order in which it is taken apart again. float32 [P]"""
    return np.concatenate([np.ravel(leaf) for leaf in jax.tree.leaves(trained)]).astype(np.float32)


@partial(jax.jit, static_argnames=("config", "resolution"))
def frozen_part(
    units: tuple[Unit, ...],
    statistics: tuple[UnitStatistics, ...],
    images: jax.Array,
    config: EfficientNetLiteConfig,
    resolution: int,
) -> jax.Array:
    """What the frozen units make of images [B, H, W, 1 or 3], scaled to the resolution. [B, ...]"""
    x = jnp.broadcast_to(normalise(images), (*images.shape[:3], 3))
    x = jax.image.resize(x, (len(images), resolution, resolution, 3), "linear")
    return apply_units(units, statistics, config, x)[0]


def _taken_apart(params: jax.Array, config: EfficientNetLiteConfig, frozen: int, classes: int) -> Trained:
    shapes, structure = jax.tree.flatten(template(config, frozen, classes))
    ends = np.cumsum([math.prod(leaf.shape) for leaf in shapes])
    parts = jnp.split(params, ends[:-1])
    leaves = [part.reshape(leaf.shape) for part, leaf in zip(parts, shapes, strict=True)]
    return jax.tree.unflatten(structure, leaves)


@partial(jax.jit, static_argnames=("config", "frozen"))
def gradient(
    params: jax.Array,
    statistics: tuple[UnitStatistics, ...],
    key: jax.Array,
    x: jax.Array,
    targets: jax.Array,
    drop: jax.Array,
    config: EfficientNetLiteConfig,
    frozen: int,
) -> tuple[jax.Array, jax.Array, tuple[UnitStatistics, ...]]:
    """The mean cross-entropy of a batch, and its gradient.

    Args:
        params: what is trained. [P]
        statistics: of its norms.
        key: drops features.
        x: what the frozen units put out. [B, ...]
        targets: probabilities; a class that no image may have is negative throughout. [B, K]
        drop: share of features that are dropped.
        config: of the network.
        frozen: how many units are.

    Returns:
        the loss, its gradient [P], and the running statistics after it.
    """

    def loss(trained: Trained):
        features, seen = apply_units(trained.units, statistics, config, x, frozen, train=True)
        kept = jax.random.uniform(key, features.shape) >= drop
        scores = _scores(trained, jnp.where(kept, features / (1 - drop), 0.0), targets[0] >= 0)
        losses = -(jnp.maximum(targets, 0.0) * jax.nn.log_softmax(scores)).sum(1)
        return losses.mean(), seen

    trained = _taken_apart(params, config, frozen, targets.shape[1])
    (value, seen), slopes = jax.value_and_grad(loss, has_aux=True)(trained)
    return value, jnp.concatenate([leaf.ravel() for leaf in jax.tree.leaves(slopes)]), seen


@partial(jax.jit, static_argnames=("config", "frozen"))
def predict(
    params: jax.Array,
    statistics: tuple[UnitStatistics, ...],
    x: jax.Array,
    present: jax.Array,
    config: EfficientNetLiteConfig,
    frozen: int,
) -> jax.Array:
    """Logits [B, K] with running statistics; ``present`` [K] says which classes there are."""
    trained = _taken_apart(params, config, frozen, present.size)
    features, _ = apply_units(trained.units, statistics, config, x, frozen)
    return _scores(trained, features, present)


def _scores(trained: Trained, features: jax.Array, present: jax.Array) -> jax.Array:
    return features @ trained.kernel + (trained.bias + jnp.where(present, 0.0, _NEVER))[None]


@jax.jit
def optimise(state: TuneState, gradient: jax.Array, rates: Rates, lr: jax.Array) -> TuneState:
    """Take one step of SGD with momentum, Adam or AdamW, as torch does; ``lr`` is multiplied with each rate."""
    size = jnp.sqrt(jnp.square(gradient).sum())
    clipped = gradient * jnp.where(rates.clip > 0, jnp.minimum(1.0, rates.clip / (size + 1e-6)), 1.0)
    decay = rates.weight_decay * rates.decayed * state.params
    pull = 2 * rates.sp_reg * rates.anchored * (state.params - rates.anchor)
    slope = clipped + pull + jnp.where(rates.is_decoupled, 0.0, decay)
    step = state.step + 1
    mean_weight = jnp.where(rates.is_adam, 1 - rates.beta1, 1.0)
    first = rates.beta1 * state.first + mean_weight * slope
    second = rates.beta2 * state.second + (1 - rates.beta2) * jnp.square(slope)
    unbiased = second / (1 - rates.beta2**step)
    adam = first / (1 - rates.beta1**step) / (jnp.sqrt(unbiased) + 1e-8)
    move = jnp.where(rates.is_adam, adam, first) + jnp.where(rates.is_decoupled, decay, 0.0)
    return state._replace(
        params=state.params - lr * rates.scale * move, first=first, second=second, step=step
    )
