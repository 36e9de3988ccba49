"""Past fine-tuning runs on many data sets: the one type that everything in this room learns from.

A :class:`MetaDataset` is a list of runs. Each is of one data set and one configuration, and has a curve of scores and
the seconds of every step. Nothing asks that every configuration was run on every data set, or that curves are equally
long. :meth:`MetaDataset.pools` pads the runs to arrays [D, N, T] for compiled programs, and
:meth:`MetaDataset.matrix` is the table data set by configuration of zero-shot selection.

Scores are better when higher: readers turn losses round. A run that crashed has no score, and none is made up for it.

Axis letters here: D data sets, M configurations, R runs, N runs of a data set, T steps, H hyperparameters, K
meta-features.
"""

import dataclasses
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from synthenv.core.errors import UserError
from synthenv.selection.tables.columns import Column


@dataclasses.dataclass(frozen=True)
class MetaDataset:
    """Runs of configurations on data sets.

    Attributes:
        datasets: names of the data sets. [D]
        columns: the hyperparameters. [H]
        config_names: what each configuration goes by. [M]
        configs: their stored values, see ``columns.py``. float32 [M, H]
        dataset_of: the data set of each run. int32 [R]
        config_of: the configuration of each run. int32 [R]
        curves: the score after each step, NaN from where the run ended. float32 [R, T]
        costs: seconds of each step, evaluation included; NaN where unknown. float32 [R, T]
        crashed: whether a run ended in a crash. bool [R]
        meta_names: names of the meta-features. [K]
        meta_features: numbers that describe a data set, NaN where unknown. float32 [D, K]
        score_range: the least and the greatest score that can be.
        score_name: what a score is.
        tuned_on: for each configuration the data set that it was tuned on, -1 if that is unknown or none. int32 [M]
    """

    datasets: tuple[str, ...]
    columns: tuple[Column, ...]
    config_names: tuple[str, ...]
    configs: np.ndarray
    dataset_of: np.ndarray
    config_of: np.ndarray
    curves: np.ndarray
    costs: np.ndarray
    crashed: np.ndarray
    meta_names: tuple[str, ...]
    meta_features: np.ndarray
    score_range: tuple[float, float] = (0.0, 1.0)
    score_name: str = "score"
    tuned_on: np.ndarray | None = None

    def __post_init__(self):
        _check(self)

    @property
    def num_steps(self) -> int:
        """Steps of the longest curve, T."""
        return self.curves.shape[1]

    @property
    def lengths(self) -> np.ndarray:
        """How many steps of each run have a score. int32 [R]"""
        there = ~np.isnan(self.curves)
        return np.where(there.any(1), self.num_steps - there[:, ::-1].argmax(1), 0).astype(np.int32)

    def subset(self, datasets: Sequence[int]) -> "MetaDataset":
        """The runs of some data sets only; configurations stay, used or not."""
        place = np.full(len(self.datasets), -1, np.int32)
        place[list(datasets)] = np.arange(len(datasets))
        kept = place[self.dataset_of] >= 0
        tuned_on = (
            self.tuned_on if self.tuned_on is None else np.where(self.tuned_on >= 0, place[self.tuned_on], -1)
        )
        return dataclasses.replace(
            self,
            datasets=tuple(self.datasets[i] for i in datasets),
            dataset_of=place[self.dataset_of][kept],
            config_of=self.config_of[kept],
            curves=self.curves[kept],
            costs=self.costs[kept],
            crashed=self.crashed[kept],
            meta_features=self.meta_features[list(datasets)],
            tuned_on=tuned_on,
        )

    def best_scores(self) -> np.ndarray:
        """The best score of each run, NaN for one without any. float32 [R]"""
        has_any = self.lengths > 0
        filled = np.where(np.isnan(self.curves), -np.inf, self.curves).max(1)
        return np.where(has_any, filled, np.nan).astype(np.float32)

    def matrix(self) -> np.ndarray:
        """The best score of each configuration on each data set, NaN where it was not run or crashed. float32 [D, M]"""
        table = np.full((len(self.datasets), len(self.config_names)), np.nan, np.float32)
        scores = np.where(self.crashed, np.nan, self.best_scores())
        table[self.dataset_of, self.config_of] = scores
        return table

    def pools(self) -> "Pools":
        """The runs of each data set side by side, padded to the largest data set."""
        order = [np.flatnonzero(self.dataset_of == d) for d in range(len(self.datasets))]
        size = max(map(len, order))
        place = np.stack([np.pad(rows, (0, size - len(rows)), constant_values=-1) for rows in order])
        there = place >= 0

        def padded(values: np.ndarray, fill: float) -> np.ndarray:
            mask = there.reshape(there.shape + (1,) * (values.ndim - 1))
            return np.where(mask, values[place], np.asarray(fill, values.dtype))

        return Pools(
            padded(self.config_of, 0),
            padded(self.curves, np.nan),
            padded(self.costs, np.nan),
            padded(self.lengths, 0),
            padded(self.crashed, True),
            there,
        )


class Pools(NamedTuple):
    """The runs of every data set, padded.

    Attributes:
        config: the configuration of each run. int32 [D, N]
        curves: scores, NaN from where a run ended. float32 [D, N, T]
        costs: seconds of each step. float32 [D, N, T]
        lengths: steps with a score. int32 [D, N]
        crashed: whether it ended in a crash. bool [D, N]
        mask: which runs there are. bool [D, N]
    """

    config: np.ndarray
    curves: np.ndarray
    costs: np.ndarray
    lengths: np.ndarray
    crashed: np.ndarray
    mask: np.ndarray


def _check(meta: MetaDataset) -> None:
    """Refuse tables that no selection could be learnt from; the message names the run."""
    num_runs, num_datasets, num_configs = len(meta.curves), len(meta.datasets), len(meta.config_names)
    if not num_runs:
        raise UserError("the meta-data set holds no runs: pass a table with at least one run")
    shapes = {
        "configs": (meta.configs, (num_configs, len(meta.columns))),
        "dataset_of": (meta.dataset_of, (num_runs,)),
        "config_of": (meta.config_of, (num_runs,)),
        "costs": (meta.costs, meta.curves.shape),
        "crashed": (meta.crashed, (num_runs,)),
        "meta_features": (meta.meta_features, (num_datasets, len(meta.meta_names))),
    }
    if meta.tuned_on is not None:
        shapes["tuned_on"] = (meta.tuned_on, (num_configs,))
    for name, (array, shape) in shapes.items():
        if array.shape != shape:
            raise UserError(f"{name} of a meta-data set has the shape {array.shape}, where {shape} belongs")
    for what, names in (("data set", meta.datasets), ("configuration", meta.config_names)):
        if len(set(names)) < len(names):
            twice = next(name for i, name in enumerate(names) if name in names[:i])
            raise UserError(f"there are two {what}s called {twice!r}: give every one a name of its own")
    for name, places, count in (
        ("dataset_of", meta.dataset_of, num_datasets),
        ("config_of", meta.config_of, num_configs),
    ):
        if places.min() < 0 or places.max() >= count:
            raise UserError(f"{name} of a meta-data set has a place outside of 0 to {count - 1}: mend it")
    if np.isinf(meta.meta_features).any():
        dataset = meta.datasets[int(np.isinf(meta.meta_features).any(1).argmax())]
        raise UserError(f"data set {dataset} has an infinite meta-feature: leave it empty if it is unknown")
    pairs = meta.dataset_of.astype(np.int64) * num_configs + meta.config_of
    _, first, counts = np.unique(pairs, return_index=True, return_counts=True)
    if (counts > 1).any():
        raise UserError(f"{_run(meta, first[counts > 1][0])} is there twice: keep one row of it")
    _check_numbers(meta)


def _check_numbers(meta: MetaDataset) -> None:
    low, high = meta.score_range
    if np.isnan(meta.curves).all():
        raise UserError("no run of the meta-data set has a score: all curves are empty")
    with np.errstate(invalid="ignore"):
        wrong = {
            "an infinite score or cost: leave the cell empty if it is unknown": (
                np.isinf(meta.curves) | np.isinf(meta.costs)
            ).any(1),
            f"a score outside of {low:g} to {high:g}: mend it, or pass the range that scores have": (
                (meta.curves < low) | (meta.curves > high)
            ).any(1),
            "a cost below 0: costs are the seconds of each step": (meta.costs < 0).any(1),
        }
    for what, rows in wrong.items():
        if rows.any():
            raise UserError(f"{_run(meta, int(rows.argmax()))} has {what}")


def _run(meta: MetaDataset, row: int) -> str:
    """What an error calls a run."""
    config, dataset = meta.config_names[meta.config_of[row]], meta.datasets[meta.dataset_of[row]]
    return f"run {row} (configuration {config} on {dataset})"
