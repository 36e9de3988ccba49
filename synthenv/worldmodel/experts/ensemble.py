"""The closed-form experts of one context together, the last two of which have a metric of their own for every target.

A metric shrinks directions that do not matter, so that fewer samples suffice. ``relevance`` scales every input by all
rows, ``robust`` by the rows that it can explain; see the modules of these names.

Axis letters here: C context, D inputs, Y targets, K experts.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp

from synthenv.nets.gaussian_process.kernels import rbf
from synthenv.worldmodel.experts import relevance, robust
from synthenv.worldmodel.regression import closed_form
from synthenv.worldmodel.regression.closed_form import LENGTH_SCALES, Fit, cubic, num_varying, trend_of

NUM_OWN = 2  # experts with a metric of their own: relevance, robust
_NUM_STEPS = 15  # steps up the likelihood, for each number of rows
_NOWHERE = 1e6  # where masked rows are put, far from any query


class Experts(NamedTuple):
    """All experts, fitted to one context.

    Attributes:
        inputs: the context's inputs, far away where masked. [D, C]
        square_scales: squared inverse length scales of the last experts, for every target. [NUM_OWN, Y, D]
        num_varying: how many inputs are in use. []
        fits: the fitted experts, leading axis K.
    """

    inputs: jax.Array
    square_scales: jax.Array
    num_varying: jax.Array
    fits: Fit


class MetricRows(NamedTuple):
    """Numbers of rows of a context, from the first on, that metrics are searched with.

    There is one round of steps for each number.
    """

    relevance: tuple[int, ...] = (512, 512)
    robust: int = 512


METRIC_ROWS = MetricRows()


def fit(
    inputs: jax.Array, targets: jax.Array, mask: jax.Array, metric_rows: MetricRows = METRIC_ROWS
) -> Experts:
    """Fit all experts; rows come in random order, those that are there first.

    Args:
        inputs: standardised; columns that are not in use are zero. [C, D]
        targets: standardised likewise. [C, Y]
        mask: which rows are there. bool [C]
        metric_rows: how many rows the metrics are chosen with.
    """
    inputs, targets = inputs * mask[:, None], targets * mask[:, None]
    shared = closed_form.solve_all(inputs, targets, mask)
    scales, own = jax.lax.map(lambda target: _fit_own(inputs, target, mask, metric_rows), targets.T)
    own = jax.tree.map(lambda leaf: jnp.moveaxis(leaf[..., 0], 0, -1), own)  # [NUM_OWN, ..., Y]
    fits = jax.tree.map(lambda *parts: jnp.concatenate(parts), shared, own)
    return Experts(
        inputs=jnp.where(mask[:, None], inputs, _NOWHERE).T,
        square_scales=jnp.swapaxes(jnp.square(scales), 0, 1),
        num_varying=num_varying(inputs).astype(inputs.dtype),
        fits=fits,
    )


def _fit_own(
    inputs: jax.Array, target: jax.Array, mask: jax.Array, metric_rows: MetricRows
) -> tuple[jax.Array, Fit]:
    """Return inverse length scales [NUM_OWN, D] and fits [NUM_OWN, ...] of one target [C]."""
    logs = relevance.first_logs(inputs.shape[1], inputs.dtype)
    for num in metric_rows.relevance:
        logs = relevance.climb(
            logs, inputs[:num], target[:num], mask[:num], jnp.ones_like(target[:num]), _NUM_STEPS
        )
    plain = relevance.fit(logs, inputs, target, mask)
    robust_logs, stubborn = robust.fit(inputs, target, mask, plain, metric_rows.robust)
    fits = jax.tree.map(lambda *pair: jnp.stack(pair), plain, stubborn)
    return jnp.exp(jnp.stack([logs.scales, robust_logs.scales])), fits


def predict(experts: Experts, x: jax.Array) -> jax.Array:
    """Return what every expert predicts for standardised inputs x [D]. [K, Y]"""
    # Differences are squared, since products of single precision lose short distances. C comes last, which is fast on a
    # CPU.
    distance = jnp.sum(jnp.square(experts.inputs - x[:, None]), axis=0)  # [C]
    kernels = [jnp.zeros_like(distance), cubic(x[None], experts.inputs.T, experts.num_varying)[0]]
    kernels = jnp.stack(kernels + [rbf(distance, scale) for scale in LENGTH_SCALES])  # [K - NUM_OWN, C]
    shared = jnp.einsum("kc,kcy->ky", kernels, experts.fits.alpha[:-NUM_OWN])
    own = jnp.einsum("kyc,kcy->ky", _own_kernels(experts, x), experts.fits.alpha[-NUM_OWN:])
    trend = jnp.einsum("d,kdy->ky", trend_of(x), experts.fits.beta)
    return jnp.concatenate([shared, own]) + trend


def near(experts: Experts, x: jax.Array) -> jax.Array:
    """Return how near the rows are to standardised inputs x [D] by the last expert, for each target. [Y, C]"""
    # The kernels of all these experts are computed although one is needed: where ``predict`` is called for the same x,
    # XLA finds the same expression there and computes it once.
    return _own_kernels(experts, x)[-1]


def _own_kernels(experts: Experts, x: jax.Array) -> jax.Array:
    """Return the kernels [NUM_OWN, Y, C] between x [D] and all rows, in the metrics of the last experts."""
    away = jnp.square(experts.inputs - x[:, None])
    return rbf(jnp.einsum("kyd,dc->kyc", experts.square_scales, away), 1.0)
