"""A factor that grows by a row at a time, in time that is quadratic in its size instead of cubic.

    growing = start(capacity, jnp.float32)
    growing = append(growing, covariances_with_the_rows_before, variance)
    white = whiten_row(growing, white, value)           # what was divided by the factor before grows along
    said = exact.from_white(white, white_crossed, variances)

Arrays have one size from the start, so that nothing is compiled anew, and rows beyond ``count`` are those of an
identity: a factor [N, N] is always one of a positive matrix. Rows are never taken away; to go back, keep an old one.

Axis letters here: N rows at most, Q columns.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax.scipy.linalg import solve_triangular

from synthenv.nets.gaussian_process import exact


class Growing(NamedTuple):
    """A lower factor.

    Attributes:
        factor: that of the first ``count`` rows, then an identity's. [N, N]
        count: rows that there are. int32 []
    """

    factor: jax.Array
    count: jax.Array

    @property
    def mask(self) -> jax.Array:
        """Which rows there are. bool [N]"""
        return jnp.arange(len(self.factor)) < self.count


def start(capacity: int, dtype: jnp.dtype) -> Growing:
    """A factor of no rows that has room for so many."""
    return Growing(jnp.eye(capacity, dtype=dtype), jnp.zeros((), jnp.int32))


def factorise(covariance: jax.Array, count: jax.Array) -> Growing:
    """The factor of the first ``count`` rows of a covariance [N, N], all at once."""
    mask = jnp.arange(len(covariance)) < count
    return Growing(exact.cholesky(exact.masked(covariance, mask)), jnp.asarray(count, jnp.int32))


def append(growing: Growing, row: jax.Array, variance: jax.Array) -> Growing:
    """Add a row; a full factor stays what it is.

    Args:
        growing: the factor so far.
        row: covariances with the rows so far; what stands at ``count`` and beyond is ignored. [N]
        variance: the new row's own, noise included. []
    """
    factor, count = growing
    known = solve_triangular(factor, jnp.where(growing.mask, row, 0.0), lower=True)
    # What the rows so far explain cannot exceed the variance, but rounding may say so.
    least = 10.0 * jnp.finfo(factor.dtype).eps * variance
    rest = jnp.sqrt(jnp.maximum(variance - jnp.sum(jnp.square(known)), least))
    grown = factor.at[count].set(known.at[count].set(rest, mode="drop"), mode="drop")
    return Growing(grown, jnp.minimum(count + 1, len(factor)))


def whiten_row(growing: Growing, white: jax.Array, value: jax.Array) -> jax.Array:
    """Extend what the factor before the last :func:`append` was divided out of.

    Args:
        growing: the factor with its last row.
        white: solution for the rows before, 0 in the others. [N] or [N, Q]
        value: the right-hand side in the last row: a residual, or covariances with queries. [] or [Q]
    """
    last = growing.count - 1
    row = growing.factor[last]
    before = jnp.where(jnp.arange(len(row)) < last, row, 0.0)
    return white.at[last].set((value - before @ white) / row[last])
