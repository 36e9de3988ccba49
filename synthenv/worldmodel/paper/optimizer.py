"""AdamW with the learning-rate schedule that the one-shot world model was trained with.

References:
    The one-shot world model's paper, table 5 of its appendix; the clipping and the schedule's off-by-two are the
    released code's.
"""

import math
from dataclasses import dataclass

import jax
import jax.numpy as jnp
import optax


@dataclass(frozen=True)
class OptimizerConfig:
    """Table 5, and what the released code adds to it.

    Attributes:
        learning_rate: the schedule's highest.
        num_epochs: epochs until the schedule ends.
        steps_per_epoch: gradient steps in each.
        warmup_epochs: epochs of the linear warm-up.
        epochs_ahead: what the released code adds to the number of the epoch, counted from 0. So training starts with
            2 of the 12 epochs of warm-up behind it, and its last 2 epochs lie behind the end of the schedule, where
            the cosine rises again.
        max_gradient_norm: global norm that gradients are scaled down to.
    """

    learning_rate: float = 5e-5
    num_epochs: int = 50
    steps_per_epoch: float = 100.0
    warmup_epochs: int = 12
    epochs_ahead: int = 2
    max_gradient_norm: float = 1.0


RELEASED = OptimizerConfig()


def learning_rate(config: OptimizerConfig) -> optax.Schedule:
    """Return the learning rate by gradient step, counted from 0: a linear warm-up, then half a cosine to zero."""
    warmup = config.warmup_epochs / config.num_epochs

    def schedule(step: jax.typing.ArrayLike) -> jax.Array:
        epoch = jnp.asarray(step, jnp.float32) / config.steps_per_epoch + config.epochs_ahead
        share = epoch / config.num_epochs
        # Without a warm-up the first branch is never taken, but its division is still computed.
        rising = share / max(warmup, 1e-9)
        falling = 0.5 * (1.0 + jnp.cos(math.pi * (share - warmup) / (1.0 - warmup)))
        return config.learning_rate * jnp.where(share < warmup, rising, falling)

    return schedule


def make_optimizer(config: OptimizerConfig) -> optax.GradientTransformation:
    """Clip the gradient's global norm, then apply AdamW without weight decay, beta 0.9 and 0.999, epsilon 1e-8."""
    return optax.chain(
        optax.clip_by_global_norm(config.max_gradient_norm),
        optax.adamw(learning_rate(config), b1=0.9, b2=0.999, eps=1e-8, weight_decay=0.0),
    )
