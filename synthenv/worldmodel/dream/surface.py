"""The surface that all observations of a context lie on: a sine and a cosine of one angle always make up a circle.

Small errors of a world model add up over a dream and lead away from this surface, to where no observation was ever seen
and no prediction means anything; agents find what pays there. Surfaces are found by linear algebra, as quadratic
equations that all observations fulfil to the last bits of single precision. Noisy observations fulfil none, and are
left as they are.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from synthenv.worldmodel.context.context import spread

# Bound of the root mean square of an equation over the context, its terms having mean square 1. Rounding alone makes it
# 2e-8 to 1.2e-7 in contexts of Pendulum and Reacher; the next best equation has 1.4e-6 (Reacher) to 0.06.
_EXACT = 3e-7
_STEPS = 2
_DAMPING = 1e-5  # share of the trace: above rounding, below what an independent equation adds
_TINY = 1e-12  # keeps the equations solvable where nothing can move at all
_BLOCK = 8192  # observations that are worked off at a time
_MOST_WORK = 1e9  # bound of observations times squared terms beyond one block: seconds of linear algebra


class Surface(NamedTuple):
    """M quadratic equations: h Q h = 0, where h = (z, 1) and z is a standardised observation.

    Attributes:
        mean: mean of the observations. [d]
        std: their standard deviation, or 1 for columns that are in no equation. [d]
        quadrics: the matrices Q, which are symmetric. [M, d + 1, d + 1]
    """

    mean: jax.Array
    std: jax.Array
    quadrics: jax.Array


def find(obs: np.ndarray) -> Surface:
    """Find all equations that observations [N, d] fulfil.

    Columns of whole numbers, which are rounded anyway, and constant ones are left out. A few observations lie on many
    surfaces, so an equation of n terms takes 3 n distinct ones.
    """
    # A context is taken whole; a long log lends as many observations as a few seconds of linear algebra allow.
    num_terms = (obs.shape[1] + 1) * (obs.shape[1] + 2) // 2
    most = max(_BLOCK, int(_MOST_WORK / num_terms**2))
    obs = obs[spread(np.arange(len(obs)), most)]
    seen = np.unique(obs.astype(np.float64), axis=0)
    mean, std = seen.mean(axis=0), seen.std(axis=0)
    used = (std > 1e-9) & ~np.all(seen == np.round(seen), axis=0)
    std = np.where(used, std, 1.0)
    size, num_used = len(mean) + 1, int(used.sum())
    first, second = np.triu_indices(num_used + 1)
    equations = np.zeros((0, len(first)))
    if num_used and len(seen) >= 3 * len(first):
        h = np.append(((seen - mean) / std)[:, used], np.ones((len(seen), 1)), axis=1)
        terms = h[:, first] * h[:, second]
        scale = np.sqrt(np.mean(np.square(terms), axis=0))
        told = scale > 0  # nothing is known of a product that has always been zero
        first, second, terms, scale = first[told], second[told], terms[:, told], scale[told]
        _, values, right = np.linalg.svd(_fewer(terms / scale / np.sqrt(len(seen))), full_matrices=False)
        equations = right[values < _EXACT][-num_used:] / scale
    places = np.append(np.flatnonzero(used), size - 1)
    quadrics = np.zeros((len(equations), size, size))
    quadrics[:, places[first], places[second]] = equations
    quadrics = 0.5 * (quadrics + np.swapaxes(quadrics, 1, 2))
    return Surface(*(jnp.asarray(array, jnp.float32) for array in (mean, std, quadrics)))


def _fewer(terms: np.ndarray) -> np.ndarray:
    """Reduce many rows [N, T] to at most a block with the same singular values and right singular vectors."""
    while len(terms) > _BLOCK and terms.shape[1] < _BLOCK // 2:
        blocks = [terms[start : start + _BLOCK] for start in range(0, len(terms), _BLOCK)]
        terms = np.concatenate([np.linalg.qr(block, mode="r") for block in blocks])
    return terms


@jax.default_matmul_precision("highest")
def onto(surface: Surface, obs: jax.Array, doubt: jax.Array) -> jax.Array:
    """Move an observation [d] to the surface, by Newton's steps.

    The move is the shortest in units of ``doubt``: numbers that are known well hardly move, and those that are certain,
    such as the place of a goal that never moves, do not move at all.

    Args:
        surface: the surface to move to.
        obs: the predicted observation. [d]
        doubt: standard deviation of each of its numbers; only their ratios matter. [d]
    """
    if not len(surface.quadrics):
        return obs
    start = z = (obs - surface.mean) / surface.std
    doubt = doubt / surface.std
    doubt = jnp.where(doubt.max() > 0, doubt, 1.0)
    variance = jnp.square(doubt / doubt.max())
    for _ in range(_STEPS):
        h = jnp.append(z, 1.0)
        slopes = surface.quadrics @ h  # [M, d + 1]
        values, normals = slopes @ h, 2.0 * slopes[:, :-1]
        ways = normals * variance[None]
        square = ways @ normals.T  # singular where equations follow from each other
        square = square + (_DAMPING * jnp.trace(square) + _TINY) * jnp.eye(len(square))
        z = z - ways.T @ jax.scipy.linalg.solve(square, values, assume_a="pos")
    return obs + (z - start) * surface.std
