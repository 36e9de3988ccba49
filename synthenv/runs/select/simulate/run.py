"""Searches of several methods on the same tables: every data set is held out once from what a method learns.

The work is cut into pieces: the searches of one method and one seed on the data sets of one fold. Each leaves a line in
``metrics.jsonl``, so that what was stopped is gone on with after the last piece.

Axis letters here: D data sets, S seeds, Q points of time.
"""

import dataclasses
import time
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from synthenv.core.errors import UserError
from synthenv.core.files import plain
from synthenv.runs.select.simulate.arguments import SelectSimulate
from synthenv.runs.statistics.intervals import bootstrap_interval
from synthenv.runs.storage.csv_tables import write_csv
from synthenv.runs.storage.run_directory import RunDir
from synthenv.selection.readers.registry import read_meta_dataset
from synthenv.selection.search.methods import METHODS, SearchMethod
from synthenv.selection.search.simulate import Limits, Task, regret_at, simulate
from synthenv.selection.surrogates.surrogate import Candidates
from synthenv.selection.tables import columns
from synthenv.selection.tables.folds import folds_of
from synthenv.selection.tables.meta_dataset import MetaDataset

_NUM_TIMES = 200  # points of the regret curves
_BESIDE = {"out", "resume"}  # flags that decide nothing
_FIRST_SHARE = 1e-3  # of the time, at which the curves begin
Tell = Callable[[str, int, int], None]  # (method, its pieces done, of how many)


class Piece(NamedTuple):
    """Searches that are done together: of a method and a seed, on the data sets of a fold (None for all)."""

    method: SearchMethod
    seed: int
    fold: int | None


def tasks_of(meta: MetaDataset) -> list[Task]:
    """Every data set of a table as a task to search. A run without any score ends in its first step."""
    pools = meta.pools()
    features = columns.features(meta.columns, meta.configs)
    lengths = np.where(pools.mask, np.maximum(pools.lengths, 1), 0)
    return [
        Task(
            Candidates(
                jnp.asarray(features[pools.config[d]]),
                jnp.asarray(meta.meta_features[d]),
                jnp.asarray(pools.mask[d]),
            ),
            *(jnp.asarray(x[d]) for x in (pools.curves, pools.costs, lengths)),
        )
        for d in range(len(meta.datasets))
    ]


def times_of(hours: tuple[float, ...]) -> np.ndarray:
    """The seconds at which curves have a point: evenly on a logarithmic scale, and the hours that were asked for."""
    last = max(hours) * 3600.0
    evenly = np.geomspace(last * _FIRST_SHARE, last, _NUM_TIMES)
    return np.unique(np.concatenate([evenly, np.asarray(hours) * 3600.0]))


def pieces_of(command: SelectSimulate) -> list[Piece]:
    """All pieces, method by method; only what learns has folds.

    Raises:
        UserError: a method is unknown.
    """
    found = []
    for method in map(METHODS.find, command.methods):
        folds = [None] if method.fit is None else range(command.folds)
        found += [Piece(method, seed, fold) for seed in range(command.seeds) for fold in folds]
    return found


class Searcher:
    """Plays pieces; what was compiled for a method is kept while that method has the turn."""

    def __init__(self, command: SelectSimulate, meta: MetaDataset):
        self._command, self._meta = command, meta
        self._tasks, self.times = tasks_of(meta), times_of(command.hours)
        self._fold_of = (
            folds_of(meta.datasets, command.folds, command.common.seed) if _learns(command) else None
        )
        self._compiled: dict[str, Any] = {}

    def play(self, piece: Piece) -> dict[str, Any]:
        """Regret of the searches of a piece [D', Q], their jobs [D'], and the CPU seconds of it all."""
        everything = np.arange(len(self._tasks))
        own = everything if piece.fold is None else np.flatnonzero(self._fold_of == piece.fold)
        begin = time.process_time()
        params = self._learned(piece)
        fit_seconds = time.process_time() - begin
        regrets, counts, seconds = [], [], 0.0
        for d in map(int, own):
            mine = self._truth(d) if piece.method.sees_truth else params
            key = jax.random.fold_in(self._key(piece.seed), d)
            program = self._program(piece.method, mine, self._tasks[d], key)
            begin = time.process_time()
            regret, count = jax.device_get(program(mine, self._tasks[d], key))
            seconds += time.process_time() - begin
            regrets.append(np.round(regret, 6).tolist())
            counts.append(int(count))
        return {
            "method": piece.method.name,
            "seed": piece.seed,
            "datasets": own.tolist(),
            "regret": regrets,
            "num_jobs": counts,
            "cpu_seconds": seconds,
            "fit_cpu_seconds": fit_seconds,
        }

    def _key(self, seed: int) -> jax.Array:
        return jax.random.fold_in(jax.random.key(self._command.common.seed), seed)

    def _learned(self, piece: Piece) -> Any:
        """What a method knows from the data sets outside of the fold."""
        if piece.method.fit is None:
            return None
        others = self._meta.subset(np.flatnonzero(self._fold_of != piece.fold).tolist())
        key = jax.random.fold_in(self._key(piece.seed), len(self._tasks) + int(piece.fold or 0))
        return jax.block_until_ready(piece.method.fit(key, others))

    def _truth(self, d: int) -> jax.Array:
        """The best score of every run of a data set; what has none comes last. [N]"""
        return jnp.max(jnp.nan_to_num(self._tasks[d].curves, nan=-jnp.inf), axis=1)

    def _program(self, method: SearchMethod, *arguments: Any) -> Any:
        if method.name not in self._compiled:
            command = self._command
            limits = Limits(
                command.num_jobs, max(command.hours) * 3600.0, command.num_workers, command.thaw_seconds
            )

            def whole(params: Any, task: Task, key: jax.Array) -> tuple[jax.Array, jax.Array]:
                jobs = simulate(method.policy, params, task, key, limits)
                times = jnp.asarray(self.times, jnp.float32)
                return regret_at(jobs, task, times, limits.thaw_seconds), jnp.sum(jobs.candidate >= 0)

            self._compiled = {method.name: jax.jit(whole).lower(*arguments).compile()}
        return self._compiled[method.name]


def _learns(command: SelectSimulate) -> bool:
    return any(METHODS.find(name).fit is not None for name in command.methods)


def carry_out(command: SelectSimulate, tell: Tell) -> dict[str, Any]:
    """Replay all methods; write ``regret.csv`` with a row for each search, and ``result.json``.

    Raises:
        UserError: the table cannot be read, a method is unknown, or the directory cannot be written.
    """
    pieces = pieces_of(command)
    meta = read_meta_dataset(command.data)
    if np.isnan(meta.costs).all():
        raise UserError(
            f"{command.data} has no costs, and searches go by the clock: add the seconds of each step"
        )
    searcher = Searcher(command, meta)
    assert command.out is not None
    with RunDir.create(command.out, _asked(command), command.resume, leaves_proxy=False) as run:
        done = {line["generation"] for line in run.read_metrics()}
        for number, piece in enumerate(pieces):
            of_method = [i for i, other in enumerate(pieces) if other.method.name == piece.method.name]
            tell(piece.method.name, of_method.index(number), len(of_method))
            if number not in done:
                run.append_metrics({"generation": number, **searcher.play(piece)})
        lines = run.read_metrics()
        results = _results(command, meta, searcher.times, lines)
        write_csv(command.out / "regret.csv", _rows(command, meta, searcher.times, lines))
        run.save_result(results)
    return results


def _asked(command: SelectSimulate) -> dict[str, Any]:
    """Everything that decides the outcome."""
    fields = dataclasses.asdict(command)
    seed = fields.pop("common")["seed"]
    return plain(
        {"command": "select simulate", "seed": seed} | {k: v for k, v in fields.items() if k not in _BESIDE}
    )


def _results(
    command: SelectSimulate, meta: MetaDataset, times: np.ndarray, lines: list[dict[str, Any]]
) -> dict[str, Any]:
    methods, curves = {}, {"hours": (times / 3600.0).tolist()}
    for name in command.methods:
        own = [line for line in lines if line["method"] == name]
        regret = np.full((len(meta.datasets), command.seeds, len(times)), np.nan)
        for line in own:
            regret[line["datasets"], line["seed"]] = line["regret"]
        methods[name] = summary(command, times, regret, own)
        curves[name] = regret.mean((0, 1)).tolist()
    return {
        "hours": list(command.hours),
        "num_datasets": len(meta.datasets),
        "num_seeds": command.seeds,
        "methods": methods,
        "curves": curves,
    }


def summary(
    command: SelectSimulate, times: np.ndarray, regret: np.ndarray, lines: list[dict[str, Any]]
) -> dict[str, Any]:
    """Regret [D, S, Q] at the hours asked for: means over data sets of means over seeds, intervals over data sets."""
    by_dataset = regret[:, :, np.searchsorted(times, np.asarray(command.hours) * 3600.0)].mean(1)
    num_jobs = [count for line in lines for count in line["num_jobs"]]
    return {
        "regret": by_dataset.mean(0).tolist(),
        "ci95_regret": [bootstrap_interval(column) for column in by_dataset.T],
        "cpu_seconds_per_step": sum(line["cpu_seconds"] for line in lines) / max(sum(num_jobs), 1),
        "fit_cpu_seconds": sum(line["fit_cpu_seconds"] for line in lines),
        "mean_num_jobs": float(np.mean(num_jobs)),
    }


def _rows(
    command: SelectSimulate, meta: MetaDataset, times: np.ndarray, lines: list[dict[str, Any]]
) -> Iterator[dict[str, Any]]:
    at = np.searchsorted(times, np.asarray(command.hours) * 3600.0)
    for line in lines:
        for d, regret, jobs in zip(line["datasets"], line["regret"], line["num_jobs"], strict=True):
            by_hour = {f"regret_at_{hour:g}_h": regret[i] for hour, i in zip(command.hours, at, strict=True)}
            of = {
                "method": line["method"],
                "dataset": meta.datasets[d],
                "seed": line["seed"],
                "num_jobs": jobs,
            }
            yield of | by_hour
