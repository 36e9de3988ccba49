"""The transformer of the one-shot world model as it was released: 14 columns in, a mean of 14 columns out.

A row x holds 11 state slots and 3 action slots; a row y holds 11 slots of the next state, two that are always zero, and
the reward. Both come normalised, and the prior decides which slots a task uses. A context token is the sum of the
encoded x and y of one transition, a query token is the encoded x alone.

References:
    The one-shot world model's paper, tables 4 and 7 of its appendix; initialisation, encoders and decoders as released.
    The paper has 4 heads, the released inference scripts build 8 over the same weights.
"""

from dataclasses import dataclass, replace
from typing import Literal, NamedTuple

import jax
import jax.numpy as jnp

from synthenv.nets import transformer
from synthenv.nets.residual_mlp import (
    ResidualMLPConfig,
    ResidualMLPParams,
    apply_residual_mlp,
    init_residual_mlp,
)
from synthenv.nets.transformer import Cache, TransformerConfig, TransformerParams

NUM_STATE, NUM_ACTION, NUM_UNUSED = 11, 3, 2
NUM_COLUMNS = NUM_STATE + NUM_ACTION  # columns of x; y has NUM_STATE + NUM_UNUSED + 1, as many


@dataclass(frozen=True)
class PaperModelConfig:
    """Tables 4 and 7.

    Attributes:
        transformer: the stack.
        encoder_type: "cat" encodes state and action (next state and reward) apart and writes each to a quarter of the
            token, x to the first half and y to the second; "mlp" encodes all columns together to the whole token.
        encoder: the net that encodes x, y or each of their two parts.
        decoder_type: "cat" decodes next state and reward apart and fills the unused columns with zeros; "mlp"
            decodes all columns together.
        decoder: the net that decodes the token, or each part.

    Raises:
        ValueError: if a "cat" encoder cannot quarter the token.
    """

    transformer: TransformerConfig
    encoder_type: Literal["cat", "mlp"]
    encoder: ResidualMLPConfig
    decoder_type: Literal["cat", "mlp"]
    decoder: ResidualMLPConfig

    def __post_init__(self):
        if self.encoder_type == "cat" and self.transformer.width % 4:
            raise ValueError(f"a cat encoder needs a width that 4 divides, got {self.transformer.width}")


PAPER = PaperModelConfig(
    transformer=TransformerConfig(512, 4, 1024, 6, norm="post", zero_init_residual=True),
    encoder_type="cat",
    encoder=ResidualMLPConfig(width=512, depth=3, activation="gelu", bias=True, residual=True),
    decoder_type="cat",
    decoder=ResidualMLPConfig(width=64, depth=2, activation="sigmoid", bias=False, residual=True),
)
PRESETS: dict[str, PaperModelConfig] = {
    "paper": PAPER,
    # Weights fit any number of heads. So weights that were trained with 4 heads load here, but attend in another way.
    "released_inference_heads": replace(PAPER, transformer=replace(PAPER.transformer, num_heads=8)),
}


class PaperModelParams(NamedTuple):
    """The nets of each encoder and of the decoder: one for each part, state or next state first, or a single one."""

    encoder_x: tuple[ResidualMLPParams, ...]
    encoder_y: tuple[ResidualMLPParams, ...]
    transformer: TransformerParams
    decoder: tuple[ResidualMLPParams, ...]


def init(key: jax.Array, config: PaperModelConfig) -> PaperModelParams:
    """Draw all weights: MLPs as PyTorch's ``Linear``, the stack as ``transformer.init``."""
    x_key, y_key, stack_key, decoder_key = jax.random.split(key, 4)
    width = config.transformer.width

    def nets(
        key: jax.Array, mlp: ResidualMLPConfig, sizes: list[tuple[int, int]]
    ) -> tuple[ResidualMLPParams, ...]:
        return tuple(
            init_residual_mlp(k, mlp, *s)
            for k, s in zip(jax.random.split(key, len(sizes)), sizes, strict=True)
        )

    if config.encoder_type == "cat":
        x_sizes, y_sizes = ([(NUM_STATE, width // 4), (n, width // 4)] for n in (NUM_ACTION, 1))
    else:
        x_sizes = y_sizes = [(NUM_COLUMNS, width)]
    cat = config.decoder_type == "cat"
    out_sizes = [(width, NUM_STATE), (width, 1)] if cat else [(width, NUM_COLUMNS)]
    return PaperModelParams(
        encoder_x=nets(x_key, config.encoder, x_sizes),
        encoder_y=nets(y_key, config.encoder, y_sizes),
        transformer=transformer.init(stack_key, config.transformer),
        decoder=nets(decoder_key, config.decoder, out_sizes),
    )


def _encode_x(params: PaperModelParams, config: PaperModelConfig, x: jax.Array) -> jax.Array:
    """Return tokens [..., W] of x [..., 14]; a "cat" encoder leaves the second half zero."""
    parts = [x[..., :NUM_STATE], x[..., NUM_STATE:]] if config.encoder_type == "cat" else [x]
    codes = [
        apply_residual_mlp(p, config.encoder, part) for p, part in zip(params.encoder_x, parts, strict=True)
    ]
    return _fill(config, codes, in_front=False)


def _encode_y(params: PaperModelParams, config: PaperModelConfig, y: jax.Array) -> jax.Array:
    """Return tokens [..., W] of y [..., 14].

    A "cat" encoder does not see unused columns, and leaves the first half zero.
    """
    parts = [y[..., :NUM_STATE], y[..., -1:]] if config.encoder_type == "cat" else [y]
    codes = [
        apply_residual_mlp(p, config.encoder, part) for p, part in zip(params.encoder_y, parts, strict=True)
    ]
    return _fill(config, codes, in_front=True)


def _fill(config: PaperModelConfig, codes: list[jax.Array], in_front: bool) -> jax.Array:
    """Lay codes side by side and fill up to the token's width with zeros, in front of them or behind."""
    missing = config.transformer.width - sum(code.shape[-1] for code in codes)
    zeros = [jnp.zeros((*codes[0].shape[:-1], missing))]
    return jnp.concatenate(zeros + codes if in_front else codes + zeros, axis=-1)


def _decode(params: PaperModelParams, config: PaperModelConfig, tokens: jax.Array) -> jax.Array:
    """Return predictions [..., 14] from the stack's output [..., W]."""
    parts = [apply_residual_mlp(p, config.decoder, tokens) for p in params.decoder]
    if config.decoder_type == "cat":
        parts.insert(1, jnp.zeros((*tokens.shape[:-1], NUM_UNUSED)))
    return jnp.concatenate(parts, axis=-1)


def encode_context(
    params: PaperModelParams, config: PaperModelConfig, x: jax.Array, y: jax.Array, mask: jax.Array
) -> Cache:
    """Encode transitions once, after which they can be queried any number of times.

    Args:
        params: weights.
        config: their sizes.
        x: states and actions, normalised [C, 14].
        y: next states and rewards, normalised [C, 14].
        mask: which rows count, bool [C].
    """
    tokens = _encode_x(params, config, x) + _encode_y(params, config, y)
    return transformer.encode(params.transformer, config.transformer, tokens, mask)


def predict(params: PaperModelParams, config: PaperModelConfig, cache: Cache, x: jax.Array) -> jax.Array:
    """Return normalised next states and rewards [..., 14] after states and actions x [..., 14]."""
    tokens = _encode_x(params, config, x)
    return _decode(params, config, transformer.query(params.transformer, config.transformer, cache, tokens))


def predict_rows(
    params: PaperModelParams, config: PaperModelConfig, x: jax.Array, y: jax.Array, is_context: jax.Array
) -> jax.Array:
    """Predict the rows [T, 14] of one sequence from those that are context, for training.

    Rows of the context are predicted too, but have seen their own y.

    Args:
        params: weights.
        config: their sizes.
        x: states and actions, normalised [T, 14].
        y: next states and rewards, normalised [T, 14]; only those of the context are read.
        is_context: bool [T].
    """
    tokens_y = _encode_y(params, config, y)
    tokens_y = jnp.where(jnp.broadcast_to(is_context[:, None], tokens_y.shape), tokens_y, 0.0)
    tokens = _encode_x(params, config, x) + tokens_y
    return _decode(
        params, config, transformer.forward(params.transformer, config.transformer, tokens, is_context)
    )


def loss(
    params: PaperModelParams,
    config: PaperModelConfig,
    x: jax.Array,
    y: jax.Array,
    num_context: int | jax.Array,
    columns: jax.Array | None = None,
) -> jax.Array:
    """Return the mean squared error [] over the rows ``t >= num_context``, predicted from those before.

    An integer ``num_context`` slices the rows and compiles once per value. A traced one masks them, in one program for
    all values. As a row is either context or query, it needs one token there too; wasted are only the keys, values and
    encoded y of the queries, and the last layer of the context.

    Args:
        params: weights.
        config: their sizes.
        x: states and actions, normalised [B, T, 14].
        y: next states and rewards, normalised [B, T, 14].
        num_context: rows that are context, an integer or traced [], below T.
        columns: which columns of y the task has, bool [B, 14]; each counts the same. None is the released loss,
            which takes the mean over all 14, so that a task of d state variables has the weight (d + 1) / 14.
    """
    is_query = jnp.arange(x.shape[1]) >= num_context
    if isinstance(num_context, int):
        n = num_context
        encoded = jax.vmap(lambda x, y: encode_context(params, config, x, y, jnp.ones(n, bool)))(
            x[:, :n], y[:, :n]
        )
        predictions = jax.vmap(lambda cache, x: predict(params, config, cache, x))(encoded, x[:, n:])
        is_query, y = is_query[n:], y[:, n:]
    else:
        predictions = jax.vmap(lambda x, y: predict_rows(params, config, x, y, ~is_query))(x, y)
    errors = jnp.square(predictions - y)
    counts = jnp.broadcast_to(is_query[None, :, None], errors.shape)
    if columns is not None:
        counts &= jnp.broadcast_to(columns[:, None, :], errors.shape)
    return jnp.sum(jnp.where(counts, errors, 0.0)) / jnp.sum(counts)
