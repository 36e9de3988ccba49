"""The closed-form experts of one context together, the last two of which have a metric of their own for every target.

A metric shrinks directions that do not matter, so that fewer samples do. ``relevance`` scales every input (see the
module of that name). ``slopes`` may turn them, too: candidates are square roots of the average outer product of the
gradients of another expert's prediction, and of its Hessians: a function that is linear along a direction needs no
resolution there. Metric and length scale are chosen by leave-one-out errors on a part of the rows, twice: the second
time the derivatives are those of the first time's fit.

Axis letters here: C context, D inputs, Y targets, K experts.

References:
    Radhakrishnan et al. (2024), Mechanism for feature learning in neural networks and backpropagation-free machine
    learning models, for the average gradient outer product.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp

from synthenv.worldmodel import closed_form
from synthenv.worldmodel.closed_form import (
    LENGTH_SCALES,
    Fit,
    cubic,
    num_varying,
    rbf,
    solve,
    squared_distance,
    trend_of,
)
from synthenv.worldmodel.relevance import inverse_length_scales

_NUM_ROUNDS = 2
_NOWHERE = 1e6  # where rows are that are not there


class Experts(NamedTuple):
    """All of them, fitted to one context.

    Attributes:
        inputs: of the context, zero where masked. [D, C]
        metrics: map inputs to where the last two experts measure distances, one map a target. [2, Y, D, D]
        moved: inputs of the context there. [2, Y, D, C]
        num_varying: how many inputs are in use. []
        fits: leading axis K.
    """

    inputs: jax.Array
    metrics: jax.Array
    moved: jax.Array
    num_varying: jax.Array
    fits: Fit


class _Column(NamedTuple):
    """One target's kernel regression: where it measures, and its coefficients; alpha [N], beta [D + 1], error []."""

    metric: jax.Array
    alpha: jax.Array
    beta: jax.Array
    error: jax.Array


class MetricRows(NamedTuple):
    """With how many rows of a context, from the first on, metrics are chosen; see ``relevance`` for a sequence."""

    slopes: int = 256
    relevance: tuple[int, ...] = (512, 512)


METRIC_ROWS = MetricRows()


def fit(
    inputs: jax.Array, targets: jax.Array, mask: jax.Array, metric_rows: MetricRows = METRIC_ROWS
) -> Experts:
    """Fit all experts; rows come in random order, those that are there first.

    Args:
        inputs: standardised; columns that are not in use are zero. [C, D]
        targets: standardised likewise. [C, Y]
        mask: which rows are there. bool [C]
        metric_rows: how many of them the metrics are chosen with.
    """
    inputs, targets = inputs * mask[:, None], targets * mask[:, None]
    shared = closed_form.solve_all(inputs, targets, mask)
    slopes = jax.lax.map(
        lambda c: _metric_of_slopes(c[0], c[1], c[2], c[3], inputs, mask, metric_rows.slopes),
        (jnp.argmin(shared.error[2:], axis=0), shared.alpha[2:].T, shared.beta[2:].T, targets.T),
    )
    scales = jax.lax.map(
        lambda target: inverse_length_scales(inputs, target, mask, metric_rows.relevance), targets.T
    )  # [Y, D]
    metrics = jnp.stack([slopes, jax.vmap(jnp.diag)(scales)])
    own = jax.lax.map(lambda metrics: _fit_own(metrics, inputs, targets, mask), metrics)
    fits = jax.tree.map(lambda *parts: jnp.concatenate(parts), shared, own)
    moved = jnp.einsum("cd,kyde->kyec", inputs, metrics)
    moved = jnp.where(mask, moved, _NOWHERE)
    return Experts(inputs.T, metrics, moved, num_varying(inputs).astype(inputs.dtype), fits)


def _fit_own(metrics: jax.Array, inputs: jax.Array, targets: jax.Array, mask: jax.Array) -> Fit:
    """One expert with a metric for every target. [Y, D, D]"""

    def one(metric: jax.Array, target: jax.Array) -> Fit:
        moved = inputs @ metric
        return solve(rbf(squared_distance(moved, moved), 1.0), inputs, target[:, None], mask)

    fits = jax.lax.map(lambda pair: one(*pair), (metrics, targets.T))
    return Fit(*(jnp.swapaxes(leaf[..., 0], 0, -1) for leaf in fits))


def predict(experts: Experts, x: jax.Array) -> jax.Array:
    """What every expert says about standardised inputs x [D]. [K, Y]"""
    # Differences, not products: products of single precision lose the short distances. C comes last for the CPU's sake.
    distance = jnp.sum(jnp.square(experts.inputs - x[:, None]), axis=0)  # [C]
    kernels = [jnp.zeros_like(distance), cubic(x[None], experts.inputs.T, experts.num_varying)[0]]
    kernels = jnp.stack(kernels + [rbf(distance, scale) for scale in LENGTH_SCALES])  # [K - 2, C]
    shared = jnp.einsum("kc,kcy->ky", kernels, experts.fits.alpha[:-2])
    own = jnp.einsum("kyc,kcy->ky", rbf(_own_distances(experts, x), 1.0), experts.fits.alpha[-2:])
    trend = jnp.einsum("d,kdy->ky", trend_of(x), experts.fits.beta)
    return jnp.concatenate([shared, own]) + trend


def local_errors(
    experts: Experts, left_out: jax.Array, error: jax.Array, x: jax.Array, counts: jax.Array | None = None
) -> jax.Array:
    """Mean squared residuals of the rows near a query, and of one more that stands for all others. [K, Y]

    Near is what the relevance of the inputs for a target makes so, at half of its length scale.

    Args:
        experts: as fitted.
        left_out: leave-one-out residuals. [K, Y, C]
        error: their mean squares, all that can be said where no row is near. [K, Y]
        x: the query's standardised inputs. [D]
        counts: which rows to ask; all that are there if it is None. bool [C]
    """
    near = rbf(_own_distances(experts, x)[-1], 0.5)  # [Y, C]
    near = near if counts is None else near * counts[None]
    total = jnp.sum(near[None] * jnp.square(left_out), axis=2)
    return (total + error) / (jnp.sum(near, axis=1) + 1.0)[None]


def _own_distances(experts: Experts, x: jax.Array) -> jax.Array:
    """Squared, from x [D] to all rows, as the last two experts measure it. [2, Y, C]"""
    moved = jnp.einsum("d,kyde->kye", x, experts.metrics)
    return jnp.sum(jnp.square(experts.moved - moved[..., None]), axis=2)


def _metric_of_slopes(
    best: jax.Array,
    alphas: jax.Array,
    betas: jax.Array,
    target: jax.Array,
    inputs: jax.Array,
    mask: jax.Array,
    num_rows: int,
) -> jax.Array:
    """The metric of one target from the derivatives of its other experts. [D, D]

    Args:
        best: which length scale did best. []
        alphas: coefficients of that target's kernel experts. [C, number of length scales]
        betas: [D + 1, number of length scales]
        target: [C]
        inputs: [C, D]
        mask: [C]
        num_rows: see :func:`fit`.
    """
    scale = jnp.asarray(LENGTH_SCALES, inputs.dtype)[best]
    column = _Column(jnp.eye(inputs.shape[1]) / scale, alphas[:, best], betas[:, best], jnp.asarray(jnp.inf))
    some, some_target, some_mask = inputs[:num_rows], target[:num_rows], mask[:num_rows]
    rows, there = inputs, mask
    metric, least = column.metric, column.error
    for _ in range(_NUM_ROUNDS):
        column = _search(_candidates(column, rows, there), some, some_target, some_mask)
        metric = jnp.where(column.error < least, column.metric, metric)
        rows, there, least = some, some_mask, jnp.minimum(column.error, least)
    return metric


def _search(candidates: jax.Array, inputs: jax.Array, target: jax.Array, mask: jax.Array) -> _Column:
    """The best of the candidates [N, D, D] at the best of the length scales."""
    scales = jnp.asarray(LENGTH_SCALES, inputs.dtype)
    metrics = (candidates[:, None] / scales[None, :, None, None]).reshape(-1, *candidates.shape[1:])

    def at(metric: jax.Array) -> Fit:
        moved = inputs @ metric
        return solve(rbf(squared_distance(moved, moved), 1.0), inputs, target[:, None], mask)

    fits = jax.lax.map(at, metrics)
    index = jnp.argmin(fits.error[:, 0])
    return _Column(metrics[index], fits.alpha[index, :, 0], fits.beta[index, :, 0], fits.error[index, 0])


def _candidates(column: _Column, inputs: jax.Array, mask: jax.Array) -> jax.Array:
    """Metrics [2, D, D] from the derivatives of a column's prediction at the rows that it was fitted to [N, D]."""
    moved = inputs @ column.metric
    pull = rbf(squared_distance(moved, moved), 1.0) * column.alpha[None]  # [N, N]
    total, bend = jnp.sum(pull, axis=1), column.metric @ column.metric.T
    first = pull @ inputs  # [N, D]
    gradient = (first - total[:, None] * inputs) @ bend
    outer = inputs[:, :, None] * inputs[:, None, :]
    cross = first[:, :, None] * inputs[:, None, :]
    second = jnp.einsum("nm,mde->nde", pull, outer) - cross - jnp.swapaxes(cross, 1, 2)
    second = second + total[:, None, None] * outer
    hessian = jnp.einsum("ab,nbc,cd->nad", bend, second, bend) - total[:, None, None] * bend[None]
    slopes = (gradient + column.beta[None, 1:]) * mask[:, None]
    curvature = (hessian * mask[:, None, None]).reshape(-1, hessian.shape[-1])
    num = num_varying(inputs)
    return jnp.stack([_root(slopes.T @ slopes, num), _root(curvature.T @ curvature, num)])


def _root(outer: jax.Array, num: jax.Array) -> jax.Array:
    """Matrix square root of outer [D, D], scaled so that on average one of ``num`` directions keeps its length."""
    values, vectors = jnp.linalg.eigh(outer)
    values = jnp.sqrt(jnp.maximum(values, 0.0))
    # Directions that are not in use have no slope; which ones these are, round-off hides.
    size = jnp.sqrt(jnp.sum(jnp.square(values)) / num)
    return (vectors * (values / jnp.maximum(size, 1e-12))[None]) @ vectors.T
