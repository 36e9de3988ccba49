"""A regression that lets go of rows it cannot explain, and so learns what a system does most of the time.

An arm hits the limit of a joint, a speed is clipped, a car stops at a wall: one row in ten or fifty follows another
law. A regression of all rows takes these for noise, and then sees noise everywhere. Here a row counts the less, the
more it was missed when left out; metric and regression are then fitted again, several times over. Smooth dynamics are
learnt exactly. The other rows stay unexplained, and near them other experts have more weight (``closed_form.nearby``).

Axis letters here: C context, D inputs.

References:
    Holland and Welsch (1977), Robust regression using iteratively reweighted least-squares: the Cauchy weights and
    their constant.
"""

import jax
import jax.numpy as jnp

from synthenv.nets.gaussian_process.sign_steps import Logs
from synthenv.worldmodel.experts import relevance
from synthenv.worldmodel.experts.relevance import climb
from synthenv.worldmodel.regression.closed_form import Fit

_NUM_ROUNDS, _NUM_STEPS = 3, 7
_PATIENCE = 2.385  # robust standard deviations at which a row counts half
_LEAST_SCALE = 1e-7  # in standard deviations of the target
_LEAST_COUNT = 1e-6


def counts_of(left_out: jax.Array, mask: jax.Array) -> jax.Array:
    """Return how much each row counts: 1 where it is foreseen, falling with the square of the residual. [C]"""
    size = jnp.abs(left_out)
    scale = jnp.nanmedian(jnp.where(mask, size, jnp.nan)) / 0.6745 + _LEAST_SCALE
    counts = 1.0 / (1.0 + jnp.square(size / (_PATIENCE * scale)))
    return jnp.where(mask, jnp.maximum(counts, _LEAST_COUNT), 1.0)


def fit(
    inputs: jax.Array, target: jax.Array, mask: jax.Array, before: Fit, num_rows: int
) -> tuple[Logs, Fit]:
    """Fit one target.

    Args:
        inputs: standardised, zero where masked. [C, D]
        target: zero where masked. [C]
        mask: which rows are there. bool [C]
        before: a fit whose residuals say what rows count at first; Y = 1.
        num_rows: rows that the metric is found with, from the first on.

    Returns:
        length scales and noise, and the fit; its error is the mean square over the rows that count. Y = 1.
    """

    def again(_: int, carry: tuple[Logs, Fit]) -> tuple[Logs, Fit]:
        logs, before = carry
        counts = counts_of(before.left_out[:, 0], mask)
        some = (each[:num_rows] for each in (inputs, target, mask, counts))
        logs = climb(logs, *some, num_steps=_NUM_STEPS)
        return logs, relevance.fit(logs, inputs, target, mask, counts)

    # The search begins afresh. One among all rows may end where many of them are taken for noise, and there the
    # likelihood has no slope to follow.
    logs = relevance.first_logs(inputs.shape[1], inputs.dtype)
    return jax.lax.fori_loop(0, _NUM_ROUNDS, again, (logs, before))
