"""How much each input matters for each target: length scales from a few sign steps up a marginal likelihood.

The number of steps is fixed and small, and a part of the rows does, so this is one more piece of the forward pass that
encodes a context.

References:
    Neal (1996), Bayesian learning for neural networks, for automatic relevance determination.
    Riedmiller and Braun (1993), A direct adaptive method for faster backpropagation learning: the RPROP algorithm.
    Rasmussen and Williams (2006), Gaussian processes for machine learning, section 2.7, for the trend.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp

from synthenv.worldmodel.regression.closed_form import Fit, rbf, solve, squared_distance, trend_of

_FIRST_LENGTH_SCALE = 2.0  # in standard deviations of the inputs
_FIRST_NOISE = 1e-3  # as a share of the kernel's diagonal
_FIRST_STEP, _FASTER, _SLOWER, _LONGEST_STEP = 0.3, 1.3, 0.5, 1.0  # in nats
_LOG_SCALE_RANGE, _LOG_NOISE_RANGE = (-5.0, 3.0), (-16.0, 0.0)
_JITTER = 1e-7


class Logs(NamedTuple):
    """What is searched for: logarithms of inverse length scales [D] and of the noise []."""

    scales: jax.Array
    noise: jax.Array


def first_logs(num_inputs: int, dtype: jnp.dtype) -> Logs:
    """Where the search begins."""
    scales = jnp.full(num_inputs, -jnp.log(_FIRST_LENGTH_SCALE), dtype)
    return Logs(scales, jnp.asarray(jnp.log(_FIRST_NOISE), dtype))


def climb(
    logs: Logs, inputs: jax.Array, target: jax.Array, mask: jax.Array, counts: jax.Array, num_steps: int
) -> Logs:
    """Sign steps for an RBF kernel with a linear trend and one target.

    Args:
        logs: where to begin.
        inputs: standardised. [C, D]
        target: [C]
        mask: which rows are there. bool [C]
        counts: what each row's noise is divided by. [C]
        num_steps: how many.
    """

    def step(carry: tuple[Logs, Logs, Logs], _: None) -> tuple[tuple[Logs, Logs, Logs], None]:
        logs, sizes, before = carry
        slopes = jax.grad(_misfit)(logs, inputs, target, mask, counts)
        slopes = jax.tree.map(lambda slope: jnp.where(jnp.isfinite(slope), slope, 0.0), slopes)
        sizes = jax.tree.map(_next_size, sizes, slopes, before)
        logs = jax.tree.map(lambda log, size, slope: log - size * jnp.sign(slope), logs, sizes, slopes)
        logs = Logs(jnp.clip(logs.scales, *_LOG_SCALE_RANGE), jnp.clip(logs.noise, *_LOG_NOISE_RANGE))
        return (logs, sizes, slopes), None

    sizes = jax.tree.map(lambda log: jnp.full_like(log, _FIRST_STEP), logs)
    start = (logs, sizes, jax.tree.map(jnp.zeros_like, logs))
    return jax.lax.scan(step, start, None, length=num_steps)[0][0]


def fit(
    logs: Logs, inputs: jax.Array, target: jax.Array, mask: jax.Array, counts: jax.Array | None = None
) -> Fit:
    """The expert with these length scales for one target [C], Y = 1; arguments as those of ``closed_form.solve``."""
    moved = inputs * jnp.exp(logs.scales)[None]
    return solve(rbf(squared_distance(moved, moved), 1.0), inputs, target[:, None], mask, counts)


def _next_size(size: jax.Array, slope: jax.Array, before: jax.Array) -> jax.Array:
    """A longer step where the slope has kept its sign, a shorter one where it has not."""
    same = slope * before
    factor = jnp.where(same > 0, _FASTER, jnp.where(same < 0, _SLOWER, 1.0))
    return jnp.clip(size * factor, 1e-3, _LONGEST_STEP)


def _misfit(
    logs: Logs, inputs: jax.Array, target: jax.Array, mask: jax.Array, counts: jax.Array
) -> jax.Array:
    """Negative logarithm of the likelihood, trend and signal variance integrated and profiled out."""
    moved = inputs * jnp.exp(logs.scales)[None]
    gram = jnp.where(mask[:, None] & mask[None, :], rbf(squared_distance(moved, moved), 1.0), 0.0)
    # Rows that are not there are each a kernel of their own: their share is constant.
    diagonal = jnp.where(mask, jnp.exp(logs.noise) / counts + _JITTER, 1.0)
    factor = jnp.linalg.cholesky(gram + jnp.diag(diagonal))
    trend = trend_of(inputs) * mask[:, None]
    white = jax.scipy.linalg.solve_triangular(
        factor, jnp.concatenate([(target * mask)[:, None], trend], axis=1), lower=True
    )
    white_target, white_trend = white[:, 0], white[:, 1:]
    normal = white_trend.T @ white_trend
    varies = jnp.append(True, jnp.any(inputs != 0.0, axis=0))
    ridge = 1e-9 * jnp.trace(normal) / jnp.sum(varies)
    normal = normal + jnp.diag(
        jnp.where(varies, ridge, 1.0)
    )  # columns that are not in use share no likelihood
    crossed = white_trend.T @ white_target
    rest = white_target @ white_target - crossed @ jnp.linalg.solve(normal, crossed)
    freedom = jnp.maximum(jnp.sum(mask) - jnp.sum(varies), 1)
    determinants = jnp.sum(jnp.log(jnp.diag(factor))) + 0.5 * jnp.linalg.slogdet(normal)[1]
    return 0.5 * freedom * jnp.log(jnp.maximum(rest, 1e-12)) + determinants
