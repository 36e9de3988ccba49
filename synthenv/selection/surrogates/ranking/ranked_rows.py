"""Runs as rows that know their place among the runs of the same data set.

Only the runs that are there count, so a table of which some cells are missing has the ranks of what is left. A crash
has no score. It stands below every run of its data set that has one, so far that no loss takes it for an average run.

Axis letters here: R rows, D data sets.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from synthenv.selection.tables.meta_dataset import MetaDataset

CRASH_GAP = 1.0  # standard deviations of a data set's scores that a crash counts below the least of them


class RankedRows(NamedTuple):
    """Rows sorted by data set and, within one, by score.

    Attributes:
        config: the configuration. int32 [R]
        dataset: the data set. int32 [R]
        score: the best score of the run, of a crash what stands for it, in shares of the greatest possible one. [R]
        relative: the score, standardised within the data set. [R]
        rank: places from the best run, as a share of the data set's last place; equal scores share the worse one. [R]
        gap: what the data set's best score is better by. [R]
        first: the first row of the same data set. int32 [R]
        below: how many rows of it have a smaller score. int32 [R]
        above: how many have a larger one. int32 [R]
        last: one past the last row of the same data set. int32 [R]
    """

    config: jax.Array
    dataset: jax.Array
    score: jax.Array
    relative: jax.Array
    rank: jax.Array
    gap: jax.Array
    first: jax.Array
    below: jax.Array
    above: jax.Array
    last: jax.Array

    def smaller(self, row: jax.Array, u: jax.Array) -> jax.Array:
        """A row with a smaller score on the same data set, drawn by u in [0, 1); the row itself if there is none."""
        place = self.first[row] + _floor(u, self.below[row])
        return jnp.where(self.below[row] > 0, place, row)

    def larger(self, row: jax.Array, u: jax.Array) -> jax.Array:
        """A row with a larger score on the same data set, drawn by u in [0, 1); the row itself if there is none."""
        place = self.last[row] - self.above[row] + _floor(u, self.above[row])
        return jnp.where(self.above[row] > 0, place, row)


def _floor(u: jax.Array, count: jax.Array) -> jax.Array:
    """u in [0, 1) as one of ``count`` numbers; rounding never reaches the count."""
    return jnp.minimum((u * count).astype(jnp.int32), jnp.maximum(count - 1, 0))


def filled_scores(meta: MetaDataset) -> np.ndarray:
    """The best score of each run, NaN for one that has none, and for a crash a score worse than any. float64 [R]

    A crash counts one standard deviation of its data set's scores below the least of them; on a data set where all
    runs crashed, they all count 0.
    """
    scores = np.where(meta.crashed, np.nan, meta.best_scores()).astype(np.float64)
    for d in range(len(meta.datasets)):
        here = meta.dataset_of == d
        there = scores[here & ~np.isnan(scores)]
        if len(there):
            worst = there.min() - CRASH_GAP * max(there.std(), 1e-3)
        else:
            worst = 0.0
        scores[here & meta.crashed] = worst
    return scores


def ranked_rows(meta: MetaDataset) -> RankedRows:
    """The runs of a meta-data set that have a score or crashed, sorted."""
    scores = filled_scores(meta)
    rows = np.flatnonzero(~np.isnan(scores))
    rows = rows[np.lexsort((scores[rows], meta.dataset_of[rows]))]
    largest = max(map(abs, meta.score_range))
    dataset, score = meta.dataset_of[rows], scores[rows] / (largest if 0 < largest < np.inf else 1.0)
    parts = [
        _places(score[start:stop], start)
        for start, stop in zip(*_bounds(dataset, len(meta.datasets)), strict=True)
    ]
    relative, rank, gap, first, below, above, last = (np.concatenate(x) for x in zip(*parts, strict=True))
    whole, real = jnp.int32, jnp.float32
    return RankedRows(
        jnp.asarray(meta.config_of[rows], whole),
        jnp.asarray(dataset, whole),
        *(jnp.asarray(x, real) for x in (score, relative, rank, gap)),
        *(jnp.asarray(x, whole) for x in (first, below, above, last)),
    )


def _bounds(dataset: np.ndarray, num_datasets: int) -> tuple[np.ndarray, np.ndarray]:
    """Where each data set's rows start and stop."""
    ids = np.arange(num_datasets)
    return np.searchsorted(dataset, ids, "left"), np.searchsorted(dataset, ids, "right")


def _places(scores: np.ndarray, start: int) -> tuple[np.ndarray, ...]:
    """The columns of one data set from its sorted scores: relative, rank, gap, first, below, above, last."""
    num = len(scores)
    below = np.searchsorted(scores, scores, "left")
    above = num - np.searchsorted(scores, scores, "right")
    spread = scores.std() if num else 1.0
    relative = (scores - scores.mean()) / (spread if spread > 1e-9 else 1.0) if num else scores
    worse_place = num - 1 - below
    rank = worse_place / max(worse_place.max(initial=0), 1)
    gap = scores.max(initial=-np.inf) - scores
    return relative, rank, gap, np.full(num, start), below, above, np.full(num, start + num)
