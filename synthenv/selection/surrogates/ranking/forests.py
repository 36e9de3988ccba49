"""Forests that choose among configurations by the meta-features of a data set, as AutoFolio does.

A "joint" forest predicts the score of a configuration from its hyperparameters and the data set. "individual" ones
predict it for each configuration from the data set alone, and "pairwise" ones say for each two configurations which is
better; what wins most of these comparisons is chosen. The latter two know configurations that were run on several data
sets, and their numbers grow with those of the configurations or of their pairs: they are for small tables.

References:
    Lindauer et al. (2015), AutoFolio: an automatically configured algorithm selector; Xu et al. (2012), SATzilla2012,
    for the pairwise votes.

Axis letters here: N candidates, M configurations, D data sets, K meta-features, T trees.
"""

import dataclasses
from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from synthenv.core.errors import UserError
from synthenv.selection.surrogates import inputs
from synthenv.selection.surrogates.inputs import Scaling
from synthenv.selection.surrogates.ranking import trees
from synthenv.selection.surrogates.ranking.ranked_rows import RankedRows, ranked_rows
from synthenv.selection.surrogates.ranking.standing import Standing, standardised, standing_surrogate
from synthenv.selection.surrogates.ranking.trees import Forests
from synthenv.selection.surrogates.surrogate import Candidates, Surrogate
from synthenv.selection.tables import columns
from synthenv.selection.tables.meta_dataset import MetaDataset

MOST_CONFIGS = 60  # of pairwise forests: 1,770 pairs


@dataclasses.dataclass(frozen=True)
class ForestConfig:
    """How forests are grown.

    Attributes:
        kind: what they predict.
        target: scores as they are, or "relative" to those of their data set.
        num_trees: of a forest.
        least_leaf: rows of a leaf, at least.
        share: of the inputs that a split may choose from.
    """

    kind: Literal["joint", "individual", "pairwise"] = "joint"
    target: Literal["score", "relative"] = "relative"
    num_trees: int = 100
    least_leaf: int = 1
    share: float = 0.4


class Grown(NamedTuple):
    """What was learnt.

    Attributes:
        forests: one if joint; of each configuration; or of each pair.
        scaling: of inputs.
        known: the features of the configurations that forests are of. [M, F]
        first: of each pair. int32 [G]
        second: of each pair; forests tell how likely it is to be better. int32 [G]
    """

    forests: Forests
    scaling: Scaling
    known: jax.Array
    first: jax.Array
    second: jax.Array


def _sklearn() -> Any:
    try:
        from sklearn import ensemble
    except ImportError:
        raise UserError("forests need scikit-learn: pip install 'synthenv[select]'") from None
    return ensemble


def fit(config: ForestConfig, key: jax.Array, meta: MetaDataset) -> Grown:
    """Grow forests on the runs of a meta-data set.

    Raises:
        UserError: scikit-learn is not installed, or there are too many configurations for pairs of them.
    """
    ensemble, rows = _sklearn(), ranked_rows(meta)
    features = columns.features(meta.columns, meta.configs)
    scaling = inputs.measure(features[np.asarray(rows.config)], meta.meta_features)
    described = np.asarray(inputs.of_data_sets(scaling, jnp.asarray(meta.meta_features)))
    options = {
        "n_estimators": config.num_trees,
        "min_samples_leaf": config.least_leaf,
        "max_features": config.share,
        "random_state": int(jax.random.randint(key, (), 0, 2**31 - 1)),
    }
    target = np.asarray(rows.relative if config.target == "relative" else rows.score, np.float64)
    if config.kind == "joint":
        x = np.concatenate([features[np.asarray(rows.config)], described[np.asarray(rows.dataset)]], axis=1)
        grown, used, pairs = [ensemble.ExtraTreesRegressor(**options).fit(x, target)], np.arange(0), []
    elif config.kind == "individual":
        used = np.unique(rows.config)
        grown, pairs = _individual(ensemble.RandomForestRegressor, options, rows, described, target, used), []
    else:
        used = np.unique(rows.config)
        if len(used) > MOST_CONFIGS:
            raise UserError(
                f"pairwise forests are for at most {MOST_CONFIGS} configurations, and there are {len(used)}: take joint"
                " ones"
            )
        grown, pairs = _pairwise(ensemble.RandomForestClassifier, options, rows, described, target, used)
    first, second = np.array(pairs, np.int32).reshape(-1, 2).T
    return Grown(
        trees.as_arrays(grown), scaling, jnp.asarray(features[used]), jnp.asarray(first), jnp.asarray(second)
    )


def _individual(
    kind: Any,
    options: dict[str, Any],
    rows: RankedRows,
    described: np.ndarray,
    target: np.ndarray,
    used: np.ndarray,
) -> list[Any]:
    """A forest of each configuration, from the meta-features [D, K] of the data sets where it was run."""
    config, dataset = np.asarray(rows.config), np.asarray(rows.dataset)
    return [kind(**options).fit(described[dataset[config == c]], target[config == c]) for c in used]


def _pairwise(
    kind: Any,
    options: dict[str, Any],
    rows: RankedRows,
    described: np.ndarray,
    target: np.ndarray,
    used: np.ndarray,
) -> tuple[list[Any], list[tuple[int, int]]]:
    """A forest of each two configurations that differ somewhere, and which they are; differences weigh."""
    table = np.full((len(described), len(used)), np.nan)
    table[np.asarray(rows.dataset), np.searchsorted(used, np.asarray(rows.config))] = target
    grown, pairs = [], []
    for first in range(len(used)):
        for second in range(first + 1, len(used)):
            gain = table[:, second] - table[:, first]
            tells = ~np.isnan(gain) & (gain != 0)
            # A classifier names its classes by what it has seen: with both there, the last one is "second is better".
            x = np.concatenate([described[tells], described[tells]])
            labels = np.repeat([False, True], tells.sum())
            weight = np.concatenate([np.maximum(-gain[tells], 0), np.maximum(gain[tells], 0)])
            if tells.any():
                grown.append(kind(**options).fit(x[weight > 0], labels[weight > 0], weight[weight > 0]))
                pairs.append((first, second))
    return grown, pairs


def stand(config: ForestConfig, params: Grown, candidates: Candidates) -> Standing:
    """What the forests say of candidates on a data set, in standard deviations over the candidates."""
    described = inputs.of_data_sets(params.scaling, candidates.meta_features)
    if config.kind == "joint":
        each = jax.vmap(lambda x: trees.ask(params.forests, jnp.concatenate([x, described]))[0])
        said = each(candidates.features)
        return standardised(said.mean(1), said.std(1), candidates.mask)
    far = jnp.sum(jnp.square(candidates.features[:, None] - params.known[None]), axis=-1)
    nearest = jnp.argmin(far, axis=1)  # itself, if it was run on other data sets
    said = trees.ask(params.forests, described)
    if config.kind == "individual":
        return standardised(said.mean(1)[nearest], said.std(1)[nearest], candidates.mask)
    wins = jnp.zeros(len(params.known))
    second_wins = (said.mean(1) > 0.5).astype(jnp.float32)
    wins = wins.at[params.second].add(second_wins).at[params.first].add(1.0 - second_wins)
    return standardised(wins[nearest], jnp.zeros(len(nearest)), candidates.mask)


def closed_gap(score: np.ndarray, single_best: np.ndarray, oracle: np.ndarray) -> float:
    """How much of the way from the single best configuration to the best choice a selector goes: 1 is all, 0 none.

    Args:
        score: of what was chosen on each data set. [D]
        single_best: of the configuration that is best on average. [D]
        oracle: of the best one on each data set. [D]

    Raises:
        UserError: there is no way to go.
    """
    way = float(np.mean(oracle) - np.mean(single_best))
    if way <= 0:
        raise UserError("the single best configuration is best everywhere: there is no gap to close")
    return float(np.mean(score) - np.mean(single_best)) / way


def forest_surrogate(name: str, about: str, config: ForestConfig) -> Surrogate:
    """A surrogate that asks forests of these settings."""
    return standing_surrogate(
        name,
        about,
        lambda key, meta: fit(config, key, meta),
        lambda params, asked: stand(config, params, asked),
    )
