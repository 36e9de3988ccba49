"""Gaussian-process regression as a world model: the strongest of the simple ones, and the slowest to encode a context.

Every target column has a process of its own: a constant mean, a squared-exponential kernel and noise. Mean and signal
variance have closed forms; length scales and noise climb the marginal likelihood of that one context, so nothing is
learnt from other tasks. ``isotropic`` has one length scale for all inputs, ``ard`` one for each.

All of this runs in double precision, predictions in single precision: ``value`` says how they keep their digits.

Axis letters here: C context, D inputs, Y targets.

References:
    Rasmussen and Williams (2006), Gaussian processes for machine learning: equation 5.12 for leave-one-out residuals.
"""

from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp

from synthenv.core.types import Prediction, Transition, WorldModel
from synthenv.nets.gaussian_process.marginal_likelihood import Posterior
from synthenv.nets.gaussian_process.sign_steps import Logs
from synthenv.worldmodel.baselines.marginal_likelihood import NOISE_FLOOR, condition, search
from synthenv.worldmodel.baselines.ridge import prediction, rows_of
from synthenv.worldmodel.regression.columns import Columns, inputs_like, standardise
from synthenv.worldmodel.regression.double_precision import double_on_host, single

_RAISES = (1.0, 1e1, 1e2, 1e3, 1e4)  # factors of the noise, where rounding would cost too much
_BYTES_PER_PAIR = 56.0  # XLA reserves 7 matrices of all pairs of rows for ``fit``, in double precision
_NUM_TRIED = 64  # rows that rounding is measured at


class Column(NamedTuple):
    """The predictor of one target, or with a leading axis [Y] of all of them.

    Attributes:
        inverse_scales: inverse length scales; what follows is in units of these scales. [D]
        half_norm: half the squared norms of the context's rows, 0 where the kernel is not smooth. [C]
        alpha: coefficients of the rows, times exp(-half_norm). [C]
        moments: sums of alpha times 1, a row, and a row's outer product with itself: [], [D], [D, D].
        is_smooth: which form predictions take, see ``value``. bool []
        mean: constant mean of the process. []
        error: mean squared error of leaving rows out, and of rounding, standardised. []
    """

    inverse_scales: jax.Array
    half_norm: jax.Array
    alpha: jax.Array
    moments: tuple[jax.Array, jax.Array, jax.Array]
    is_smooth: jax.Array
    mean: jax.Array
    error: jax.Array


class Cache(NamedTuple):
    """An encoded context.

    Attributes:
        columns: how its numbers are standardised.
        inputs: standardised. [D, C]
        targets: the predictor of each target.
    """

    columns: Columns
    inputs: jax.Array
    targets: Column


def column_of(logs: Logs, inputs: jax.Array, target: jax.Array) -> Column:
    """Fit a target [C] for predictions in single precision; inputs [C, D].

    Several levels of noise, from that of the greatest likelihood upwards, are tried with both forms of ``value``. The
    pair is taken for which the errors of leaving rows out and of rounding have the least sum.
    """

    def at(noise: jax.Array) -> Column:
        raised = Logs(logs.scales, noise)
        fitted = condition(raised, inputs, target)
        left_out = jnp.mean(jnp.square(fitted.alpha / jnp.diag(fitted.inverse)))
        at_rows = target - (NOISE_FLOOR + jnp.exp(noise)) * fitted.alpha
        both = [_in_form(fitted, raised, inputs, is_smooth) for is_smooth in (False, True)]
        both = [column._replace(error=left_out + _rounding(column, inputs, at_rows)) for column in both]
        return _least(jax.tree.map(lambda *leaves: jnp.stack(leaves), *both))

    return _least(jax.lax.map(at, logs.noise + jnp.log(jnp.asarray(_RAISES, inputs.dtype))))


def _least(columns: Column) -> Column:
    """Pick the column with the least error of several, leading axis N; errors that are not finite do not count."""
    best = jnp.argmin(jnp.where(jnp.isfinite(columns.error), columns.error, jnp.inf))
    return jax.tree.map(lambda leaf: leaf[best], columns)


def _in_form(fitted: Posterior, logs: Logs, inputs: jax.Array, is_smooth: bool) -> Column:
    inverse_scales = jnp.broadcast_to(jnp.exp(logs.scales), inputs.shape[1])
    moved = inputs * inverse_scales[None]
    half_norm = 0.5 * is_smooth * jnp.sum(jnp.square(moved), axis=1)
    alpha = fitted.alpha * jnp.exp(-half_norm)
    moments = jnp.sum(alpha), alpha @ moved, (moved.T * alpha[None]) @ moved
    return Column(inverse_scales, half_norm, alpha, moments, jnp.array(is_smooth), fitted.mean, fitted.mean)


def _rounding(column: Column, inputs: jax.Array, exact: jax.Array) -> jax.Array:
    """Mean squared error of predictions in single precision for some rows of the context, the exact ones [C] given."""
    column, inputs = jax.tree.map(
        lambda leaf: leaf if leaf.dtype == bool else leaf.astype(jnp.float32), (column, inputs)
    )
    some = inputs[:_NUM_TRIED]
    said = jax.vmap(lambda x: value(column, x, jnp.square(inputs.T - x[:, None])))(some)
    return jnp.mean(jnp.square(said - exact[:_NUM_TRIED]))


@partial(jax.jit, static_argnames="is_ard")
def fit(inputs: jax.Array, targets: jax.Array, is_ard: bool) -> Column:
    """Fit all targets one after the other; inputs [C, D] and targets [C, Y] are standardised."""

    def fit_one(target: jax.Array) -> Column:
        return column_of(search(inputs, target, inputs.shape[1] if is_ard else 1), inputs, target)

    def nothing(target: jax.Array) -> Column:
        return jax.tree.map(lambda leaf: jnp.zeros(leaf.shape, leaf.dtype), jax.eval_shape(fit_one, target))

    # A constant target costs nothing: in a loop a branch not taken is not computed.
    return jax.lax.map(
        lambda target: jax.lax.cond(jnp.any(target != 0.0), fit_one, nothing, target), targets.T
    )


def encode(params: None, transitions: Transition, num_actions: int | None, is_ard: bool) -> Cache:
    """Fit a process to every target of a context [C], in double precision, whatever the precision elsewhere.

    Raises:
        UserError: if the context's numbers are too large or too small to compute with.
    """
    rows = rows_of(transitions, num_actions)
    with double_on_host():
        cache = Cache(rows.columns, rows.inputs.T, fit(rows.inputs, rows.targets, is_ard))
    return single(cache)


def value(column: Column, x: jax.Array, squares: jax.Array) -> jax.Array:
    """Return the mean of one target at x [D], whose squared differences to the context's rows are squares [D, C].

    Slowly varying functions of little noise have coefficients of 1e5 and more that cancel each other, which only double
    precision can follow. With long length scales a kernel is ``exp(-half_norm) * exp(u)`` where u, ``half_norm`` minus
    half the squared distance, is small. The sum of 1 + u + u^2 / 2 over the rows is computed beforehand, and only the
    small rest is left to sum in single precision.
    """
    # Products of the inputs, or multiplications of reduced precision, would lose short distances.
    distance = jnp.matmul(jnp.square(column.inverse_scales), squares, precision=jax.lax.Precision.HIGHEST)
    u = column.half_norm - 0.5 * distance
    kernel = jnp.where(column.is_smooth, _exp_beyond_second_order(u), jnp.exp(u))
    zeroth, first, second = column.moments
    moved = x * column.inverse_scales
    half = 0.5 * jnp.sum(jnp.square(moved))
    linear, square = moved @ first, moved @ second @ moved
    polynomial = zeroth * (1.0 - half + 0.5 * half**2) + linear * (1.0 - half) + 0.5 * square
    return column.mean + jnp.where(column.is_smooth, polynomial, 0.0) + jnp.sum(column.alpha * kernel)


def _exp_beyond_second_order(u: jax.Array) -> jax.Array:
    """Return exp(u) - 1 - u - u^2 / 2 without cancellation, by a series near 0."""
    series = u**3 / 6 * (1 + u / 4 * (1 + u / 5 * (1 + u / 6 * (1 + u / 7 * (1 + u / 8)))))
    return jnp.where(jnp.abs(u) < 0.7, series, jnp.exp(u) - 1 - u - 0.5 * u**2)


def predict(cache: Cache, obs: jax.Array, action: jax.Array) -> Prediction:
    """Return the processes' means; their spread is the context's leave-one-out error, whatever is asked."""
    columns = cache.columns
    x = standardise(inputs_like(columns, obs, action), columns.input_mean, columns.input_std)
    squares = jnp.square(cache.inputs - x[:, None])  # C comes last because that is fast on a CPU
    said = jax.vmap(value, in_axes=(0, None, None))(cache.targets, x, squares)
    return prediction(columns, obs, said, cache.targets.error)


ISOTROPIC = WorldModel("gp-isotropic", partial(encode, is_ard=False), predict, bytes_per_pair=_BYTES_PER_PAIR)
ARD = WorldModel("gp-ard", partial(encode, is_ard=True), predict, bytes_per_pair=_BYTES_PER_PAIR)
