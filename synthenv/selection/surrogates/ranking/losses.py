"""Losses that teach a network which of two runs on one data set was better.

Every loss takes what the network says of an anchor, of a run that was worse and of one that was better, and the rows
they are. An anchor that has nothing worse or nothing better stands in for what is missing, and its pairs with itself
are masked.

References:
    Öztürk et al. (2022), Zero-shot AutoML with pretrained models, equations 4 and 5; the four weightings are those of
    the released code. Rendle et al. (2009) for Bayesian personalised ranking.

Axis letters here: B anchors.
"""

from typing import Literal, NamedTuple

import jax
import jax.numpy as jnp

Weighting = Literal["none", "v0", "v1", "v0_rank", "v1_rank"]


class Told(NamedTuple):
    """One side of a pair.

    Attributes:
        output: what the network says; higher is better. [B]
        score: what came of it. [B]
        rank: places from the data set's best run, as a share of the last place. [B]
    """

    output: jax.Array
    score: jax.Array
    rank: jax.Array


def pair_weight(weighting: Weighting, worse: Told, better: Told) -> jax.Array:
    """How much a pair counts. [B]

    v0 is exp(-d^2), v1 is d^2 of the difference d of the scores; v0_rank and v1_rank are the same of the ranks. So v0
    makes light of pairs that are far apart, and v1 of those that are close.
    """
    if weighting == "none":
        return jnp.ones_like(worse.score)
    by_rank = weighting.endswith("_rank")
    difference = worse.rank - better.rank if by_rank else better.score - worse.score
    return jnp.exp(-jnp.square(difference)) if weighting.startswith("v0") else jnp.square(difference)


def bpr(weighting: Weighting, worse: Told, anchor: Told, better: Told) -> jax.Array:
    """Cross-entropy of the order of three runs: anchor over worse, better over anchor, better over worse.

    The mean is over pairs of different scores; 0 if there are none. []
    """
    pairs = ((worse, anchor), (anchor, better), (worse, better))
    total, count = jnp.float32(0), jnp.float32(0)
    for low, high in pairs:
        differs = high.score > low.score
        loss = pair_weight(weighting, low, high) * jax.nn.softplus(low.output - high.output)
        total += jnp.sum(jnp.where(differs, loss, 0.0))
        count += jnp.sum(differs)
    return total / jnp.maximum(count, 1.0)


def triplet(worse: Told, anchor: Told, better: Told, margin: float = 1.0) -> jax.Array:
    """The anchor shall be closer to the better run than to the worse one, by a margin; runs without both do not count.

    On scalar outputs, as released: the loss says nothing of the sign, so that the outputs of one network may be turned
    round. []
    """
    has_both = (worse.score < anchor.score) & (anchor.score < better.score)
    near, far = jnp.abs(anchor.output - better.output), jnp.abs(anchor.output - worse.output)
    loss = jnp.where(has_both, jax.nn.relu(near - far + margin), 0.0)
    return jnp.sum(loss) / jnp.maximum(jnp.sum(has_both), 1.0)


def regression(output: jax.Array, target: jax.Array, gap: jax.Array | None = None) -> jax.Array:
    """Squared error; weighted by exp(-gap^2) of what the data set's best run is better by, if that is given. []"""
    weight = 1.0 if gap is None else jnp.exp(-jnp.square(gap))
    return jnp.mean(weight * jnp.square(output - target))
