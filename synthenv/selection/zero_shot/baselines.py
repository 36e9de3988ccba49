"""What any choice for a new data set has to beat: chance, one order for all data sets, model size.

``random`` and ``oracle`` are the ends of the scale. ``single_best`` depends on the table. Where configurations were run
on several data sets, it is the one with the greatest mean score on the others. Where every data set has runs of its
own, no configuration can be taken over, and it is a family instead: the value of one hyperparameter, such as a
pretrained model, whose runs were best on average; which of these is run is left to chance. ``static_order`` is stronger
there: a ridge regression on all hyperparameters, the same for every data set.

Axis letters here: D data sets, M configurations, N runs of a data set, R runs, F features.
"""

from collections.abc import Mapping
from typing import NamedTuple

import jax
import numpy as np

from synthenv.core.errors import UserError
from synthenv.selection.tables import columns
from synthenv.selection.tables.meta_dataset import MetaDataset
from synthenv.selection.zero_shot.protocol import Method, Pool, Shares, pools_of

LEAST_RUNS = 10  # of a family, on other data sets, before its mean says anything
_RIDGE = 1.0


class Family(NamedTuple):
    """The configurations that have one value of one hyperparameter.

    Attributes:
        column: which hyperparameter.
        value: as it is stored.
    """

    column: int
    value: float


def random(key: jax.Array, others: MetaDataset, pools: list[Pool]) -> list[Shares]:
    """Any run, each equally likely."""
    return [_evenly(np.ones(len(pool.config), bool)) for pool in pools]


def oracle(key: jax.Array, others: MetaDataset, pools: list[Pool]) -> list[Shares]:
    """The best run, which nobody knows beforehand."""
    return [_first(-pool.regret) for pool in pools]


def single_best(key: jax.Array, others: MetaDataset, pools: list[Pool]) -> list[Shares]:
    """The configuration that was best on average on other data sets, or the best family of configurations."""
    means, counts = _means_of_configs(others)
    if are_shared(others):
        means = np.where(counts > 0, means, -np.inf)
        return [_first(means[pool.config]) for pool in pools]
    family = best_family(others)
    shares = []
    for pool in pools:
        of_family = others.configs[pool.config, family.column] == family.value
        shares.append(_evenly(of_family if of_family.any() else np.ones(len(of_family), bool)))
    return shares


def static_order(key: jax.Array, others: MetaDataset, pools: list[Pool]) -> list[Shares]:
    """The run that a ridge regression on hyperparameters expects most of; it does not know the data set."""
    x, target = columns.features(others.columns, others.configs), -_regrets(others)
    rows = np.concatenate([pool.config for pool in pools_of(others)])
    mean = x[rows].mean(0)
    centred = x[rows] - mean
    gram = centred.T @ centred + _RIDGE * np.eye(x.shape[1])
    weights = np.linalg.solve(gram, centred.T @ (target - target.mean()))
    return [_first((x[pool.config] - mean) @ weights) for pool in pools]


def static_size(sizes: Mapping[str, float], meta: MetaDataset) -> Method:
    """The largest pretrained model that was run; which of its runs is left to chance.

    Args:
        sizes: of the values of one hyperparameter, such as parameters of each model.
        meta: the table they belong to.

    Raises:
        UserError: no hyperparameter has these values, or one of its values has no size.
    """
    column = _column_of_sizes(sizes, meta)
    known = np.array([sizes[str(value)] for value in meta.columns[column].values])

    def choose(key: jax.Array, others: MetaDataset, pools: list[Pool]) -> list[Shares]:
        shares = []
        for pool in pools:
            place = np.nan_to_num(meta.configs[pool.config, column], nan=0.0).astype(int)
            size = np.where(np.isnan(meta.configs[pool.config, column]), -np.inf, known[place])
            shares.append(_evenly(size == size.max()))
        return shares

    return choose


def _column_of_sizes(sizes: Mapping[str, float], meta: MetaDataset) -> int:
    choices = [i for i, column in enumerate(meta.columns) if column.kind == "choice"]
    place = max(choices, key=lambda i: sum(str(v) in sizes for v in meta.columns[i].values), default=None)
    if place is None or not any(str(value) in sizes for value in meta.columns[place].values):
        raise UserError("no hyperparameter of the table has values of the names in the list of sizes")
    missing = [str(value) for value in meta.columns[place].values if str(value) not in sizes]
    if missing:
        raise UserError(f"the list of sizes has none for {missing[0]}: add a line for it")
    return place


def are_shared(meta: MetaDataset) -> bool:
    """Whether most configurations were run on more than one data set."""
    _, counts = np.unique(meta.config_of, return_counts=True)
    return bool(np.median(counts) > 1)


def best_family(meta: MetaDataset) -> Family:
    """The value of a hyperparameter whose runs have the least mean regret; inactive ones are no value.

    Raises:
        UserError: no hyperparameter has two values with ten runs each.
    """
    rows = np.concatenate([pool.config for pool in pools_of(meta)])
    regret = _regrets(meta)
    found = []
    for place, _ in enumerate(meta.columns):
        stored = meta.configs[rows, place]
        values, counts = np.unique(stored[~np.isnan(stored)], return_counts=True)
        values = values[counts >= LEAST_RUNS]
        if len(values) >= 2:
            found += [(regret[stored == value].mean(), Family(place, float(value))) for value in values]
    if not found:
        raise UserError("the table has no hyperparameter of which two values were run ten times")
    return min(found)[1]


def _regrets(meta: MetaDataset) -> np.ndarray:
    """Of the runs of all data sets, in the order of their pools. [R]"""
    return np.concatenate([pool.regret for pool in pools_of(meta)])


def _means_of_configs(meta: MetaDataset) -> tuple[np.ndarray, np.ndarray]:
    """Mean over data sets of what each configuration is better by than the data set's mean, and how many. [M], [M]

    Where all configurations were run everywhere this orders them as their mean scores do; where cells are missing, an
    easy data set does not favour what was run on it.
    """
    total, count = np.zeros(len(meta.config_names)), np.zeros(len(meta.config_names))
    for pool in pools_of(meta):
        if len(pool.config):
            total[pool.config] += pool.score - pool.score.mean()
            count[pool.config] += 1
    return total / np.maximum(count, 1), count


def _evenly(chosen: np.ndarray) -> Shares:
    return chosen / chosen.sum()


def _first(values: np.ndarray) -> Shares:
    return (np.arange(len(values)) == values.argmax()).astype(np.float64)
