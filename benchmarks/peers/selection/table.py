"""Tables of past runs as the peers of pipeline selection play them. Needs numpy only.

A peer proposes hyperparameters and trains step by step. All that the peers share is here, so that they play by the same
rules: the clock, which ends the search when the budget is spent; the space that they see; and how a proposal becomes a
configuration of the pool.

The space is flat. A number lies in [0, 1], as ``synthenv/selection/columns.py`` stores it; levels and choices are their
places in the list. A hyperparameter that is inactive in some configurations has a truth of its own beside it, which
says whether it is there.

Axis letters here: N configurations, H hyperparameters, T steps.
"""

import contextlib
import json
import sys
import time
from collections.abc import Callable
from typing import Any

import numpy as np


class Spent(Exception):
    """The budget is spent, or there is nothing left to train."""


class Exhausted(Exception):
    """Every configuration of the pool was proposed."""


class Table:
    """A data set, its pool, and a search on it that is told of one step after the other."""

    def __init__(self, arrays: Any, columns: list[dict[str, Any]], dataset: int, limit: float):
        there = arrays["mask"][dataset]
        self.columns = columns
        self.rows = arrays["configs"][arrays["config"][dataset][there]].astype(float)  # [N, H]
        self.curves = arrays["curves"][dataset][there]
        self.costs = np.nan_to_num(arrays["costs"][dataset][there])
        self.lengths = np.maximum(arrays["lengths"][dataset][there], 1)
        self.num_steps = self.curves.shape[1]
        self.has_absent = np.isnan(arrays["configs"]).any(0)  # [H]
        self.seen = np.zeros(len(self.rows), int)
        self.clock, self.limit = 0.0, limit
        self.jobs: list[list[int]] = []

    def space(self) -> dict[str, tuple[float, float] | list[Any]]:
        """Bounds of numbers, values of everything else."""
        found: dict[str, tuple[float, float] | list[Any]] = {}
        for column, is_absent in zip(self.columns, self.has_absent, strict=True):
            numbers = (0.0, 1.0) if column["kind"] == "number" else list(range(column["num"]))
            found[column["name"]] = numbers
            if is_absent:
                found[column["name"] + " is there"] = [False, True]
        return found

    def is_ordered(self, name: str) -> bool:
        """Whether the values of a hyperparameter, which are no numbers between bounds, have an order."""
        return any(c["name"] == name and c["kind"] == "levels" for c in self.columns)

    def proposal_of(self, candidate: int) -> dict[str, Any]:
        """A configuration of the pool in terms of the space; what is inactive has its first value, or a half."""
        said: dict[str, Any] = {}
        for column, is_absent, x in zip(self.columns, self.has_absent, self.rows[candidate], strict=True):
            name = column["name"]
            if is_absent:
                said[name + " is there"] = not np.isnan(x)
            if column["kind"] == "number":
                said[name] = 0.5 if np.isnan(x) else float(np.clip(x, 0.0, 1.0))
            else:
                most = max(column["num"] - 1, 1)
                said[name] = 0 if np.isnan(x) else round(x * (most if column["kind"] == "levels" else 1))
        return said

    def nearest(self, proposal: dict[str, Any]) -> int:
        """The configuration nearest to a proposal that was not begun yet.

        Once all were begun, the nearest one that is not at its end; it is trained on from where it was left, and
        only its new steps are told, or a peer that stops it where it had stopped it before would never end. The
        distance is a sum over hyperparameters: the squared difference of numbers and levels in [0, 1], and 1 for a
        choice that differs or a hyperparameter that is there in one of the two only.

        Raises:
            Spent: all are at their ends.
        """
        is_new = self.seen == 0
        is_open = is_new if is_new.any() else self.seen < self.lengths
        if not is_open.any():
            raise Spent
        return int(np.where(is_open, self._distance(proposal), np.inf).argmin())

    def nearest_new(self, proposal: dict[str, Any], taken: set[int]) -> int:
        """The configuration nearest to a proposal that was not proposed before, for peers that train later.

        Raises:
            Exhausted: all were.
        """
        if len(taken) == len(self.rows):
            raise Exhausted
        distance = self._distance(proposal)
        distance[list(taken)] = np.inf
        return int(distance.argmin())

    def finish(self) -> None:
        """Train what is not at its end to its end, the best so far first.

        Raises:
            Spent: the budget is spent, or all are at their ends.
        """
        best = np.where(np.arange(self.num_steps) < self.seen[:, None], self.curves, np.nan)
        best = np.nan_to_num(best, nan=-np.inf).max(1)
        for candidate in np.argsort(-best):
            for step in range(self.seen[candidate] + 1, self.lengths[candidate] + 1):
                self.step(candidate, step)
        raise Spent

    def _distance(self, proposal: dict[str, Any]) -> np.ndarray:
        """Of every configuration of the pool from a proposal. [N]"""
        distance = np.zeros(len(self.rows))
        for h, column in enumerate(self.columns):
            own, is_there = self.rows[:, h], proposal.get(column["name"] + " is there", True)
            value = float(proposal[column["name"]])
            if column["kind"] == "choice":
                gap = (own != value).astype(float)
            else:
                scale = 1.0 if column["kind"] == "number" else max(column["num"] - 1, 1)
                gap = (own - value / scale) ** 2
            distance += np.where(np.isnan(own), float(is_there), gap if is_there else 1.0)
        return distance

    def step(self, candidate: int, step: int) -> float:
        """The score of a configuration after a step, which must be its next one; NaN where it has none.

        A step that was trained before is told again for nothing.

        Raises:
            Spent: the clock stands at the end.
        """
        if step > self.seen[candidate]:
            if self.clock >= self.limit:
                raise Spent
            if step != self.seen[candidate] + 1 or step > self.lengths[candidate]:
                raise ValueError(f"step {step} of configuration {candidate} cannot be the next one")
            self.clock += float(self.costs[candidate, step - 1])
            self.seen[candidate] = step
            if self.jobs and self.jobs[-1][0] == candidate and self.jobs[-1][2] == step - 1:
                self.jobs[-1][2] = int(step)
            else:
                self.jobs.append([int(candidate), int(step) - 1, int(step)])
        return float(self.curves[candidate, step - 1])


def answer(search: Callable[[Table, int], None], version: str) -> None:
    """Play a search for every line ``DATASET SEED LIMIT`` of standard input, and print its jobs as a line of JSON.

    The first argument of the script is the file of the tables.
    """
    arrays = dict(np.load(sys.argv[1]))
    columns = json.loads(str(arrays.pop("columns")))
    for line in sys.stdin:
        dataset, seed, limit = line.split()
        table = Table(arrays, columns, int(dataset), float(limit))
        begin = time.process_time()
        with contextlib.suppress(Spent):
            search(table, int(seed))
        seconds = round(time.process_time() - begin, 2)
        print(json.dumps({"jobs": table.jobs, "cpu_seconds": seconds, "version": version}), flush=True)
