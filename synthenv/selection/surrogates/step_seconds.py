"""What a step of a candidate takes: learnt from other data sets, corrected by what was seen on this one.

The logarithm of the seconds is linear in the features of a configuration, beside a level of each data set. On a new
data set the level and what is peculiar to a candidate are means of what its steps took, drawn towards 0 by a few steps'
worth.

Axis letters here: R runs, F features, N candidates, M rows.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from synthenv.selection.surrogates.history import History
from synthenv.selection.tables.columns import features
from synthenv.selection.tables.meta_dataset import MetaDataset

_RIDGE = 1.0  # in runs
_LEVEL_WEIGHT, _CANDIDATE_WEIGHT = 0.1, 0.5  # how many steps the prior counts as
_LEAST_SECONDS = 1e-3


class StepSeconds(NamedTuple):
    """Logarithm of the seconds of a step: base [] + features @ slopes [F]."""

    base: jax.Array
    slopes: jax.Array


def fit(meta: MetaDataset) -> StepSeconds:
    """Ridge regression over runs; where no run has costs, every step takes a second."""
    x = features(meta.columns, meta.configs)[meta.config_of]
    known = ~np.isnan(meta.costs)
    there = known.any(1)
    if not there.any():
        return StepSeconds(jnp.zeros(()), jnp.zeros(x.shape[1]))
    mean = np.where(known, meta.costs, 0.0).sum(1)[there] / known.sum(1)[there]
    y, x, dataset = np.log(np.maximum(mean, _LEAST_SECONDS)), x[there], meta.dataset_of[there]
    count = np.maximum(np.bincount(dataset), 1)
    x_level = np.stack([np.bincount(dataset, column) / count for column in x.T], axis=1)
    x_rest, y_rest = x - x_level[dataset], y - (np.bincount(dataset, y) / count)[dataset]
    slopes = np.linalg.solve(x_rest.T @ x_rest + _RIDGE * np.eye(x.shape[1]), x_rest.T @ y_rest)
    base = np.mean(y - x @ slopes)
    return StepSeconds(jnp.asarray(base, jnp.float32), jnp.asarray(slopes, jnp.float32))


def forecast(params: StepSeconds, features: jax.Array, history: History) -> jax.Array:
    """Seconds of one more step of each candidate [N, F]. [N]"""
    expected = params.base + features @ params.slopes
    there = (jnp.arange(len(history.seconds)) < history.count) & ~jnp.isnan(history.seconds)
    log_seconds = jnp.log(jnp.maximum(history.seconds, _LEAST_SECONDS))
    rest = jnp.where(there, log_seconds - expected[history.candidate], 0.0)
    level = jnp.sum(rest) / (jnp.sum(there) + _LEVEL_WEIGHT)
    rest = jnp.where(there, rest - level, 0.0)
    count = jnp.zeros(len(expected)).at[history.candidate].add(there)
    own = jnp.zeros(len(expected)).at[history.candidate].add(rest) / (count + _CANDIDATE_WEIGHT)
    return jnp.exp(expected + level + own)


def until(seconds: jax.Array, history: History, steps: jax.Array) -> jax.Array:
    """What the way to so many steps [N] costs from where the candidates stand, at these seconds a step [N]. [N]"""
    return seconds * jnp.maximum(steps - history.steps, 0)
