"""Ranking for one data set, and what the first choice comes to on data sets that are held out."""

import csv
from typing import Any, NamedTuple

import jax
import numpy as np

from synthenv.core.errors import UserError
from synthenv.core.files import disk_error
from synthenv.core.registry import unknown
from synthenv.runs.select.rank.arguments import SelectRank
from synthenv.runs.statistics.intervals import bootstrap_interval
from synthenv.selection.readers.registry import read_meta_dataset
from synthenv.selection.surrogates.registry import SURROGATES
from synthenv.selection.tables import columns
from synthenv.selection.tables.folds import core_of
from synthenv.selection.tables.meta_dataset import MetaDataset
from synthenv.selection.zero_shot import baselines as zero_shot_baselines
from synthenv.selection.zero_shot import protocol as zero_shot
from synthenv.selection.zero_shot.protocol import Method, Outcome, Protocol

REGRESSION = "regression"


class Ranked(NamedTuple):
    """A configuration in its place.

    Attributes:
        name: what it goes by in the table.
        config: its hyperparameters.
        expected: by how many standard deviations it is expected to be better than the mean of all.
        std: how much members of an ensemble disagree on that.
    """

    name: str
    config: dict[str, Any]
    expected: float
    std: float


def rank(command: SelectRank) -> list[Ranked]:
    """Rank all configurations of the table for the data set that was asked for, the best one first.

    Raises:
        UserError: the table has no such data set or meta-feature, or cannot be read.
    """
    surrogate = SURROGATES.find(command.surrogate)
    meta = read_meta_dataset(command.data)
    described = _described(command, meta)
    if command.for_dataset is not None:
        core = core_of(command.for_dataset)
        others = [i for i, name in enumerate(meta.datasets) if core_of(name) != core]
        if not others:
            raise UserError(f"{command.data} has no other data sets than {command.for_dataset} to learn from")
        meta = meta.subset(others)
    params = surrogate.fit(jax.random.key(command.common.seed), meta)
    features = columns.features(meta.columns, meta.configs)
    score = zero_shot.asked(surrogate, params, features, described, len(features))
    order = np.argsort(-np.asarray(score.mean), kind="stable")[: command.top]
    mean, std = np.asarray(score.mean), np.asarray(score.std)
    return [
        Ranked(
            meta.config_names[i],
            columns.original(meta.columns, meta.configs[i]),
            float(mean[i]),
            float(std[i]),
        )
        for i in order
    ]


def _described(command: SelectRank, meta: MetaDataset) -> np.ndarray:
    """The meta-features of the data set that was asked for, NaN where unknown. float32 [K]"""
    if command.for_dataset is not None:
        if command.for_dataset not in meta.datasets:
            raise UserError(unknown("data set", command.for_dataset, meta.datasets))
        return meta.meta_features[meta.datasets.index(command.for_dataset)]
    given = command.described()
    for name in given:
        if name not in meta.meta_names:
            raise UserError(unknown("meta-feature", name, meta.meta_names))
    return np.array([given.get(name, np.nan) for name in meta.meta_names], np.float32)


def cross_validate(command: SelectRank) -> dict[str, Any]:
    """Measure what the surrogate's first choice comes to, and what its baselines come to.

    Raises:
        UserError: the table cannot be read, or has too few data sets.
    """
    surrogate = SURROGATES.find(command.surrogate)
    meta = read_meta_dataset(command.data)
    methods: dict[str, Method] = {
        command.surrogate: zero_shot.first_choice(surrogate, meta),
        "random": zero_shot_baselines.random,
        "single_best": zero_shot_baselines.single_best,
        "static_order": zero_shot_baselines.static_order,
        REGRESSION: zero_shot.first_choice(SURROGATES[REGRESSION], meta),
        "oracle": zero_shot_baselines.oracle,
    }
    if command.sizes is not None:
        methods["static_size"] = zero_shot_baselines.static_size(_sizes(command), meta)
    protocol = Protocol(None if command.leave_one_out else command.folds, command.common.seed, command.strict)
    outcomes = zero_shot.cross_validate(jax.random.key(command.common.seed), meta, methods, protocol)
    rows = {name: _summary(meta, outcome) for name, outcome in outcomes.items()}
    results = rows[command.surrogate]
    baselines = {name: row for name, row in rows.items() if name == REGRESSION or name != command.surrogate}
    return {
        "surrogate": command.surrogate,
        "strict": command.strict,
        "folds": None if command.leave_one_out else command.folds,
        **results,
        "baselines": baselines,
    }


def _sizes(command: SelectRank) -> dict[str, float]:
    path = command.sizes
    assert path is not None
    try:
        with path.open(encoding="utf-8", newline="") as file:
            return {row["name"]: float(row["size"]) for row in csv.DictReader(file)}
    except OSError as error:
        raise disk_error(error, path) from error
    except (KeyError, TypeError, ValueError) as error:
        raise UserError(f"{path} is no csv file with columns name and size ({error}): mend it") from error


def _summary(meta: MetaDataset, outcome: Outcome) -> dict[str, Any]:
    """Means over data sets, their intervals, and the rows that these are of."""
    there = np.flatnonzero(~np.isnan(outcome.regret))
    if not len(there):
        raise UserError("no data set has anything to choose from under this protocol")
    regret, score = outcome.regret[there], outcome.score[there]
    chosen = [None if i < 0 else meta.config_names[i] for i in outcome.config[there]]
    return {
        "regret": float(regret.mean()),
        "ci95_regret": bootstrap_interval(regret),
        "score": float(score.mean()),
        "ci95_score": bootstrap_interval(score),
        "num_datasets": len(there),
        "datasets": {
            meta.datasets[d]: {"config": name, "regret": float(r), "score": float(s)}
            for d, name, r, s in zip(there, chosen, regret, score, strict=True)
        },
    }
