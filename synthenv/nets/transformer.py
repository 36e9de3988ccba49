"""A transformer over a context that is encoded once and then queried.

Context tokens attend to all context tokens, query tokens to the context alone: neither to each other nor to themselves.
Nothing in the context depends on a query, so the keys and values of every layer are computed once per context
(``encode``) and a query costs no more than its own row of every product (``query``). There is no positional encoding:
a context is a set.

A token is either context or query, and both attend to the same set, so training needs no second copy of any row.
``forward`` lets every token attend to those that the mask calls context. For the others the result is what ``query``
would have answered.

References:
    Vaswani et al. (2017), Attention is all you need. Müller et al. (2022), Transformers can do Bayesian inference, for
    the attention pattern. Initialisation is PyTorch's, with the released world model's zeros: see ``init``.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, NamedTuple

import jax
import jax.numpy as jnp

from synthenv.nets.linear import Linear, init_linear, linear, zero_linear
from synthenv.nets.residual_mlp import gelu

NORM_EPSILON = 1e-5
# This is added to the scores of tokens that are no context. It is finite, so that an empty context averages over its
# (zeroed) tokens instead of dividing 0 by 0, and so low that exp is exactly 0 as soon as there is one context token.
_MASKED = -1e30


@dataclass(frozen=True)
class TransformerConfig:
    """Static sizes and variants.

    Attributes:
        width: size of a token.
        num_heads: attention heads, each of ``width / num_heads``.
        hidden_size: units of a feed-forward block.
        num_layers: attention and feed-forward blocks.
        norm: LayerNorm behind each residual sum ("post", with none at the end) or in front of each branch and once
            at the end ("pre").
        zero_init_residual: start with every residual branch at exactly zero.

    Raises:
        ValueError: if the heads do not divide the width.
    """

    width: int
    num_heads: int
    hidden_size: int
    num_layers: int
    norm: Literal["post", "pre"]
    zero_init_residual: bool

    def __post_init__(self):
        if self.width % self.num_heads:
            raise ValueError(f"width={self.width} is no multiple of num_heads={self.num_heads}")


class Norm(NamedTuple):
    """LayerNorm's scale [W] and bias [W]."""

    scale: jax.Array
    bias: jax.Array


class Block(NamedTuple):
    """One layer: query, key, value and out [W] -> [W], up [W] -> [hidden], down [hidden] -> [W], a norm per half."""

    query: Linear
    key: Linear
    value: Linear
    out: Linear
    up: Linear
    down: Linear
    attention_norm: Norm
    feedforward_norm: Norm


class TransformerParams(NamedTuple):
    """Blocks, bottom first, and the last norm of a pre-norm transformer (None for a post-norm one)."""

    blocks: tuple[Block, ...]
    final_norm: Norm | None


class Cache(NamedTuple):
    """An encoded context: for each layer keys and values [H, C, W/H], and which tokens are context, bool [C].

    Heads first: with C in front, XLA's products on CPU take two to four times as long.
    """

    keys: tuple[jax.Array, ...]
    values: tuple[jax.Array, ...]
    mask: jax.Array


def _init_norm(width: int) -> Norm:
    return Norm(jnp.ones(width), jnp.zeros(width))


def _init_block(key: jax.Array, config: TransformerConfig) -> Block:
    """Draw one layer; see ``init`` for the distributions."""
    width, hidden = config.width, config.hidden_size
    in_key, out_key, up_key, down_key = jax.random.split(key, 4)
    # PyTorch stacks query, key and value to one [W, 3W] map, and Xavier's bound sees the sum of both sizes.
    bound = math.sqrt(6 / (width + 3 * width))
    kernels = jax.random.uniform(in_key, (3, width, width), minval=-bound, maxval=bound)
    query, key_map, value = (Linear(kernel, jnp.zeros(width)) for kernel in kernels)
    out = init_linear(out_key, width, width)._replace(bias=jnp.zeros(width))
    down = init_linear(down_key, hidden, width)
    if config.zero_init_residual:
        out, down = zero_linear(width, width), zero_linear(hidden, width)
    up = init_linear(up_key, width, hidden)
    return Block(query, key_map, value, out, up, down, _init_norm(width), _init_norm(width))


def init(key: jax.Array, config: TransformerConfig) -> TransformerParams:
    """Draw every layer on its own.

    Query, key and value: Xavier-uniform as one [W, 3W] map, biases zero. Out: uniform in +-1/sqrt(W), bias zero. The
    two feed-forward maps: PyTorch's ``Linear``. With ``zero_init_residual`` the weights and biases of out and of the
    second feed-forward map are zero instead.
    """
    # One program for all layers: on a CPU every call of jax.random costs compile time.
    stacked = jax.vmap(lambda k: _init_block(k, config))(jax.random.split(key, config.num_layers))
    blocks = tuple(jax.tree.map(lambda leaf: leaf[i], stacked) for i in range(config.num_layers))  # noqa: B023
    return TransformerParams(blocks, _init_norm(config.width) if config.norm == "pre" else None)


def layer_norm(params: Norm, x: jax.Array) -> jax.Array:
    """Normalise x [..., W] over W with the biased variance, then scale and shift."""
    centred = x - jnp.mean(x, axis=-1, keepdims=True)
    variance = jnp.mean(jnp.square(centred), axis=-1, keepdims=True)
    x = centred * jax.lax.rsqrt(variance + NORM_EPSILON)
    return x * jnp.broadcast_to(params.scale, x.shape) + jnp.broadcast_to(params.bias, x.shape)


def _split_heads(x: jax.Array, num_heads: int) -> jax.Array:
    """[..., N, W] to [..., H, N, W/H], or [W] to [H, W/H]."""
    x = x.reshape(*x.shape[:-1], num_heads, -1)
    return x if x.ndim == 2 else jnp.swapaxes(x, -2, -3)


def _attend(queries: jax.Array, keys: jax.Array, values: jax.Array, mask: jax.Array) -> jax.Array:
    """Mix values by attention.

    Args:
        queries: [H, Q, D], or [H, D] for one token.
        keys: [H, C, D].
        values: [H, C, D].
        mask: which of the C may be attended to, bool [C].

    Returns:
        heads side by side, [Q, H * D] or [H * D].
    """
    scale = 1 / math.sqrt(keys.shape[-1])
    scores = jnp.einsum("h...d,hcd->h...c", queries * scale, keys)
    scores = scores + jnp.broadcast_to(jnp.where(mask, 0.0, _MASKED), scores.shape)
    mixed = jnp.einsum("h...c,hcd->h...d", jax.nn.softmax(scores, axis=-1), values)
    mixed = mixed if mixed.ndim == 2 else jnp.swapaxes(mixed, 0, 1)
    return mixed.reshape(*mixed.shape[:-2], -1)


def bytes_per_pair(config: TransformerConfig) -> float:
    """Memory that ``encode`` takes for every pair of context rows: four times the scores, in single precision."""
    return 16.0 * config.num_heads


def _keys_values(block: Block, config: TransformerConfig, tokens: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Keys and values [H, C, W/H] of context tokens [C, W] at the entrance of a block."""
    x = layer_norm(block.attention_norm, tokens) if config.norm == "pre" else tokens
    keys, values = linear(block.key, x), linear(block.value, x)
    return _split_heads(keys, config.num_heads), _split_heads(values, config.num_heads)


def _add_branch(
    config: TransformerConfig, norm: Norm, x: jax.Array, branch: Callable[[jax.Array], jax.Array]
) -> jax.Array:
    """``x`` plus a branch of it, with the norm in front of the branch or behind the sum."""
    if config.norm == "pre":
        return x + branch(layer_norm(norm, x))
    return layer_norm(norm, x + branch(x))


def _apply_block(
    block: Block,
    config: TransformerConfig,
    tokens: jax.Array,
    keys_values: tuple[jax.Array, jax.Array],
    mask: jax.Array,
) -> jax.Array:
    """Take tokens [Q, W], or one [W], through a layer that attends to keys and values [H, C, W/H]."""

    def attention(x: jax.Array) -> jax.Array:
        queries = _split_heads(linear(block.query, x), config.num_heads)
        return linear(block.out, _attend(queries, *keys_values, mask))

    def feedforward(x: jax.Array) -> jax.Array:
        return linear(block.down, gelu(linear(block.up, x)))

    tokens = _add_branch(config, block.attention_norm, tokens, attention)
    return _add_branch(config, block.feedforward_norm, tokens, feedforward)


def _finish(params: TransformerParams, tokens: jax.Array) -> jax.Array:
    return tokens if params.final_norm is None else layer_norm(params.final_norm, tokens)


def encode(
    params: TransformerParams,
    config: TransformerConfig,
    tokens: jax.Array,
    mask: jax.Array,
    before: Cache | None = None,
) -> Cache:
    """Compute the keys and values of every layer for a context.

    Args:
        params: weights.
        config: their sizes.
        tokens: the context [C, W].
        mask: which of its rows count, bool [C]. The others have no influence on anything, be they NaN.
        before: a context encoded earlier, which these tokens attend to and which knows nothing of them; the result
            holds both.
    """
    tokens = jnp.where(jnp.broadcast_to(mask[:, None], tokens.shape), tokens, 0.0)
    mask = mask if before is None else jnp.concatenate([before.mask, mask])
    layers = []
    for i, block in enumerate(params.blocks):
        keys, values = _keys_values(block, config, tokens)
        if before is not None:
            keys = jnp.concatenate([before.keys[i], keys], axis=1)
            values = jnp.concatenate([before.values[i], values], axis=1)
        layers.append((keys, values))
        tokens = _apply_block(block, config, tokens, (keys, values), mask)  # the last one is dead code to XLA
    keys, values = zip(*layers, strict=True)
    return Cache(keys, values, mask)


def query(params: TransformerParams, config: TransformerConfig, cache: Cache, tokens: jax.Array) -> jax.Array:
    """Answer query tokens [..., W] with [..., W], each on its own.

    ``jax.vmap`` of a single token over a cache without that axis is the same matrix products as a batch of tokens.
    """
    shape = tokens.shape
    tokens = tokens if tokens.ndim == 1 else tokens.reshape(-1, config.width)
    for block, *keys_values in zip(params.blocks, cache.keys, cache.values, strict=True):
        tokens = _apply_block(block, config, tokens, (keys_values[0], keys_values[1]), cache.mask)
    return _finish(params, tokens).reshape(shape)


def forward(
    params: TransformerParams, config: TransformerConfig, tokens: jax.Array, mask: jax.Array
) -> jax.Array:
    """Take context and queries through in one pass, for training: each row is one of the two, and a single token.

    Args:
        params: weights.
        config: their sizes.
        tokens: the rows [T, W], finite.
        mask: which of them are context, bool [T]; the others are queries.

    Returns:
        [T, W]; for rows that are queries, what ``query`` answers after ``encode`` of the context.
    """
    for block in params.blocks:
        tokens = _apply_block(block, config, tokens, _keys_values(block, config, tokens), mask)
    return _finish(params, tokens)
