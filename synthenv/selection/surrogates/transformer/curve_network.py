"""The network of the curve transformer: a run is a token, a question is a token, and answers are distributions.

A token is the sum of what the configuration is, what the data set is, and what was seen of the run. The question about
a candidate holds the same of the candidate itself, and asks the context about the others. So a curve needs no number to
know its points by, and any number of curves fits. The context has a token for each run that was started, not for each
step that was made, which is what lets a CPU answer in milliseconds.

Columns have no order and no fixed number. Each has a vector of its own, and a configuration is the sum over columns of
a few functions of the value times the column's vector. In random tasks the vectors are random; a real search space has
fixed ones, so that weights trained on it know its columns.

Runs on other data sets are encoded first, once per search: they see each other only, the runs at hand see both.

References:
    Rakotoarison et al. (2024), In-context freeze-thaw Bayesian optimization, for the idea of asking a transformer.
"""

from dataclasses import dataclass
from typing import NamedTuple

import jax
import jax.numpy as jnp

from synthenv.nets import transformer
from synthenv.nets.linear import Linear, init_linear, linear
from synthenv.nets.residual_mlp import gelu
from synthenv.nets.transformer import Cache, TransformerConfig, TransformerParams
from synthenv.selection.curve_prior.examples import NUM_SHOWN, Progress
from synthenv.selection.surrogates.transformer.curve_answers import Answer, mixture

_NUM_FUNCTIONS = 4  # of a column's value
_CLIP = 4.0
_CURVE_SIZE = NUM_SHOWN + 10
_ASK_SIZE = 4
_USUAL_LOG_SECONDS, _LOG_SECONDS_SCALE = 3.0, 2.0


@dataclass(frozen=True)
class ModelConfig:
    """Static sizes.

    Attributes:
        width: of a token.
        num_heads: attention heads.
        hidden_size: units of feed-forward blocks, encoders and head.
        num_layers: attention and feed-forward blocks.
        column_size: numbers of a column's own vector.
        num_normals: normal distributions that a forecast is mixed from; two thirds start at the last score.
        num_bins: of forecasts, equally wide.
    """

    width: int = 64
    num_heads: int = 4
    hidden_size: int = 128
    num_layers: int = 4
    column_size: int = 32
    num_normals: int = 6
    num_bins: int = 200

    @property
    def transformer(self) -> TransformerConfig:
        """Of the attention stack."""
        return TransformerConfig(
            self.width, self.num_heads, self.hidden_size, self.num_layers, "pre", zero_init_residual=True
        )


class MLP(NamedTuple):
    """One hidden layer."""

    first: Linear
    last: Linear


class Weights(NamedTuple):
    """Encoders of configurations, data sets, runs and questions; the stack; the head."""

    columns: MLP
    meta: Linear
    run: MLP
    question: MLP
    stack: TransformerParams
    head: MLP


class Context(NamedTuple):
    """Encoded runs, and what a candidate without any is taken to be like.

    Attributes:
        cache: of all tokens.
        score: mean last score of the runs at hand. []
        log_seconds: mean of theirs. []
    """

    cache: Cache
    score: jax.Array
    log_seconds: jax.Array


def _init_mlp(key: jax.Array, in_size: int, hidden_size: int, out_size: int) -> MLP:
    key_first, key_last = jax.random.split(key)
    return MLP(init_linear(key_first, in_size, hidden_size), init_linear(key_last, hidden_size, out_size))


def _mlp(params: MLP, x: jax.Array) -> jax.Array:
    return linear(params.last, gelu(linear(params.first, x)))


def init(key: jax.Array, config: ModelConfig) -> Weights:
    """Draw weights; the head starts with wide and narrow distributions side by side."""
    keys = jax.random.split(key, 6)
    width, hidden = config.width, config.hidden_size
    head = _init_mlp(keys[5], width, hidden, 3 * config.num_normals + 4)
    stds = jnp.linspace(-4.0, -1.0, config.num_normals)
    bias = jnp.zeros(3 * config.num_normals + 4).at[config.num_normals : 2 * config.num_normals].set(stds)
    last = Linear(0.1 * head.last.kernel, bias)
    return Weights(
        columns=_init_mlp(keys[0], _NUM_FUNCTIONS * config.column_size, hidden, width),
        meta=init_linear(keys[1], 2 * config.column_size, width),
        run=_init_mlp(keys[2], _CURVE_SIZE, hidden, width),
        question=_init_mlp(keys[3], _CURVE_SIZE + _ASK_SIZE, hidden, width),
        stack=transformer.init(keys[4], config.transformer),
        head=head._replace(last=last),
    )


def column_vectors(num: int, config: ModelConfig) -> jax.Array:
    """The vectors of the first columns of a real search space, the same however many there are. [num, column_size]"""
    keys = jax.vmap(jax.random.fold_in, (None, 0))(jax.random.key(0), jnp.arange(num))
    return jax.vmap(lambda key: jax.random.normal(key, (config.column_size,)))(keys)


class Columns(NamedTuple):
    """What makes features comparable: where columns lie and how far they spread among the candidates. [F]"""

    mean: jax.Array
    scale: jax.Array  # 0 for a column that all candidates have the same value in: it tells nothing


def columns_of(features: jax.Array, mask: jax.Array) -> Columns:
    """Look at the candidates [S, F] that there are."""
    weights = jnp.broadcast_to(mask[:, None] / jnp.maximum(jnp.sum(mask), 1), features.shape)
    mean = jnp.sum(weights * features, axis=0)
    std = jnp.sqrt(jnp.sum(weights * jnp.square(features - mean[None]), axis=0))
    return Columns(mean, jnp.where(std > 1e-4, 1.0 / jnp.maximum(std, 1e-4), 0.0))


def embed_configs(weights: Weights, columns: Columns, vectors: jax.Array, features: jax.Array) -> jax.Array:
    """What configurations [S, F] are, given the columns' vectors [F, column_size]. [S, W]"""
    x = jnp.clip((features - columns.mean[None]) * columns.scale[None], -_CLIP, _CLIP)
    # Each function is 0 at 0, so that columns that tell nothing add nothing.
    functions = (
        x,
        0.5 * jnp.square(x) / (1.0 + 0.25 * jnp.square(x)),
        jnp.tanh(3.0 * x),
        1.0 - jnp.cos(2.0 * x),
    )
    share = jax.lax.rsqrt(jnp.maximum(jnp.sum(columns.scale > 0.0), 1).astype(jnp.float32))
    return _mlp(weights.columns, share * jnp.concatenate([f @ vectors for f in functions], axis=-1))


def embed_meta(weights: Weights, vectors: jax.Array, meta_features: jax.Array) -> jax.Array:
    """What data sets with such standardised meta-features [..., K] are; NaN where unknown. [..., W]"""
    known = ~jnp.isnan(meta_features)
    values = jnp.clip(jnp.where(known, meta_features, 0.0), -_CLIP, _CLIP)
    parts = [values @ vectors, known.astype(jnp.float32) @ vectors]
    return linear(weights.meta, jnp.concatenate(parts, axis=-1) / max(len(vectors), 1) ** 0.5)


def _last_score(progress: Progress) -> tuple[jax.Array, jax.Array]:
    """The last score of runs, 0 without one, and whether there is one."""
    last = progress.shown[..., NUM_SHOWN - 2]
    return jnp.where(jnp.isnan(last), 0.0, last), ~jnp.isnan(last)


def _describe(progress: Progress, is_own: bool) -> jax.Array:
    """What was seen of runs [...] as numbers [..., _CURVE_SIZE]; scores that are missing are the last one."""
    last, has_score = _last_score(progress)
    shown = jnp.where(jnp.isnan(progress.shown), last[..., None], progress.shown)
    total = progress.num_steps.astype(jnp.float32)
    knows_seconds = ~jnp.isnan(progress.log_seconds)
    seconds = (progress.log_seconds - _USUAL_LOG_SECONDS) / _LOG_SECONDS_SCALE
    numbers = [
        progress.done / total,
        0.3 * jnp.log1p(progress.done.astype(jnp.float32)),
        0.3 * jnp.log(total),
        jnp.clip(jnp.where(knows_seconds, seconds, 0.0), -_CLIP, _CLIP),
        # The network's first layer would have to tell small differences of large numbers.
        jnp.clip(20.0 * (last - shown[..., NUM_SHOWN - 1]), -_CLIP, _CLIP),
        jnp.clip(5.0 * (last - shown[..., 3]), -_CLIP, _CLIP),
    ]
    marks = [has_score, knows_seconds, progress.crashed, jnp.full(last.shape, is_own)]
    scores = 2.0 * jnp.where(has_score[..., None], shown, 0.5) - 1.0
    return jnp.concatenate(
        [scores, jnp.stack(numbers + [m.astype(jnp.float32) for m in marks], axis=-1)], axis=-1
    )


def encode_others(
    weights: Weights, config: ModelConfig, base: jax.Array, progress: Progress, mask: jax.Array
) -> Cache:
    """Encode runs on other data sets [R], of which ``base`` [R, W] says configuration and data set."""
    tokens = base + _mlp(weights.run, _describe(progress, is_own=False))
    return transformer.encode(weights.stack, config.transformer, tokens, mask)


def encode_own(
    weights: Weights, config: ModelConfig, before: Cache, base: jax.Array, progress: Progress, mask: jax.Array
) -> Context:
    """Encode runs on the data set at hand [C]; rows that are masked have no influence."""
    tokens = base + _mlp(weights.run, _describe(progress, is_own=True))
    cache = transformer.encode(weights.stack, config.transformer, tokens, mask, before)
    last, has_score = _last_score(progress)
    knows = mask & ~jnp.isnan(progress.log_seconds)

    def mean(values: jax.Array, where: jax.Array, otherwise: float) -> jax.Array:
        total = jnp.sum(where)
        return jnp.where(total > 0, jnp.sum(jnp.where(where, values, 0.0)) / jnp.maximum(total, 1), otherwise)

    return Context(
        cache, mean(last, mask & has_score, 0.5), mean(progress.log_seconds, knows, _USUAL_LOG_SECONDS)
    )


def ask(
    weights: Weights,
    config: ModelConfig,
    context: Context,
    base: jax.Array,
    progress: Progress,
    step: jax.Array,
) -> Answer:
    """Forecast runs [Q] after so many steps [Q]; ``base`` [Q, W] and what was seen of them belong to the question."""
    total, target = progress.num_steps.astype(jnp.float32), step.astype(jnp.float32)
    left = target - progress.done
    asked = [target / total, left / total, 0.3 * jnp.log1p(target), 0.3 * jnp.log1p(jnp.maximum(left, 0.0))]
    numbers = jnp.concatenate([_describe(progress, is_own=True), jnp.stack(asked, axis=-1)], axis=-1)
    tokens = base + _mlp(weights.question, numbers)
    out = _mlp(weights.head, transformer.query(weights.stack, config.transformer, context.cache, tokens))
    last, has_score = _last_score(progress)
    seconds = jnp.where(jnp.isnan(progress.log_seconds), context.log_seconds, progress.log_seconds)
    centre = jnp.where(has_score, last, context.score)
    return Answer(
        logits=mixture(config.num_bins, centre, out[..., : 3 * config.num_normals + 1]),
        log_seconds=seconds + out[..., -3],
        log_seconds_std=jnp.exp(jnp.clip(out[..., -2], -4.0, 2.0)),
        crash=out[..., -1] - 3.0,
    )
