"""What a zero-shot surrogate sees of a configuration on a data set: standardised numbers without gaps.

Axis letters here: D data sets, N configurations, F features, K meta-features, I inputs.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

LOG_RATIO = (
    100.0  # of the largest to the smallest meta-feature, from which on a positive one counts by its logarithm
)


class Scaling(NamedTuple):
    """How numbers become inputs; measured on training data sets only.

    Attributes:
        mean: of features that are not only 0 and 1, else 0. [F]
        std: of the same, else 1. [F]
        meta_is_log: which meta-features count by their logarithm. bool [K]
        meta_least: the least value that such a one had; smaller ones count as this one. [K]
        meta_mean: of meta-features, after the logarithm. [K]
        meta_std: of the same; 1 where all data sets have the same. [K]
    """

    mean: jax.Array
    std: jax.Array
    meta_is_log: jax.Array
    meta_least: jax.Array
    meta_mean: jax.Array
    meta_std: jax.Array


def measure(features: np.ndarray, meta_features: np.ndarray) -> Scaling:
    """Measure how inputs are scaled.

    Args:
        features: of the configurations that were run. [N, F]
        meta_features: of the data sets that they were run on, NaN where unknown. [D, K]
    """
    is_mark = np.isin(features, (0.0, 1.0)).all(0)
    mean, std = np.where(is_mark, 0.0, features.mean(0)), np.where(is_mark, 1.0, features.std(0))
    known = ~np.isnan(meta_features)
    least = np.where(known, meta_features, np.inf).min(0, initial=np.inf)
    greatest = np.where(known, meta_features, -np.inf).max(0, initial=-np.inf)
    is_log = known.any(0) & (least > 0) & (greatest >= LOG_RATIO * least)
    least = np.where(is_log, least, 1.0)
    meta = np.where(is_log, np.log(np.where(known & is_log, meta_features, 1.0)), meta_features)
    count = np.maximum(known.sum(0), 1)
    meta_mean = np.where(known, meta, 0.0).sum(0) / count
    meta_std = np.sqrt((np.where(known, meta - meta_mean, 0.0) ** 2).sum(0) / count)
    scaling = (mean, _or_one(std), is_log, least, meta_mean, _or_one(meta_std))
    return Scaling(*(jnp.asarray(x, bool if x is is_log else jnp.float32) for x in scaling))


def _or_one(std: np.ndarray) -> np.ndarray:
    return np.where(std > 1e-6, std, 1.0)


def of_configs(scaling: Scaling, features: jax.Array) -> jax.Array:
    """Standardised features of configurations. [..., F]"""
    mean, std = (jnp.broadcast_to(x, features.shape) for x in (scaling.mean, scaling.std))
    return (features - mean) / std


def of_data_sets(scaling: Scaling, meta_features: jax.Array) -> jax.Array:
    """Standardised meta-features, 0 where they are unknown. [..., K]"""
    is_log, least, mean, std = (
        jnp.broadcast_to(x, meta_features.shape)
        for x in (scaling.meta_is_log, scaling.meta_least, scaling.meta_mean, scaling.meta_std)
    )
    positive = jnp.where(is_log, jnp.maximum(meta_features, least), 1.0)
    meta = jnp.where(is_log, jnp.log(positive), meta_features)
    return jnp.where(jnp.isnan(meta), 0.0, (meta - mean) / std)


def of_pairs(scaling: Scaling, features: jax.Array, meta_features: jax.Array) -> jax.Array:
    """Inputs of configurations [..., F] on data sets [..., K], side by side. [..., I]"""
    parts = [of_configs(scaling, features), of_data_sets(scaling, meta_features)]
    shape = jnp.broadcast_shapes(*(part.shape[:-1] for part in parts))
    return jnp.concatenate([jnp.broadcast_to(part, (*shape, part.shape[-1])) for part in parts], axis=-1)
