"""Ranks of configurations by kernel ridge regression: closed form, so nothing about it depends on a seed.

How rows are alike is chosen by what the runs of each data set are expected to be from those of all others, so where
meta-features say nothing, they are not listened to.

What it aims at is the place of a run among those of its data set, as a quantile of a normal distribution: which data
sets are easy does not matter, and neither does how much worse the bad runs are. Two rows are alike if their
configurations are; how far the likeness of their data sets matters is one number.

Axis letters here: R rows, N candidates, F features, K meta-features.
"""

import dataclasses
import itertools
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from scipy import linalg
from scipy.special import ndtri

from synthenv.selection.surrogates import inputs
from synthenv.selection.surrogates.inputs import Scaling
from synthenv.selection.surrogates.ranking.ranked_rows import RankedRows, ranked_rows
from synthenv.selection.surrogates.ranking.standing import Standing, standardised, standing_surrogate
from synthenv.selection.surrogates.surrogate import Candidates, Surrogate
from synthenv.selection.tables import columns
from synthenv.selection.tables.meta_dataset import MetaDataset


class Likeness(NamedTuple):
    """How rows are alike.

    Attributes:
        config_scale: of squared distances of configurations, whose mean is 1.
        data_share: of the kernel that depends on the data set.
        ridge: added to the diagonal.
    """

    config_scale: float
    data_share: float
    ridge: float


@dataclasses.dataclass(frozen=True)
class KernelConfig:
    """Between what the likeness of rows is chosen.

    Attributes:
        config_scales: of squared distances of configurations, whose mean is 1.
        data_shares: of the kernel that depends on the data set.
        ridges: added to the diagonal.
        most_rows: that the choice is made on; a sample where there are more.
    """

    config_scales: tuple[float, ...] = (0.5, 1.0)
    data_shares: tuple[float, ...] = (0.0, 0.4, 1.0)
    ridges: tuple[float, ...] = (0.1, 0.5, 2.0)
    most_rows: int = 1000


class KernelRidge(NamedTuple):
    """What was learnt.

    Attributes:
        features: standardised, of the rows. [R, F]
        described: standardised meta-features, of the rows. [R, K]
        weights: of the rows. [R]
        scaling: of inputs.
        unit: mean squared distances of configurations and of data sets. [2]
        likeness: how rows are alike.
    """

    features: jax.Array
    described: jax.Array
    weights: jax.Array
    scaling: Scaling
    unit: jax.Array
    likeness: Likeness


def normal_places(rows: RankedRows) -> np.ndarray:
    """Each row's place among those of its data set, as a quantile of a normal distribution. float64 [R]

    Equal scores share the middle of their places.
    """
    below, above = np.asarray(rows.below, np.float64), np.asarray(rows.above, np.float64)
    num = np.asarray(rows.last - rows.first, np.float64)
    return ndtri((below + num - above) / (2 * num))


def fit(config: KernelConfig, key: jax.Array, meta: MetaDataset) -> KernelRidge:
    """Choose how rows are alike, and solve for the weights of all of them; takes cubic time in their number."""
    rows = ranked_rows(meta)
    features = columns.features(meta.columns, meta.configs)
    scaling = inputs.measure(features[np.asarray(rows.config)], meta.meta_features)
    x = inputs.of_configs(scaling, jnp.asarray(features))[rows.config]
    z = inputs.of_data_sets(scaling, jnp.asarray(meta.meta_features))[rows.dataset]
    unit = jnp.stack([_typical(x), _typical(z)])
    target, dataset = normal_places(rows), np.asarray(rows.dataset)
    shown = np.asarray(jax.random.permutation(key, len(target)))[: config.most_rows]
    options = itertools.product(config.config_scales, config.data_shares, config.ridges)

    def error(option: Likeness) -> float:
        kernel = _kernel(option, unit, x[shown], z[shown], x[shown], z[shown])
        return left_out_error(np.asarray(kernel), option.ridge, target[shown], dataset[shown])

    likeness = min((Likeness(*option) for option in options), key=error)
    kernel = np.array(_kernel(likeness, unit, x, z, x, z))
    kernel[np.diag_indices(len(kernel))] += likeness.ridge
    weights = linalg.solve(kernel, target, assume_a="pos", overwrite_a=True, check_finite=False)
    return KernelRidge(x, z, jnp.asarray(weights, jnp.float32), scaling, unit, likeness)


def left_out_error(kernel: np.ndarray, ridge: float, target: np.ndarray, dataset: np.ndarray) -> float:
    """Mean squared error of each data set's rows, predicted from those of all others; exact, from one inverse.

    Args:
        kernel: of all rows. [R, R]
        ridge: added to its diagonal.
        target: what is predicted. [R]
        dataset: the data set of each row. int [R]
    """
    inverse = linalg.inv(kernel + ridge * np.eye(len(kernel)), check_finite=False)
    weights = inverse @ target
    total = 0.0
    for d in np.unique(dataset):
        rows = np.flatnonzero(dataset == d)
        missed = linalg.solve(inverse[np.ix_(rows, rows)], weights[rows], check_finite=False)
        total += float(missed @ missed)
    return total / len(target)


def _typical(x: jax.Array) -> jax.Array:
    """The mean squared distance of two rows; 1 if all are the same. []"""
    mean = 2.0 * jnp.sum(jnp.var(x, axis=0))
    return jnp.where(mean > 1e-6, mean, 1.0)


def _kernel(
    likeness: Likeness, unit: jax.Array, x: jax.Array, z: jax.Array, other_x: jax.Array, other_z: jax.Array
) -> jax.Array:
    configs = jnp.exp(-likeness.config_scale * _squared_distances(x, other_x) / unit[0])
    data = jnp.exp(-_squared_distances(z, other_z) / unit[1])
    return configs * (1.0 - likeness.data_share + likeness.data_share * data)


def _squared_distances(a: jax.Array, b: jax.Array) -> jax.Array:
    squares = jnp.sum(a * a, axis=1)[:, None] + jnp.sum(b * b, axis=1)[None]
    return jnp.maximum(squares - 2.0 * a @ b.T, 0.0)


def stand(params: KernelRidge, candidates: Candidates) -> Standing:
    """What is expected of candidates on a data set, in standard deviations over the candidates."""
    x = inputs.of_configs(params.scaling, candidates.features)
    z = inputs.of_data_sets(params.scaling, candidates.meta_features)
    z = jnp.broadcast_to(z, (len(x), len(z)))
    said = _kernel(params.likeness, params.unit, x, z, params.features, params.described) @ params.weights
    return standardised(said, jnp.zeros_like(said), candidates.mask)


def kernel_surrogate(name: str, about: str, config: KernelConfig) -> Surrogate:
    """A surrogate that ranks by a kernel of these settings."""
    return standing_surrogate(name, about, lambda key, meta: fit(config, key, meta), stand)
