"""One trial of a study, and the processes that carry trials out.

Widths, depths and activations are static, so nearly every trial compiles its own training programs; the compilation
cache on disk helps only trials that meet a shape again. There are also some eighty small programs, each compiled in a
tenth of a second, most of which the next trial can use. XLA maps memory for each program, and Linux allows a process
65,530 maps, so a worker forgets its programs once it has half of that.
"""

import contextlib
import json
import math
import multiprocessing
import os
import signal
import threading
import traceback
from collections.abc import Callable, Iterable
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any, Literal, NamedTuple

import jax

from synthenv.core.errors import MachineError, UserError
from synthenv.core.programs import forget_programs
from synthenv.core.registry import extensions, load_extension
from synthenv.runs.meta_train import run as search_run
from synthenv.runs.meta_train.config import MetaTrainConfig
from synthenv.runs.meta_train.report import write_report
from synthenv.runs.storage import metrics
from synthenv.runs.storage.locked_directory import RESULT

# Errors that hyperparameters alone may cause: they make no sense, numbers overflow, memory runs out.
SURVIVABLE = (UserError, ArithmeticError, MemoryError, jax.errors.JaxRuntimeError)


class Job(NamedTuple):
    """A trial as a worker sees it.

    Attributes:
        config: config of its searches.
        runs: run directories of the searches.
        seeds: seeds of the searches.
    """

    config: MetaTrainConfig
    runs: tuple[Path, ...]
    seeds: tuple[int, ...]


class Ending(NamedTuple):
    """How a trial ended: with its value, pruned, failed for a reason, or with a bug, whose traceback is the reason.

    A trial that the machine stopped (a full disk) says nothing about its hyperparameters and can be gone on with.
    """

    state: Literal["complete", "pruned", "failed", "stopped", "broken"]
    value: float = float("nan")
    reason: str = ""


def run_trial(job: Job, keep_on: Callable[[int, float], bool]) -> Ending:
    """Carry out the searches of a trial, or go on with them where their directories hold something.

    Args:
        job: the trial.
        keep_on: called after each generation of the first search with the number of generations done and minus the
            best mean score of an incumbent; False stops the trial.
    """
    try:
        losses = []
        for i, (run, seed) in enumerate(zip(job.runs, job.seeds, strict=True)):
            judge = keep_on if i == 0 else lambda done, value: True
            losses.append(loss(_search(job.config, seed, run, judge), job.config))
        if not math.isfinite(sum(losses)):
            return Ending("failed", reason="its score is not finite")
        return Ending("complete", sum(losses))
    except search_run.StopSearch:
        return Ending("pruned", reason="no better than its rivals so far")
    except (MachineError, OSError) as error:
        return Ending("stopped", reason=str(error))
    except SURVIVABLE as error:
        first_line = (str(error).splitlines() or [""])[0]
        return Ending("failed", reason=first_line or type(error).__name__)
    except Exception:
        return Ending("broken", reason=traceback.format_exc())


def loss(result: dict[str, Any], config: MetaTrainConfig) -> float:
    """Return what one search adds to the value of a trial.

    For synthetic environments these are the generations until the task was solved, or all there were; for reward
    networks it is minus the best mean score of an incumbent's agents (Ferreira et al., released code).
    """
    if config.proxy.shapes_rewards:
        return -result["best_incumbent"]
    return float(result["generations"] if result["solved"] else config.outer.num_generations)


def _search(
    config: MetaTrainConfig, seed: int, run: Path, keep_on: Callable[[int, float], bool]
) -> dict[str, Any]:
    """Go on with one search from where its directory stands; tell the study of earlier generations first."""

    def tell(line: dict[str, Any]) -> bool:
        best = line["best_incumbent"]
        return keep_on(line["generation"] + 1, float("inf") if best is None else -best)

    def on_generation(line: dict[str, Any]) -> None:
        over = line["solved"] or line["generation"] + 1 == config.outer.num_generations
        if not tell(line) and not over:  # a search that is over costs nothing more
            raise search_run.StopSearch

    for line in metrics.read(run):
        tell(line)
    if (run / RESULT).exists():
        return json.loads((run / RESULT).read_bytes())
    try:
        return search_run.meta_train(
            config, seed, run, resume=True, on_generation=on_generation, notify=lambda line: None
        )
    finally:
        if metrics.read(run):
            write_report(run)


def shares(num_workers: int) -> list[tuple[int, ...]]:
    """Return the cores of each worker, which are disjoint sets if there are enough of them."""
    cores = (
        sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else range(os.cpu_count() or 1)
    )
    return [tuple(cores[i::num_workers]) or (cores[i % len(cores)],) for i in range(num_workers)]


class Worker:
    """A process that carries out trials one by one on its share of the cores; a process that dies is replaced."""

    def __init__(self, cores: tuple[int, ...]):
        self.cores = cores
        self.process: BaseProcess | None = None
        self.connection: Any = None

    def begin(self, job: Job) -> None:
        """Hand a trial over."""
        if self.process is None or not self.process.is_alive():
            self._start()
        self.connection.send(job)

    def _start(self) -> None:
        context = multiprocessing.get_context("spawn")  # a fork would inherit JAX's threads as they stand
        names = ("jax_compilation_cache_dir", "jax_persistent_cache_min_compile_time_secs")
        settings = {name: getattr(jax.config, name) for name in names}
        self.connection, theirs = context.Pipe()
        self.process = context.Process(
            target=_work, args=(theirs, self.cores, settings, extensions()), daemon=True
        )
        self.process.start()
        theirs.close()

    def hear(self) -> "Ending | tuple[int, float]":
        """Return how the trial ended, or a generation of it that waits for an answer."""
        try:
            return self.connection.recv()
        except (EOFError, OSError):
            assert self.process is not None
            self.process.join()
            return Ending("failed", reason=f"its process died with exit code {self.process.exitcode}")

    def answer(self, goes_on: bool) -> None:
        """Tell the trial whether it goes on."""
        with contextlib.suppress(OSError):  # a process that died meanwhile is heard of next
            self.connection.send(goes_on)

    def stop(self) -> None:
        """End the process, whatever it is doing; run directories can be resumed after that."""
        if self.process is not None:
            self.process.kill()
            self.process.join()
            self.connection.close()


def wait_for(workers: Iterable[Worker]) -> list[Worker]:
    """Wait until workers have something to say, and return these workers."""
    by_connection = {worker.connection: worker for worker in workers}
    return [by_connection[connection] for connection in wait(list(by_connection))]


def _work(
    connection: Connection, cores: tuple[int, ...], settings: dict[str, Any], imports: tuple[str, ...]
) -> None:
    # Ctrl-C reaches every process, and so does SIGTERM from a cluster; the parent decides what to do.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    threading.Thread(target=_die_with_parent, daemon=True).start()
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, cores)
    for name, value in settings.items():
        jax.config.update(name, value)
    for place in imports:  # a job may hold things that these define
        load_extension(place)

    def keep_on(done: int, value: float) -> bool:
        connection.send((done, value))
        return connection.recv()

    while True:
        connection.send(run_trial(connection.recv(), keep_on))
        forget_programs()


def _die_with_parent() -> None:
    """Make this process die with its parent: an orphan would keep its run directory locked for a resumed study."""
    parent = multiprocessing.parent_process()
    assert parent is not None
    wait([parent.sentinel])
    os._exit(1)
