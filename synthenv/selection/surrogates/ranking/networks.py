"""ZAP: networks that rank configurations for a data set from its meta-features alone.

Each member of an ensemble is a perceptron that maps the features of a configuration and the meta-features of a data set
to one number, trained on pairs of runs of the same data set. Members differ by their seed and by the fold of data sets
that they do not see; all of them train side by side in one program.

References:
    Öztürk et al. (2022), Zero-shot AutoML with pretrained models.

Axis letters here: E members, R rows, D data sets, N candidates, I inputs, B anchors.
"""

import dataclasses
import functools
from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax

from synthenv.nets.mlp import Params as Network
from synthenv.nets.mlp import affine, init_mlp
from synthenv.selection.surrogates import inputs
from synthenv.selection.surrogates.inputs import Scaling
from synthenv.selection.surrogates.ranking import losses as ranking_losses
from synthenv.selection.surrogates.ranking.losses import Told, Weighting
from synthenv.selection.surrogates.ranking.ranked_rows import RankedRows, ranked_rows
from synthenv.selection.surrogates.ranking.standing import Standing, standing_surrogate
from synthenv.selection.surrogates.surrogate import Candidates, Surrogate
from synthenv.selection.tables import columns
from synthenv.selection.tables.folds import core_of, folds_of
from synthenv.selection.tables.meta_dataset import MetaDataset


@dataclasses.dataclass(frozen=True)
class RankingConfig:
    """How an ensemble is trained and how its members agree.

    Attributes:
        loss: "bpr" and "triplet" compare runs of a data set, "regression" aims at scores.
        weighting: of pairs, see ``ranking_losses.pair_weight``; for regression any but "none" weighs by closeness to
            the data set's best score.
        target: what regression aims at: scores standardised over all data sets, or "relative" to those of their own.
        depth: hidden layers.
        width: units of each.
        dropout: share of units that training drops.
        learning_rate: at the start; falls along a cosine.
        last_rate: learning rate at the end.
        weight_decay: of AdamW; 0 is Adam.
        batch: anchors of an update.
        updates: how many; counts if ``epochs`` is None.
        epochs: passes over the rows instead.
        folds: of data sets; every member leaves one out. 1 leaves out none.
        seeds: members of each fold.
        keep: the network after the last update, or the one whose first choice was best on the fold left out.
        combine: by the mean of standardised outputs, or by votes for each member's first choice.
    """

    loss: Literal["bpr", "regression", "triplet"] = "bpr"
    weighting: Weighting = "none"
    target: Literal["score", "relative"] = "score"
    depth: int = 2
    width: int = 64
    dropout: float = 0.1
    learning_rate: float = 3e-3
    last_rate: float = 1e-5
    weight_decay: float = 1e-2
    batch: int = 128
    updates: int = 500
    epochs: int | None = None
    folds: int = 1
    seeds: int = 4
    keep: Literal["last", "best"] = "last"
    combine: Literal["mean", "vote"] = "mean"


# The paper drew its networks at random from a space; what it shipped is one of them, and the only one that is known.
RELEASED = RankingConfig(
    depth=5, width=190, dropout=0.0, learning_rate=1e-3, last_rate=1e-6, weight_decay=0.0, batch=64, epochs=400,
    folds=5, seeds=1, keep="best", combine="vote",
)  # fmt: skip
PAPER = dataclasses.replace(RELEASED, depth=8, width=241, dropout=0.392, last_rate=1e-3)
PRESETS = {"default": RankingConfig(), "paper": PAPER, "released": RELEASED}
_CHECKS = 20  # how often the fold left out is looked at
_MULTIPLE_OF_ROWS, _MULTIPLE_OF_DATASETS = 512, 32


class Ensemble(NamedTuple):
    """What was learnt.

    Attributes:
        networks: of all members. [E, ...]
        scaling: of their inputs.
        sign: -1 of members whose outputs have to be turned round. [E]
    """

    networks: Network
    scaling: Scaling
    sign: jax.Array


class _Data(NamedTuple):
    """What members train on.

    Attributes:
        rows: all runs.
        features: inputs of each row. [R, I]
        target: what regression aims at. [R]
        gap: what the best run of the data set is better by, in the target's unit. [R]
        fold: of each row's data set; -1 of rows that only fill the arrays up. int32 [R]
    """

    rows: RankedRows
    features: jax.Array
    target: jax.Array
    gap: jax.Array
    fold: jax.Array


def outputs(networks: Network, x: jax.Array) -> jax.Array:
    """What one member says of inputs x [..., I]. [...]"""
    return _forward(networks, x, None, 0.0)


def _forward(network: Network, x: jax.Array, key: jax.Array | None, dropout: float) -> jax.Array:
    for i, layer in enumerate(network[:-1]):
        x = affine(layer, x)
        if key is not None and dropout > 0:
            kept = jax.random.bernoulli(jax.random.fold_in(key, i), 1 - dropout, x.shape)
            x = jnp.where(kept, x / (1 - dropout), 0.0)
        x = jax.nn.relu(x)
    return affine(network[-1], x)[..., 0]


def fit(config: RankingConfig, key: jax.Array, meta: MetaDataset) -> Ensemble:
    """Train an ensemble on the runs of a meta-data set."""
    rows = ranked_rows(meta)
    features = columns.features(meta.columns, meta.configs)
    scaling = inputs.measure(features[np.asarray(rows.config)], meta.meta_features)
    x = inputs.of_pairs(scaling, features[rows.config], jnp.asarray(meta.meta_features)[rows.dataset])
    target = rows.relative if config.target == "relative" else _standardised(rows.score)
    gap = rows.gap / jnp.maximum(jnp.std(rows.score), 1e-9)
    num_folds = min(config.folds, len(set(map(core_of, meta.datasets))))
    key_folds, key_members = jax.random.split(key)
    seed = int(jax.random.randint(key_folds, (), 0, 2**31 - 1))
    fold = (
        folds_of(meta.datasets, num_folds, seed) if num_folds > 1 else np.zeros(len(meta.datasets), np.int32)
    )
    data = _filled_up(_Data(rows, x, target, gap, jnp.asarray(fold)[rows.dataset]))
    left_out = jnp.tile(jnp.arange(num_folds) if num_folds > 1 else jnp.array([-2]), config.seeds)
    keys = jax.random.split(key_members, len(left_out))
    per_epoch = max(1, len(rows.score) * (num_folds - (num_folds > 1)) // num_folds // config.batch)
    updates = config.updates if config.epochs is None else config.epochs * per_epoch
    most_datasets = _up_to(len(meta.datasets), _MULTIPLE_OF_DATASETS)
    networks = _train_all(config, -(-updates // _CHECKS), most_datasets, data, left_out, keys)
    return Ensemble(networks, scaling, _signs(config, networks, data))


def _filled_up(data: _Data) -> _Data:
    """The same with rows that do not count, so that tables of about the same size share a program."""
    more = _up_to(len(data.fold), _MULTIPLE_OF_ROWS) - len(data.fold)

    def longer(x: jax.Array) -> jax.Array:
        return jnp.pad(x, ((0, more), *[(0, 0)] * (x.ndim - 1)))

    return jax.tree.map(longer, data)._replace(fold=jnp.pad(data.fold, (0, more), constant_values=-1))


def _up_to(number: int, multiple: int) -> int:
    return -(-number // multiple) * multiple


def _standardised(scores: jax.Array) -> jax.Array:
    return (scores - jnp.mean(scores)) / jnp.maximum(jnp.std(scores), 1e-9)


def _signs(config: RankingConfig, networks: Network, data: _Data) -> jax.Array:
    """Triplets leave the direction open: take the one in which outputs rise with training scores."""
    if config.loss != "triplet":
        return jnp.ones(networks[0].bias.shape[0])
    said = jax.vmap(outputs, (0, None))(networks, data.features)
    agrees = (said - said.mean(1, keepdims=True)) @ data.rows.relative
    return jnp.where(agrees < 0, -1.0, 1.0)


@functools.partial(jax.jit, static_argnames=("config", "updates", "num_datasets"))
def _train_all(
    config: RankingConfig, updates: int, num_datasets: int, data: _Data, left_out: jax.Array, keys: jax.Array
) -> Network:
    """Train all members; ``updates`` is how many there are between two looks at the fold left out."""
    return jax.vmap(lambda fold, key: _train(config, updates, num_datasets, data, fold, key))(left_out, keys)


def _train(
    config: RankingConfig, updates: int, num_datasets: int, data: _Data, left_out: jax.Array, key: jax.Array
) -> Network:
    """Train one member."""
    is_training, is_left_out = (data.fold != left_out) & (data.fold >= 0), data.fold == left_out
    order = jnp.argsort(~is_training, stable=True)  # rows to train on come first
    num_rows = jnp.sum(is_training)
    schedule = optax.cosine_decay_schedule(
        config.learning_rate, updates * _CHECKS, config.last_rate / config.learning_rate
    )
    optimizer = optax.adamw(schedule, weight_decay=config.weight_decay)
    key_init, key_updates = jax.random.split(key)
    network = init_mlp(key_init, data.features.shape[1], config.width, 1, config.depth)

    def update(carry: Any, key: jax.Array) -> tuple[Any, None]:
        network, moments = carry
        key_anchor, key_loss = jax.random.split(key)
        drawn = (jax.random.uniform(key_anchor, (config.batch,)) * num_rows).astype(jnp.int32)
        anchor = order[jnp.minimum(drawn, num_rows - 1)]
        gradient = jax.grad(_loss)(network, config, data, anchor, key_loss)
        change, moments = optimizer.update(gradient, moments, network)
        return (optax.apply_updates(network, change), moments), None

    def stretch(carry: Any, keys: jax.Array) -> tuple[Any, None]:
        learning, best, least = carry
        learning, _ = jax.lax.scan(update, learning, keys)
        regret = _first_choice(learning[0], data, is_left_out, num_datasets)
        better = regret < least if config.keep == "best" else jnp.bool_(True)
        best = jax.tree.map(lambda new, old: jnp.where(better, new, old), learning[0], best)
        return (learning, best, jnp.minimum(least, regret)), None

    keys = jax.random.split(key_updates, (_CHECKS, updates))
    start = ((network, optimizer.init(network)), network, jnp.float32(jnp.inf))
    (_, best, _), _ = jax.lax.scan(stretch, start, keys)
    return best


def _loss(
    network: Network, config: RankingConfig, data: _Data, anchor: jax.Array, key: jax.Array
) -> jax.Array:
    key_worse, key_better, key_drop = jax.random.split(key, 3)
    rows = data.rows
    if config.loss == "regression":
        said = _forward(network, data.features[anchor], key_drop, config.dropout)
        gap = None if config.weighting == "none" else data.gap[anchor]
        return ranking_losses.regression(said, data.target[anchor], gap)
    worse = rows.smaller(anchor, jax.random.uniform(key_worse, anchor.shape))
    better = rows.larger(anchor, jax.random.uniform(key_better, anchor.shape))
    three = jnp.concatenate([worse, anchor, better])
    said = jnp.split(_forward(network, data.features[three], key_drop, config.dropout), 3)
    low, middle, high = (
        Told(y, rows.score[i], rows.rank[i]) for y, i in zip(said, (worse, anchor, better), strict=True)
    )
    if config.loss == "triplet":
        return ranking_losses.triplet(low, middle, high)
    return ranking_losses.bpr(config.weighting, low, middle, high)


def _first_choice(network: Network, data: _Data, rows_left_out: jax.Array, num_datasets: int) -> jax.Array:
    """Mean rank of the first choice on the data sets left out, 0 for the best run; 0 if none is. []"""
    said = jnp.where(rows_left_out, outputs(network, data.features), -jnp.inf)
    best = jax.ops.segment_max(said, data.rows.dataset, num_datasets)
    is_choice = rows_left_out & (said == best[data.rows.dataset])
    rank = jax.ops.segment_max(jnp.where(is_choice, data.rows.rank, 0.0), data.rows.dataset, num_datasets)
    is_there = jax.ops.segment_max(rows_left_out.astype(jnp.float32), data.rows.dataset, num_datasets) > 0
    return jnp.sum(jnp.where(is_there, rank, 0.0)) / jnp.maximum(jnp.sum(is_there), 1)


def stand(config: RankingConfig, ensemble: Ensemble, candidates: Candidates) -> Standing:
    """What the ensemble says of candidates on a data set."""
    x = inputs.of_pairs(ensemble.scaling, candidates.features, candidates.meta_features)
    said = ensemble.sign[:, None] * jax.vmap(outputs, (0, None))(ensemble.networks, x)
    return combined(config.combine, said, candidates.mask)


def combined(combine: str, said: jax.Array, mask: jax.Array) -> Standing:
    """Agree on candidates: said [E, N], mask [N]."""
    there, count = jnp.broadcast_to(mask, said.shape), jnp.maximum(jnp.sum(mask), 1)
    centred = said - jnp.sum(jnp.where(there, said, 0.0), axis=1, keepdims=True) / count
    spread = jnp.sqrt(jnp.sum(jnp.where(there, centred**2, 0.0), axis=1, keepdims=True) / count)
    scores = centred / jnp.maximum(spread, 1e-9)
    mean, std = scores.mean(0), scores.std(0)
    if combine == "vote":
        first = jnp.argmax(jnp.where(there, said, -jnp.inf), axis=1)
        votes = jnp.zeros(said.shape[1]).at[first].add(1.0) / len(said)
        mean = votes + 1e-3 * jax.nn.sigmoid(mean) / len(said)  # decides between equal numbers of votes only
    return Standing(mean, std)


def ranking_surrogate(name: str, about: str, config: RankingConfig) -> Surrogate:
    """A surrogate that ranks once, by an ensemble of these settings."""
    return standing_surrogate(
        name,
        about,
        lambda key, meta: fit(config, key, meta),
        lambda params, asked: stand(config, params, asked),
    )
