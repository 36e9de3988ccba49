"""Searches of ours and of peers on the same tables of past runs: regret and Elo over the share of the pool's cost.

    python benchmarks/bench_selection.py DATA [--methods ...] [--peers ...] [--seeds 0 1 2] [--unit steps] [--json FILE]

DATA is a directory of past runs; without one there is nothing to do. A budget is a share of what it costs to train the
whole pool of a data set to the end, in steps (``--unit steps``, where every step costs the same) or seconds. What
learns from past runs learns from other data sets, in folds, anew for every seed. Peers run in interpreters of their own
(``peers/README.md``); one without is skipped. A search that is in the JSON file already is not played again.
"""

import argparse
import dataclasses
import functools
import json
import os
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

os.environ["JAX_PLATFORMS"] = "cpu"

import jax
import jax.numpy as jnp
import numpy as np
from selection_summary import BUDGETS, SHARES, picture, show, summary

from synthenv.core.errors import UserError
from synthenv.core.files import write_atomic
from synthenv.runs.select.simulate.run import tasks_of
from synthenv.selection.readers.registry import read_meta_dataset
from synthenv.selection.search.methods import METHODS, SearchMethod
from synthenv.selection.search.simulate import Jobs, Limits, Task, regret_at, simulate
from synthenv.selection.tables.folds import folds_of
from synthenv.selection.tables.meta_dataset import MetaDataset

HERE = Path(__file__).resolve().parent
PEERS = {  # script, and the variable that names its interpreter
    "optuna": ("optuna_tpe.py", "SYNTHENV_OPTUNA_PYTHON"),
    "syne_tune": ("syne_tune_asha.py", "SYNTHENV_SYNE_TUNE_PYTHON"),
    "smac": ("smac_hyperband.py", "SYNTHENV_SMAC_PYTHON"),
}
OURS = ["random", "asha", "hyperband", "zap", "quick_tune_no_refit"]
FOLDS = 5


def cut(meta: MetaDataset, most_runs: int, unit: str) -> MetaDataset:
    """At most so many runs of each data set, drawn at random, and their costs in a unit.

    Raises:
        UserError: seconds are asked for, and there are none.
    """
    rng, kept = np.random.default_rng(0), np.zeros(len(meta.curves), bool)
    for d in range(len(meta.datasets)):
        kept[rng.permutation(np.flatnonzero(meta.dataset_of == d))[:most_runs]] = True
    fields = ("dataset_of", "config_of", "curves", "costs", "crashed")
    meta = dataclasses.replace(meta, **{name: getattr(meta, name)[kept] for name in fields})
    if unit == "steps":
        steps = np.arange(meta.num_steps)[None] < np.maximum(meta.lengths, 1)[:, None]
        return dataclasses.replace(meta, costs=np.where(steps, 1.0, np.nan).astype(np.float32))
    if np.isnan(meta.costs).all():
        raise UserError("the table has no seconds: pass --unit steps")
    return meta


class Arena:
    """The tables, and who plays them."""

    def __init__(self, meta: MetaDataset, unit: str):
        self.meta, self.tasks = meta, tasks_of(meta)
        self.folds = folds_of(meta.datasets, FOLDS, 0)
        costs = [np.nansum(np.where(task.candidates.mask[:, None], task.costs, 0.0)) for task in self.tasks]
        self.totals = np.asarray(costs, float)
        # Nobody begins more jobs than there are steps, and with steps of equal cost the budget holds fewer.
        most = max(int(task.lengths.sum()) for task in self.tasks)
        self.num_jobs = int(np.ceil(most * (max(BUDGETS) if unit == "steps" else 1.0)))
        self._judge = jax.jit(regret_at)

    def play(self, name: str, seed: int, wanted: list[int]) -> Iterator[tuple[int, dict[str, Any]]]:
        """Searches of a method of ours on some data sets, one after the other."""
        method = METHODS.find(name)
        program = jax.jit(functools.partial(self._search, method))
        for fold in [None] if method.fit is None else sorted({int(self.folds[d]) for d in wanted}):
            begin, params = time.process_time(), None
            key = jax.random.fold_in(jax.random.key(0), seed)
            if fold is not None:
                others = self.meta.subset(np.flatnonzero(self.folds != fold))
                params = method.fit(jax.random.fold_in(key, len(self.tasks) + fold), others)
                jax.block_until_ready(params)
            fit_seconds = time.process_time() - begin
            for d in [d for d in wanted if fold is None or self.folds[d] == fold]:
                begin = time.process_time()
                jobs = program(
                    params, self.tasks[d], jax.random.fold_in(key, d), self.totals[d] * max(BUDGETS)
                )
                jobs = jax.block_until_ready(jobs)
                seconds = time.process_time() - begin
                yield d, self.judged(d, jobs) | {"cpu_seconds": seconds, "fit_cpu_seconds": fit_seconds}

    def _search(self, method: SearchMethod, params: Any, task: Task, key: jax.Array, limit: Any) -> Jobs:
        return simulate(method.policy, params, task, key, Limits(self.num_jobs, limit))

    def judged(self, d: int, jobs: Jobs) -> dict[str, Any]:
        """Regret at all shares of the cost, and how many jobs there were."""
        regret = self._judge(
            jobs, self.tasks[d], jnp.asarray(np.asarray(SHARES) * self.totals[d], jnp.float32)
        )
        count = int(np.sum(np.asarray(jobs.candidate) >= 0))
        return {"regret": [round(float(x), 5) for x in regret], "num_jobs": count}

    def jobs_of(self, d: int, told: list[list[int]]) -> Jobs:
        """The jobs that a peer tells of, one after the other by the clock."""
        costs = np.nan_to_num(np.asarray(self.tasks[d].costs, float))
        candidate, first, last = np.full((3, self.num_jobs), -1, np.int32)
        begin, clock = np.zeros(self.num_jobs, np.float32), 0.0
        for j, (who, start, end) in enumerate(told):
            candidate[j], first[j], last[j], begin[j] = who, start, end, clock
            clock += costs[who, start:end].sum()
        return Jobs(*map(jnp.asarray, (candidate, first, last, begin)))


def play_peer(
    arena: Arena, name: str, tables: str, todo: list[tuple[int, int]]
) -> Iterator[tuple[int, int, dict[str, Any]]]:
    """Searches of a peer for pairs of seed and data set, in a process of its own.

    Raises:
        RuntimeError: the peer died.
    """
    script, variable = PEERS[name]
    command = [os.environ[variable], str(HERE / "peers" / "selection" / script), tables]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as peer:
        assert peer.stdin is not None and peer.stdout is not None
        for seed, d in todo:
            print(d, seed, arena.totals[d] * max(BUDGETS), file=peer.stdin, flush=True)
            line = peer.stdout.readline()
            if not line:
                raise RuntimeError(
                    f"the peer {name} died on {arena.meta.datasets[d]}, seed {seed}: see above"
                )
            said = json.loads(line)
            row = arena.judged(d, arena.jobs_of(d, said.pop("jobs")))
            yield seed, d, row | said


def write_tables(meta: MetaDataset, path: str) -> None:
    """What peers are told: pools, and configurations with their columns, as numpy arrays."""
    pools, columns = (
        meta.pools(),
        [{"name": c.name, "kind": c.kind, "num": len(c.values)} for c in meta.columns],
    )
    np.savez(path, **pools._asdict(), configs=meta.configs, columns=np.asarray(json.dumps(columns)))


def main() -> None:
    """Play whatever is missing, write it as it comes, and print the tables of what was asked for."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path, nargs="?")
    parser.add_argument("--methods", nargs="*", default=OURS)
    parser.add_argument("--peers", nargs="*", choices=list(PEERS), default=list(PEERS))
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--datasets", type=int, help="only so many, the first of the table")
    parser.add_argument("--pool", type=int, default=200, help="most runs of a data set")
    parser.add_argument("--unit", choices=["steps", "seconds"], default="steps")
    parser.add_argument("--json", type=Path, help="results/selection_DATA_UNIT.json if not given")
    parser.add_argument("--picture", type=Path, help="a png to draw regret over budget to")
    a = parser.parse_args()
    if a.data is None:
        print("skipped: pass a directory of past runs")
        return
    a.json = a.json or HERE / "results" / f"selection_{a.data.name}_{a.unit}.json"
    settings = {"data": a.data.name, "unit": a.unit, "pool": a.pool, "folds": FOLDS, "shares": SHARES}
    stored = json.loads(a.json.read_text()) if a.json.exists() else {"settings": settings, "rows": {}}
    if stored["settings"] != settings:
        parser.error(f"{a.json} was played with other settings, {stored['settings']}: pass another --json")
    arena = Arena(cut(read_meta_dataset(a.data), a.pool, a.unit), a.unit)
    datasets, rows = list(arena.meta.datasets), stored["rows"]
    chosen = range(len(datasets))[: a.datasets]

    def missing(name: str, seed: int) -> list[int]:
        return [d for d in chosen if f"{name} {datasets[d]} {seed}" not in rows]

    def keep(name: str, seed: int, d: int, row: dict[str, Any]) -> None:
        key = f"{name} {datasets[d]} {seed}"
        rows[key] = row | {"cpu_seconds": round(row["cpu_seconds"], 3)}
        write_json(a.json, stored)
        print(f"{key}: {rows[key]['regret'][-1]:.3f}, {rows[key]['cpu_seconds']:.1f} CPU-seconds", flush=True)

    for name in a.methods:
        for seed in a.seeds:
            for d, row in arena.play(name, seed, missing(name, seed)):
                keep(name, seed, d, row)
    with tempfile.TemporaryDirectory() as folder:
        write_tables(arena.meta, f"{folder}/tables.npz")
        for name in a.peers:
            todo = [(seed, d) for seed in a.seeds for d in missing(name, seed)]
            if todo and not os.environ.get(PEERS[name][1]):
                print(f"{name} is skipped: {PEERS[name][1]} is not set")
            elif todo:
                for seed, d, row in play_peer(arena, name, f"{folder}/tables.npz", todo):
                    keep(name, seed, d, row)
    stored["summary"] = summary(rows, [*a.methods, *a.peers], [datasets[d] for d in chosen], a.seeds)
    write_json(a.json, stored)
    show(stored["summary"], a.unit)
    if a.picture:
        picture(stored["summary"], a.unit, a.picture)


def write_json(path: Path, stored: dict[str, Any]) -> None:
    """One line for each search."""
    lines = ",\n".join(f" {json.dumps(key)}: {json.dumps(row)}" for key, row in stored["rows"].items())
    rest = json.dumps({k: v for k, v in stored.items() if k != "rows"}, indent=1)[:-2]
    write_atomic(path, f'{rest},\n"rows": {{\n{lines}\n}}}}\n'.encode())


if __name__ == "__main__":
    main()
