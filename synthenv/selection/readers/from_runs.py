"""A meta-data set from runs, one at a time: the last step of every reader, and what a reader of yours ends with."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from synthenv.core.errors import UserError
from synthenv.selection.tables.columns import Column, columns_of, stored
from synthenv.selection.tables.meta_dataset import MetaDataset


class Run(NamedTuple):
    """One fine-tuning run.

    Attributes:
        dataset: the name of its data set.
        config: the name of its configuration.
        curve: the score after each step, higher is better; NaN where there is none, as in the step of a crash.
        costs: seconds of each step, NaN where unknown; None if all are.
        crashed: whether it ended in a crash.
    """

    dataset: str
    config: str
    curve: Sequence[float] | np.ndarray
    costs: Sequence[float] | np.ndarray | None = None
    crashed: bool = False


def ended_by_nan(dataset: str, config: str, curve: np.ndarray, costs: np.ndarray | None) -> Run:
    """A run that has crashed in the step of its first NaN, if there is one; that step has a cost and no score."""
    lost = np.isnan(curve)
    length = int(lost.argmax()) + 1 if lost.any() else len(curve)
    return Run(
        dataset, config, curve[:length], None if costs is None else costs[:length], crashed=bool(lost.any())
    )


def from_runs(
    runs: Iterable[Run],
    configs: Mapping[str, Mapping[str, Any]],
    about: Mapping[str, Mapping[str, float]] | None = None,
    *,
    columns: Sequence[Column] | None = None,
    score_range: tuple[float, float] = (0.0, 1.0),
    score_name: str = "score",
    tuned_on: Mapping[str, str] | None = None,
) -> MetaDataset:
    """Put runs together.

    Data sets come in the order of their first run, configurations and meta-features in that of their tables; those of
    data sets without a run are left out.

    Args:
        runs: the runs; curves may be unequally long.
        configs: hyperparameters of each configuration by its name; what is missing or None is inactive.
        about: meta-features of each data set by its name; what is missing is unknown.
        columns: the hyperparameters, told from the configurations unless they are passed.
        score_range: the least and the greatest score that can be.
        score_name: what a score is.
        tuned_on: the data set that a configuration was tuned on, by the name of the configuration.

    Raises:
        UserError: a run's configuration is unknown, its costs are not as many as its scores, or the table is refused by
            :class:`~synthenv.selection.tables.meta_dataset.MetaDataset`.
    """
    runs = list(runs)
    place_of_config = {name: i for i, name in enumerate(configs)}
    datasets = list(dict.fromkeys(run.dataset for run in runs))
    place_of_dataset = {name: i for i, name in enumerate(datasets)}
    length = max((len(run.curve) for run in runs), default=0)
    curves = np.full((len(runs), length), np.nan, np.float32)
    costs = np.full((len(runs), length), np.nan, np.float32)
    for i, run in enumerate(runs):
        _check(run, place_of_config)
        curves[i, : len(run.curve)] = run.curve
        if run.costs is not None:
            costs[i, : len(run.costs)] = run.costs
    columns = columns_of(configs.values()) if columns is None else tuple(columns)
    meta_names, meta_features = _meta_features(datasets, about or {})
    return MetaDataset(
        datasets=tuple(datasets),
        columns=columns,
        config_names=tuple(configs),
        configs=stored(columns, list(configs.values())),
        dataset_of=np.array([place_of_dataset[run.dataset] for run in runs], np.int32),
        config_of=np.array([place_of_config[run.config] for run in runs], np.int32),
        curves=curves,
        costs=costs,
        crashed=np.array([run.crashed for run in runs], bool),
        meta_names=meta_names,
        meta_features=meta_features,
        score_range=score_range,
        score_name=score_name,
        tuned_on=_places_tuned_on(tuned_on, configs, place_of_dataset),
    )


def _check(run: Run, known: Mapping[str, int]) -> None:
    what = f"the run of {run.config} on {run.dataset}"
    if run.config not in known:
        raise UserError(f"{what} has no configuration: add a row for {run.config} to the configurations")
    if run.costs is not None and len(run.costs) != len(run.curve):
        raise UserError(
            f"{what} has {len(run.curve)} scores and {len(run.costs)} costs: give every step one of each"
        )


def _meta_features(
    datasets: Sequence[str], about: Mapping[str, Mapping[str, float]]
) -> tuple[tuple[str, ...], np.ndarray]:
    names = tuple(dict.fromkeys(name for known in about.values() for name in known))
    rows = [[about.get(dataset, {}).get(name, np.nan) for name in names] for dataset in datasets]
    return names, np.array(rows, np.float32).reshape(len(datasets), len(names))


def _places_tuned_on(
    tuned_on: Mapping[str, str] | None, configs: Iterable[str], place_of_dataset: Mapping[str, int]
) -> np.ndarray | None:
    if tuned_on is None:
        return None
    return np.array([place_of_dataset.get(tuned_on.get(name, ""), -1) for name in configs], np.int32)
