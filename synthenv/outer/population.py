"""Evaluating a population: a queue of trainings served by workers, one per core or accelerator.

Trainings of one generation differ in length (early stopping) and in cost (varied network and batch sizes). Nothing
is communicated between them, so they are not laid on one lock-step array: each device takes the most expensive
waiting job, and no device waits for another before the generation ends. Jobs of one shape bucket share one compiled
program, whatever their hyperparameters. On an accelerator a job is a group of members advanced together
(``outer.slots``); on a CPU core it is a single member, for which ``while_loop`` and ``cond`` are real branches.
Several threads may share one CPU device: XLA runs their programs side by side, and each is compiled only once.

Several hosts each serve their share of the queue; the results are gathered once, at the end of the generation.
"""

import queue
import threading
import time
from collections.abc import Callable, Hashable, Sequence
from typing import Any, NamedTuple

import jax
import numpy as np
from jax.experimental import multihost_utils

PyTree = Any


class Workload(NamedTuple):
    """N trainings.

    Attributes:
        tasks: pytree of arrays with leading axis N: what a program takes.
        buckets: for each task, the key of the program that runs it. [N]
        costs: for each task, its expected cost in any unit; dear ones start first. [N]
    """

    tasks: PyTree
    buckets: Sequence[Hashable]
    costs: np.ndarray


class Served(NamedTuple):
    """Results in task order (numpy, leading axis N) and how busy the workers were (0 to 1)."""

    results: PyTree
    busy_share: float


Program = Callable[[PyTree], PyTree]


def make_jobs(workload: Workload, indices: np.ndarray, group_size: int) -> list[np.ndarray]:
    """Group tasks of equal bucket, at most ``group_size`` together, dearest jobs first."""
    order = indices[np.argsort(-workload.costs[indices], kind="stable")]
    groups: dict[Hashable, list[int]] = {}
    jobs = []
    for index in order:
        group = groups.setdefault(workload.buckets[index], [])
        group.append(int(index))
        if len(group) == group_size:
            jobs.append(np.array(groups.pop(workload.buckets[index])))
    jobs += [np.array(group) for group in groups.values()]
    return sorted(jobs, key=lambda job: -workload.costs[job].sum())


def serve(
    programs: Callable[[Any], Program],
    workload: Workload,
    group_size: int = 1,
    workers_per_device: int = 1,
) -> Served:
    """Run every task and return the results in task order.

    Args:
        programs: bucket -> jitted program taking tasks with leading axis M and returning results with leading axis
            M. Called with arrays that are committed to the worker's device.
        workload: the tasks.
        group_size: most tasks per call, 1 on CPU.
        workers_per_device: threads that feed one device; the number of cores on CPU.

    Raises:
        whatever a program raises, after the other workers have stopped.
    """
    num_tasks = len(workload.costs)
    order = np.argsort(-workload.costs, kind="stable")
    shared = 1 < jax.process_count() <= num_tasks  # with fewer tasks than hosts, every host runs them all
    mine = order[jax.process_index() :: jax.process_count()] if shared else order
    devices = [device for device in jax.local_devices() for _ in range(workers_per_device)]
    results, busy_share = _serve_locally(programs, workload, make_jobs(workload, mine, group_size), devices)
    if shared:
        results = _gather(results, mine, num_tasks)
    else:
        back = np.argsort(np.concatenate([r[0] for r in results]), kind="stable")
        results = jax.tree.map(lambda *xs: np.concatenate(xs)[back], *[r[1] for r in results])
    return Served(results, busy_share)


def _serve_locally(
    programs: Callable[[Any], Program],
    workload: Workload,
    jobs: list[np.ndarray],
    devices: list[Any],
) -> tuple[list[tuple[np.ndarray, PyTree]], float]:
    """One thread per entry of ``devices``; returns (indices, results) per job, and the threads' busy share."""
    waiting: queue.SimpleQueue = queue.SimpleQueue()
    for job in jobs:
        waiting.put(job)
    done: list[tuple[np.ndarray, PyTree]] = []
    errors: list[BaseException] = []
    busy = [0.0] * len(devices)

    def work(worker: int, device: Any) -> None:
        while not errors:
            try:
                job = waiting.get_nowait()
            except queue.Empty:
                return
            start = time.perf_counter()
            try:
                tasks = jax.device_put(_take(workload.tasks, job), device)
                result = jax.device_get(programs(workload.buckets[job[0]])(tasks))
            except BaseException as error:  # handed to the caller below
                errors.append(error)
                return
            done.append((job, result))
            busy[worker] += time.perf_counter() - start

    start = time.perf_counter()
    threads = [
        threading.Thread(target=work, args=(i, device), daemon=True) for i, device in enumerate(devices)
    ]
    try:
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    except (
        BaseException
    ) as error:  # Ctrl-C: the process may go on, as that of a notebook does, the workers shall not
        errors.append(error)
        raise
    if errors:
        raise errors[0]
    wall = time.perf_counter() - start
    return done, sum(busy) / max(wall * len(devices), 1e-9)


def _take(tasks: PyTree, job: np.ndarray) -> PyTree:
    return jax.tree.map(lambda x: x[job], tasks)


def _gather(results: list[tuple[np.ndarray, PyTree]], mine: np.ndarray, num_tasks: int) -> PyTree:
    """Bring the results of all processes together, in task order, on every process."""
    share = -(-num_tasks // jax.process_count())
    index = np.concatenate([r[0] for r in results])
    local = jax.tree.map(lambda *xs: np.concatenate(xs), *[r[1] for r in results])
    index = np.concatenate([index, np.full(share - len(index), num_tasks)])
    local = jax.tree.map(
        lambda x: np.concatenate([x, np.zeros((share - len(x), *x.shape[1:]), x.dtype)]), local
    )
    index, everything = multihost_utils.process_allgather((index, local), tiled=True)
    back = np.argsort(index, kind="stable")[:num_tasks]
    return jax.tree.map(lambda x: np.asarray(x)[back], everything)
