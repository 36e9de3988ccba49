"""The small world model: a transformer that corrects closed-form experts and says how sure it is.

The token of a context row holds its inputs, its targets, and by how much the experts missed these when the row was left
out. The token of a query holds its inputs and what the experts predict. For every target column the head then reads the
query's token and each expert's prediction. It returns the experts' shares, a step away from their mean and a
distribution (``bars``) of what is left over, and for the whole row the odds that the episode ends. Everything is in
units of the experts' own uncertainty, so that a task whose dynamics are known to six digits and one that is half noise
look alike. The step is in units of how much the experts disagree here: where they agree, the model follows them.

Before training the head adds nothing: the model is the experts' weighted mean.

References:
    Ferreira et al. (2024), One-shot world models; Müller et al. (2022), Transformers can do Bayesian inference.
"""

from dataclasses import dataclass
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from synthenv.nets import transformer
from synthenv.nets.linear import Linear, init_linear, linear, zero_linear
from synthenv.nets.residual_mlp import gelu
from synthenv.nets.transformer import TransformerConfig
from synthenv.worldmodel.regression.closed_form import EXPERTS
from synthenv.worldmodel.small import bar_distribution
from synthenv.worldmodel.small.prior.sensors import MAX_ACTIONS

NUM_EXPERTS = len(EXPERTS)
_CLIP = 5.0
_LONGEST_STEP = 2.0  # bound of the step away from the experts' mean, in units of their disagreement
_FLOOR = 0.03  # errors below this, in units of the bars, count as nothing
_LEAST_SCALE = 1e-6  # least uncertainty of the experts, in standard deviations of a target


@dataclass(frozen=True)
class ModelConfig:
    """Static sizes; they travel in the checkpoint.

    Attributes:
        max_obs: Columns of an observation at most.
        width: Size of a token.
        num_heads: Attention heads.
        hidden_size: Units of a feed-forward block.
        num_layers: Attention and feed-forward blocks.
        column_size: Numbers of a token that the head sees for each column.
        head_size: Hidden units of the head.
    """

    max_obs: int = 12
    width: int = 128
    num_heads: int = 4
    hidden_size: int = 256
    num_layers: int = 4
    column_size: int = 16
    head_size: int = 64

    @property
    def transformer(self) -> TransformerConfig:
        """Return the sizes of the attention stack."""
        return TransformerConfig(
            self.width, self.num_heads, self.hidden_size, self.num_layers, "pre", zero_init_residual=True
        )

    @property
    def num_targets(self) -> int:
        """Return the number of targets, Y: changes of the observation, and the reward."""
        return self.max_obs + 1

    @property
    def num_inputs(self) -> int:
        """Return the number of inputs, D: observation and action columns."""
        return self.max_obs + MAX_ACTIONS


class Params(NamedTuple):
    """Weights: of both kinds of tokens, the stack, what the head sees of a token, the head, the odds of an end."""

    context: Linear
    query: Linear
    stack: transformer.TransformerParams
    columns: Linear
    head_in: Linear
    head_out: Linear
    termination: Linear


class Rows(NamedTuple):
    """Context rows, standardised and padded.

    Attributes:
        x: inputs. [C, D]
        y: targets. [C, Y]
        missed: the experts' weighted leave-one-out residuals, in units of their size. [C, Y]
        terminated: which rows ended an episode. [C]
        mask: which rows are there. bool [C]
    """

    x: jax.Array
    y: jax.Array
    missed: jax.Array
    terminated: jax.Array
    mask: jax.Array


class Question(NamedTuple):
    """One query, standardised and padded.

    Attributes:
        x: inputs. [D]
        said: every expert's prediction. [K, Y]
        error: the experts' typical squared errors, see ``closed_form.typical``. [K, Y]
        weights: the experts' shares without the head. [K, Y]
        local: the experts' typical squared errors near the query. [K, Y]
        used: which targets exist. bool [Y]
    """

    x: jax.Array
    said: jax.Array
    error: jax.Array
    weights: jax.Array
    local: jax.Array
    used: jax.Array


_EACH: Any = 0
_SHARED: Any = None
# Axes of several questions about one context, for vmap.
QUESTION_AXES = Question(x=_EACH, said=_EACH, error=_SHARED, weights=_EACH, local=_EACH, used=_SHARED)


class Answer(NamedTuple):
    """What the model says to a question, in standard deviations of the targets.

    Attributes:
        mean: the prediction. [Y]
        scale: the unit of the bars around it. [Y]
        logits: logits of the bars. [Y, NUM_BARS]
        termination: logit of the odds that the episode ends. []
    """

    mean: jax.Array
    scale: jax.Array
    logits: jax.Array
    termination: jax.Array

    @property
    def std(self) -> jax.Array:
        """Return how far the bars spread around the prediction. [Y]"""
        return self.scale * bar_distribution.rms(self.logits)


def init(key: jax.Array, config: ModelConfig) -> Params:
    """Draw weights; those that would move the answer away from the experts' mean are zero."""
    keys = jax.random.split(key, 5)
    num_inputs, num_targets = config.num_inputs, config.num_targets
    head_inputs = config.column_size + 3 * NUM_EXPERTS + 2
    head_out = zero_linear(config.head_size, NUM_EXPERTS + 1 + bar_distribution.NUM_BARS)
    first = jnp.concatenate([jnp.zeros(NUM_EXPERTS + 1), jnp.asarray(bar_distribution.first_logits())])
    return Params(
        context=init_linear(keys[0], num_inputs + 2 * num_targets + 1, config.width),
        query=init_linear(keys[1], num_inputs + 3 * num_targets, config.width),
        stack=transformer.init(keys[2], config.transformer),
        columns=init_linear(keys[3], config.width, num_targets * config.column_size),
        head_in=init_linear(keys[4], head_inputs, config.head_size),
        head_out=head_out._replace(bias=first),
        termination=zero_linear(config.width, 1),
    )


def encode(params: Params, config: ModelConfig, rows: Rows) -> transformer.Cache:
    """Compute the keys and values of a context, which is done once."""
    numbers = jnp.concatenate(
        [_clip(rows.x), _clip(rows.y), _clip(rows.missed), rows.terminated[:, None].astype(jnp.float32)],
        axis=1,
    )
    return transformer.encode(params.stack, config.transformer, linear(params.context, numbers), rows.mask)


def answer(params: Params, config: ModelConfig, cache: transformer.Cache, question: Question) -> Answer:
    """Answer one question; vmap it over many."""
    centre, scale = blend(question)
    disagreement = disagree(question, centre)
    spread = jnp.log(scale / (_rms(question) + _LEAST_SCALE))
    apart = 0.5 * jnp.log(disagreement / scale)
    numbers = jnp.concatenate(
        [_clip(question.x), _clip(centre), _clip(spread), question.used.astype(jnp.float32)]
    )
    token = transformer.query(params.stack, config.transformer, cache, linear(params.query, numbers))
    own = linear(params.columns, token).reshape(config.num_targets, config.column_size)
    relative = _clip((question.said - centre[None]) / scale[None])  # [K, Y]
    least = jnp.min(question.error, axis=0, keepdims=True)
    quality = 0.2 * _clip(0.5 * jnp.log((question.error + 1e-12) / (least + 1e-12)))
    nearby = 0.2 * _clip(0.5 * jnp.log((question.local + 1e-12) / (least + 1e-12)))
    features = [own, relative.T, quality.T, nearby.T, _clip(spread)[:, None], _clip(apart)[:, None]]
    hidden = gelu(linear(params.head_in, jnp.concatenate(features, axis=1)))
    out = linear(params.head_out, hidden)  # [Y, K + 1 + NUM_BARS]
    shares = jax.nn.softmax(jnp.log(question.weights + 1e-6) + out[:, :NUM_EXPERTS].T, axis=0)
    step = _LONGEST_STEP * jnp.tanh(out[:, NUM_EXPERTS] / _LONGEST_STEP)
    mean = jnp.sum(shares * question.said, axis=0) + disagreement * step
    return Answer(mean, scale, out[:, NUM_EXPERTS + 1 :], linear(params.termination, token)[0])


def blend(question: Question) -> tuple[jax.Array, jax.Array]:
    """Return the experts' weighted mean [Y], and how far they disagree and err here [Y]."""
    centre = jnp.sum(question.weights * question.said, axis=0)
    square = jnp.sum(question.weights * (question.local + jnp.square(question.said - centre[None])), axis=0)
    return centre, jnp.sqrt(square) + _LEAST_SCALE


def disagree(question: Question, centre: jax.Array) -> jax.Array:
    """Return how far apart those experts are that do well here. [Y]

    An expert with twice the error of the best counts a sixteenth.
    """
    shares = jax.nn.softmax(-2.0 * jnp.log(question.local + _LEAST_SCALE**2), axis=0)
    square = jnp.sum(shares * jnp.square(question.said - centre[None]), axis=0)
    return jnp.sqrt(square + _LEAST_SCALE**4)


def _rms(question: Question) -> jax.Array:
    return jnp.sqrt(jnp.sum(question.weights * question.error, axis=0))


def _clip(x: Any) -> jax.Array:
    return jnp.clip(x, -_CLIP, _CLIP)


def loss(result: Answer, y: jax.Array, terminated: jax.Array, used: jax.Array) -> jax.Array:
    """Return the loss of one query: of the bars, of the prediction's error, and of the odds that the episode ends.

    Args:
        result: the answer.
        y: standardised targets. [Y]
        terminated: whether the episode ended. bool []
        used: which targets exist. bool [Y]
    """
    error = (y - result.mean) / result.scale
    surprise = -bar_distribution.log_density(result.logits, jax.lax.stop_gradient(error))
    # In the first logarithm an error that shrinks by some percent counts the same whether it is small or large; the
    # second adds weight to large ones.
    per_column = surprise + 0.5 * jnp.log1p(jnp.square(error / _FLOOR)) + jnp.log1p(0.5 * jnp.square(error))
    ended = terminated.astype(jnp.float32)
    odds = jax.nn.softplus(result.termination) - ended * result.termination
    return jnp.sum(jnp.where(used, per_column, 0.0)) / jnp.maximum(jnp.sum(used), 1) + odds
