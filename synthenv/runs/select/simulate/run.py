"""Searches of several methods on the same tables: every data set is held out once from what a method learns.

Axis letters here: D data sets, S seeds, Q points of time.
"""

import time
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from synthenv.core.errors import UserError
from synthenv.core.files import to_json, write_atomic
from synthenv.runs.select.simulate.arguments import SelectSimulate
from synthenv.runs.statistics.intervals import bootstrap_interval
from synthenv.runs.storage.csv_tables import write_csv
from synthenv.selection import columns
from synthenv.selection.folds import folds_of
from synthenv.selection.meta_dataset import MetaDataset
from synthenv.selection.methods import METHODS, SearchMethod
from synthenv.selection.readers.registry import read_meta_dataset
from synthenv.selection.simulate import Jobs, Limits, Task, regret_at, simulate
from synthenv.selection.surrogates.surrogate import Candidates

_NUM_TIMES = 200  # points of the regret curves
_FIRST_SHARE = 1e-3  # of the time, at which the curves begin
Tell = Callable[[str, int, int], None]  # (method, data sets and seeds done, of how many)


class Searches(NamedTuple):
    """What searches of one method came to.

    Attributes:
        regret: normalised, at the points of time of the curves. [D, S, Q]
        num_jobs: how many jobs each had. int [D, S]
        cpu_seconds: of all of them, without compiling and without learning from past runs.
        fit_seconds: CPU seconds of all learning from past runs.
    """

    regret: np.ndarray
    num_jobs: np.ndarray
    cpu_seconds: float
    fit_seconds: float


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
            *(jnp.asarray(x[d]) for x in (pools.curves, pools.costs, lengths, pools.crashed)),
        )
        for d in range(len(meta.datasets))
    ]


def times_of(hours: tuple[float, ...]) -> np.ndarray:
    """The seconds at which curves have a point: evenly on a logarithmic scale, and the hours that were asked for."""
    last = max(hours) * 3600.0
    evenly = np.geomspace(last * _FIRST_SHARE, last, _NUM_TIMES)
    return np.unique(np.concatenate([evenly, np.asarray(hours) * 3600.0]))


def search(command: SelectSimulate, method: SearchMethod, meta: MetaDataset, tell: Tell) -> Searches:
    """Replay the searches of one method on all data sets."""
    tasks, times = tasks_of(meta), times_of(command.hours)
    limits = Limits(command.num_jobs, max(command.hours) * 3600.0, command.num_workers, command.thaw_seconds)

    def whole(params: Any, task: Task, key: jax.Array) -> tuple[jax.Array, jax.Array]:
        jobs: Jobs = simulate(method.policy, params, task, key, limits)
        return regret_at(jobs, task, jnp.asarray(times), limits.thaw_seconds), jnp.sum(jobs.candidate >= 0)

    compiled = None
    num_datasets, shape = len(tasks), (len(tasks), command.seeds)
    found = Searches(np.full((*shape, len(times)), np.nan), np.zeros(shape, int), 0.0, 0.0)
    for done, (d, seed, params, seconds) in enumerate(_learned(command, method, meta, tasks)):
        tell(method.name, done, num_datasets * command.seeds)
        key = jax.random.fold_in(jax.random.fold_in(jax.random.key(command.common.seed), seed), d)
        compiled = compiled or jax.jit(whole).lower(params, tasks[d], key).compile()
        begin = time.process_time()
        regret, num_jobs = jax.device_get(compiled(params, tasks[d], key))
        found.regret[d, seed], found.num_jobs[d, seed] = regret, num_jobs
        found = found._replace(
            cpu_seconds=found.cpu_seconds + time.process_time() - begin,
            fit_seconds=found.fit_seconds + seconds,
        )
    return found


def _learned(
    command: SelectSimulate, method: SearchMethod, meta: MetaDataset, tasks: list[Task]
) -> Iterator[tuple[int, int, Any, float]]:
    """Each data set and seed, what the method has learnt from others, and the CPU seconds of that (counted once)."""
    num_datasets = len(meta.datasets)
    if method.fit is None:
        for d in range(num_datasets):
            # The best scores of what there is; what has none comes last.
            truth = jnp.nanmax(jnp.nan_to_num(tasks[d].curves, nan=-jnp.inf), axis=1)
            yield from ((d, seed, truth if method.sees_truth else None, 0.0) for seed in range(command.seeds))
        return
    fold_of = folds_of(meta.datasets, command.folds, command.common.seed)
    for seed in range(command.seeds):
        for fold in range(command.folds):
            begin = time.process_time()
            key = jax.random.fold_in(jax.random.fold_in(jax.random.key(command.common.seed), 1 + seed), fold)
            params = jax.block_until_ready(method.fit(key, meta.subset(np.flatnonzero(fold_of != fold))))
            seconds = time.process_time() - begin
            for d in np.flatnonzero(fold_of == fold):
                yield int(d), seed, params, seconds
                seconds = 0.0


def carry_out(command: SelectSimulate, tell: Tell) -> dict[str, Any]:
    """Replay all methods and write ``regret.csv`` (every search), ``result.json`` and the curves' numbers.

    Raises:
        UserError: the table cannot be read, a method is unknown, or the disk is full.
    """
    methods = [METHODS.find(name) for name in command.methods]
    meta = read_meta_dataset(command.data)
    if all(np.isnan(meta.costs).all(1)):
        raise UserError(
            f"{command.data} has no costs, and searches go by the clock: add the seconds of each step"
        )
    found = {method.name: search(command, method, meta, tell) for method in methods}
    times = times_of(command.hours)
    results = {
        "hours": list(command.hours),
        "num_datasets": len(meta.datasets),
        "num_seeds": command.seeds,
        "methods": {name: summary(command, times, searches) for name, searches in found.items()},
        "curves": {
            "hours": (times / 3600.0).tolist(),
            **{name: searches.regret.mean((0, 1)).tolist() for name, searches in found.items()},
        },
    }
    assert command.out is not None
    write_csv(command.out / "regret.csv", _rows(command, meta, times, found))
    write_atomic(command.out / "result.json", to_json(results, indent=2).encode())
    return results


def summary(command: SelectSimulate, times: np.ndarray, searches: Searches) -> dict[str, Any]:
    """Regret at the hours asked for: means over data sets of means over seeds, with intervals over data sets."""
    at = np.searchsorted(times, np.asarray(command.hours) * 3600.0)
    regret = searches.regret[:, :, at].mean(1)
    return {
        "regret": regret.mean(0).tolist(),
        "ci95_regret": [bootstrap_interval(column) for column in regret.T],
        "cpu_seconds_per_step": searches.cpu_seconds / max(int(searches.num_jobs.sum()), 1),
        "fit_cpu_seconds": searches.fit_seconds,
        "mean_num_jobs": float(searches.num_jobs.mean()),
    }


def _rows(
    command: SelectSimulate, meta: MetaDataset, times: np.ndarray, found: dict[str, Searches]
) -> Iterator[dict[str, Any]]:
    at = np.searchsorted(times, np.asarray(command.hours) * 3600.0)
    for name, searches in found.items():
        for (d, seed), jobs in np.ndenumerate(searches.num_jobs):
            regret = searches.regret[d, seed, at]
            by_hour = {
                f"regret_at_{hour:g}_h": float(x) for hour, x in zip(command.hours, regret, strict=True)
            }
            yield {"method": name, "dataset": meta.datasets[d], "seed": seed, "num_jobs": int(jobs)} | by_hour
