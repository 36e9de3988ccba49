"""How good a choice is that is made before anything was run on the new data set.

Data sets are held out in folds; on each of them one configuration is chosen from what was run there, and what it came
to is looked up. What a method chooses on a data set depends on the runs of other folds only.

Regret is (greatest - score) / (greatest - least), both over all scores of all curves of the data set. A crash has the
regret 1, and counts as the score 0, or as the least score that can be if that is greater.

Axis letters here: D data sets, M configurations, N runs of a data set.
"""

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from synthenv.core.errors import UserError
from synthenv.selection.forecast import Distribution
from synthenv.selection.surrogates.surrogate import Candidates, Surrogate
from synthenv.selection.tables import columns
from synthenv.selection.tables.folds import folds_of
from synthenv.selection.tables.meta_dataset import MetaDataset


@dataclasses.dataclass(frozen=True)
class Protocol:
    """How methods are tried.

    Attributes:
        folds: of data sets; None leaves one out at a time, with all that were made from the same one.
        seed: of the folds.
        strict: whether configurations are dropped that were tuned on a data set of the fold that is held out.
    """

    folds: int | None = 5
    seed: int = 0
    strict: bool = False


class Pool(NamedTuple):
    """What was run on a data set, as far as the protocol lets it be chosen, and what came of it.

    Attributes:
        dataset: the data set.
        config: the configuration of each run. int32 [N]
        regret: 0 for the best score that any run had at any step. [N]
        score: the best score of each run. [N]
    """

    dataset: int
    config: np.ndarray
    regret: np.ndarray
    score: np.ndarray


class Outcome(NamedTuple):
    """What a method came to on each data set, NaN where there was nothing to choose.

    Attributes:
        regret: of the run that was chosen; of a method that leaves the choice to chance its mean. [D]
        score: the same of the scores. [D]
        config: the configuration that was chosen, -1 where chance chooses. int32 [D]
    """

    regret: np.ndarray
    score: np.ndarray
    config: np.ndarray


Shares = np.ndarray  # how likely each run of a pool is to be chosen. [N]
Method = Callable[[jax.Array, MetaDataset, list[Pool]], list[Shares]]


def pools_of(meta: MetaDataset) -> list[Pool]:
    """The runs of each data set that have a score or crashed. [D]"""
    low, high = meta.score_range
    of_crash = float(np.clip(0.0, low, high))
    scores = np.where(meta.crashed, np.nan, meta.best_scores()).astype(np.float64)
    pools = []
    for d in range(len(meta.datasets)):
        rows = np.flatnonzero((meta.dataset_of == d) & (meta.crashed | ~np.isnan(scores)))
        seen = meta.curves[rows]
        seen = seen[~np.isnan(seen)]
        least, greatest = (seen.min(), seen.max()) if len(seen) else (0.0, 0.0)
        regret = (greatest - scores[rows]) / max(greatest - least, 1e-12)
        crashed = meta.crashed[rows]
        score = np.where(crashed, of_crash, scores[rows])
        pools.append(Pool(d, meta.config_of[rows], np.where(crashed, 1.0, regret), score))
    return pools


def cross_validate(
    key: jax.Array, meta: MetaDataset, methods: Mapping[str, Method], protocol: Protocol | None = None
) -> dict[str, Outcome]:
    """Hold out each data set once and let every method choose for it.

    Data sets without any meta-feature, where others have some, are learnt from and not chosen for.

    Args:
        key: of the methods' own randomness.
        meta: all runs.
        methods: by name; each is shown the runs of the other folds and the pools of the data sets held out.
        protocol: how data sets are held out.

    Raises:
        UserError: there are too few data sets.
    """
    protocol = protocol or Protocol()
    fold = folds_of(meta.datasets, protocol.folds, protocol.seed)
    described = ~np.isnan(meta.meta_features).all(1) if len(meta.meta_names) else np.ones(len(fold), bool)
    pools = pools_of(meta)
    num = len(meta.datasets)
    outcomes = {
        name: Outcome(np.full(num, np.nan), np.full(num, np.nan), np.full(num, -1)) for name in methods
    }
    for f in range(fold.max() + 1):
        held_out = np.flatnonzero((fold == f) & (described | ~described.any()))
        others = meta.subset(np.flatnonzero(fold != f).tolist())
        allowed = np.ones(len(meta.config_names), bool)
        if protocol.strict and meta.tuned_on is not None:
            allowed = ~np.isin(meta.tuned_on, np.flatnonzero(fold == f))
            others = without(others, allowed)
        asked = [pool for pool in (_allowed(pools[d], allowed) for d in held_out) if len(pool.config)]
        for i, (name, method) in enumerate(methods.items()):
            shares = method(jax.random.fold_in(jax.random.fold_in(key, f), i), others, asked)
            for pool, share in zip(asked, shares, strict=True):
                _note(outcomes[name], pool, share)
    return outcomes


def without(meta: MetaDataset, allowed: np.ndarray) -> MetaDataset:
    """The runs of some configurations only; bool [M]."""
    kept = allowed[meta.config_of]
    if not kept.any():
        raise UserError("the strict protocol leaves no runs to learn from: leave it out")
    fields = ("dataset_of", "config_of", "curves", "costs", "crashed")
    return dataclasses.replace(meta, **{name: getattr(meta, name)[kept] for name in fields})


def _allowed(pool: Pool, allowed: np.ndarray) -> Pool:
    kept = allowed[pool.config]
    return Pool(pool.dataset, pool.config[kept], pool.regret[kept], pool.score[kept])


def _note(outcome: Outcome, pool: Pool, shares: Shares) -> None:
    outcome.regret[pool.dataset] = shares @ pool.regret
    outcome.score[pool.dataset] = shares @ pool.score
    outcome.config[pool.dataset] = pool.config[shares.argmax()] if shares.max() == 1.0 else -1


def first_choice(surrogate: Surrogate, meta: MetaDataset) -> Method:
    """Choose what a surrogate expects most of.

    Args:
        surrogate: is fitted anew for every fold.
        meta: where the features of configurations and data sets are from; its scores are not looked at.
    """
    features = columns.features(meta.columns, meta.configs)

    def choose(key: jax.Array, others: MetaDataset, pools: list[Pool]) -> list[Shares]:
        params = surrogate.fit(key, others)
        size = max((len(pool.config) for pool in pools), default=0)
        shares = []
        for pool in pools:
            num, of_data = len(pool.config), meta.meta_features[pool.dataset]
            expected = asked(surrogate, params, features[pool.config], of_data, size).mean[:num]
            shares.append(_only(np.asarray(expected).argmax(), num))
        return shares

    return choose


def asked(
    surrogate: Surrogate, params: Any, features: np.ndarray, meta_features: np.ndarray, size: int
) -> Distribution:
    """What a surrogate expects of each configuration, before anything was run. [size]

    Args:
        surrogate: any.
        params: what it has learnt.
        features: of the configurations. [N, F]
        meta_features: of the data set. [K]
        size: what N is padded to, so that programs fit several data sets.
    """
    num = len(features)
    padded = jnp.asarray(np.pad(features, ((0, size - num), (0, 0))))
    candidates = Candidates(padded, jnp.asarray(meta_features), jnp.arange(size) < num)
    state = surrogate.start(params, candidates, 1)
    return surrogate.forecast(params, state, jnp.ones(size, jnp.int32)).score


def _only(place: Any, num: int) -> Shares:
    return (np.arange(num) == place).astype(np.float64)
