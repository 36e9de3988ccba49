"""One gradient step of the paper's transformer on a batch of its prior.

References:
    Ferreira et al. (2024), One-shot world models, algorithm 1; its tables 4, 5 and 7. Released code automl/oswm at
    70647fb, which differs in its prior and in 4 instead of 8 environments a batch.
"""

from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from synthenv.worldmodel.paper import network as paper_model
from synthenv.worldmodel.paper.network import PaperModelConfig, PaperModelParams
from synthenv.worldmodel.paper.optimizer import OptimizerConfig, make_optimizer
from synthenv.worldmodel.paper.prior import sample as released_prior
from synthenv.worldmodel.paper.prior.worlds import ReleasedPriorConfig


@dataclass(frozen=True)
class PaperPretrainConfig:
    """What is trained, on what, for how long; the defaults are the paper's.

    Attributes:
        model: Sizes of the model.
        prior: The environments.
        optimizer: Its schedule is stretched to ``num_steps``.
        batch_size: Environments of a batch, B.
        num_rows: Transitions of each, T; 500 to 999 of 1,001 are context, of others as large a share.
        num_steps: Gradient steps, one batch each.
    """

    model: PaperModelConfig = paper_model.PAPER
    prior: ReleasedPriorConfig = released_prior.PAPER
    optimizer: OptimizerConfig = field(default_factory=OptimizerConfig)
    batch_size: int = 8
    num_rows: int = 1001
    num_steps: int = 5000


class TrainState(NamedTuple):
    """What a gradient step changes."""

    step: jax.Array
    params: PaperModelParams
    opt_state: Any

    @property
    def average(self) -> PaperModelParams:
        """Return the weights that are kept in the end: the paper averages nothing."""
        return self.params


class Examples(NamedTuple):
    """Normalised rows x and y [B, T, 14], and how many of them are context, int []."""

    x: jax.Array
    y: jax.Array
    num_context: jax.Array


class Scores(NamedTuple):
    """Scores of a batch: what is minimised."""

    loss: jax.Array


def _optimizer(config: PaperPretrainConfig) -> Any:
    steps_per_epoch = config.num_steps / config.optimizer.num_epochs
    return make_optimizer(replace(config.optimizer, steps_per_epoch=steps_per_epoch))


def init(key: jax.Array, config: PaperPretrainConfig) -> TrainState:
    """Draw fresh weights."""
    params = paper_model.init(key, config.model)
    return TrainState(jnp.int32(0), params, _optimizer(config).init(params))


def draw_batch(key: jax.Array, config: PaperPretrainConfig) -> Examples:
    """Draw random environments as examples."""
    rows, num_context = released_prior.draw_batch(key, config.prior, config.batch_size, config.num_rows)
    return Examples(rows.x, rows.y, num_context)


def train_step(
    state: TrainState, examples: Examples, config: PaperPretrainConfig
) -> tuple[TrainState, jax.Array]:
    """Make one gradient step; return the loss before it, too."""
    loss, grads = jax.value_and_grad(paper_model.loss)(state.params, config.model, *examples)
    updates, opt_state = _optimizer(config).update(grads, state.opt_state, state.params)
    return TrainState(state.step + 1, jax.tree.map(jnp.add, state.params, updates), opt_state), loss


def score(params: PaperModelParams, examples: Examples, config: PaperPretrainConfig) -> Scores:
    """Return how the model does on environments that it was not trained on."""
    return Scores(paper_model.loss(params, config.model, *examples))
