"""Workers: processes that carry out jobs one after the other, and can be ended whatever they do.

:class:`Processes` is a ``concurrent.futures.Executor`` of threads, each of which looks after a process of its own.
Where jobs go to another executor (Dask's, submitit's, a pool of threads) and have a limit of time, each runs in such a
process beside the worker: ``carry_out_limited``.
"""

import contextlib
import multiprocessing
import os
import signal
import sys
import threading
import time
import types
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import Any

from synthenv.core.errors import MachineError, UserError
from synthenv.core.registry import extensions, load_extension
from synthenv.runs.select.run import job
from synthenv.selection.tuner.jobs import Outcome
from synthenv.selection.tuner.objective import Call

_START_SECONDS = 120.0  # after which a process that has not begun counts as stuck
NO_GUARD = (
    "a worker could not begin: put the lines that start the search under if __name__ == '__main__':, or the objective"
    " into a file of its own"
)
_NO_START = "a worker could not begin: see what it has printed, and that the imported files run by themselves"
_STOPPED = "the search was stopped: go on with it by resuming it"
_HIDING = threading.Lock()


class Child:
    """A process that carries out jobs; one that died or was ended is replaced at the next job.

    Args:
        needs_script: whether the objective stands in the script that was started, which the process imports then.
    """

    def __init__(self, needs_script: bool = True) -> None:
        self._needs_script = needs_script
        self._process: Any = None
        self._connection: Any = None
        self._is_stopped = False

    def carry_out(self, call: Call) -> Outcome:
        """Have a job carried out; what ends the process ends the trial.

        Raises:
            UserError: the process cannot begin, or says so.
        """
        self.start()
        begin, scores, seconds = time.monotonic(), [], []
        self._connection.send(call)
        while True:
            left = None if call.limit is None else max(begin + call.limit - time.monotonic(), 0.0)
            try:
                message = self._connection.recv() if self._connection.poll(left) else ("late",)
            except (EOFError, OSError):
                self._process.join()
                message = ("end", f"its process died with exit code {self._process.exitcode}", False)
            match message:
                case ("step", score, took):
                    scores.append(score)
                    seconds.append(took)
                    continue
                case ("stopped", error):
                    raise error
                case ("late",):
                    self.stop()
                    self._is_stopped = False
                    reason, ended = f"it took longer than {call.limit:g} s", False
                case (_, reason, ended):
                    pass
            return Outcome(tuple(scores), tuple(seconds), reason, ended, time.monotonic() - begin)

    def start(self) -> None:
        """Begin the process, unless it is there.

        Raises:
            UserError: it does not come up.
        """
        if self._process is not None and self._process.is_alive():
            return
        if self._is_stopped:
            raise MachineError(_STOPPED)
        context = multiprocessing.get_context("spawn")  # a fork would inherit JAX's threads as they stand
        self._connection, theirs = context.Pipe()
        process = context.Process(target=_work, args=(theirs, extensions(), _cache()), daemon=True)
        with contextlib.nullcontext() if self._needs_script else _no_script():
            process.start()
        # Whoever stops meanwhile sees either the process, or is seen here.
        self._process = process
        theirs.close()
        if self._is_stopped:
            self.stop()
            raise MachineError(_STOPPED)
        try:
            if not self._connection.poll(_START_SECONDS):
                raise EOFError
            self._connection.recv()
        except (EOFError, OSError):
            self.stop()
            raise UserError(NO_GUARD if self._needs_script else _NO_START) from None

    def stop(self) -> None:
        """End the process, whatever it is doing."""
        self._is_stopped = True
        if self._process is not None:
            self._process.kill()
            self._process.join()


class Processes(Executor):
    """So many processes at once, for jobs."""

    def __init__(self, num_workers: int, needs_script: bool = True):
        self._needs_script = needs_script
        self._threads = ThreadPoolExecutor(num_workers)
        self._own = threading.local()
        self._children: list[Child] = []
        for _ in range(num_workers):  # meanwhile the first decision is compiled
            self._threads.submit(self._child)

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        """Have a job carried out in one of the processes; ``fn`` is ``job.carry_out``, there is nothing else to do."""
        if fn is not job.carry_out:
            raise ValueError(f"these processes carry out jobs, not {fn}")
        return self._threads.submit(lambda call: self._child().carry_out(call), *args)

    def _child(self) -> Child:
        """The process that this thread looks after."""
        if not hasattr(self._own, "child"):
            self._own.child = Child(self._needs_script)
            self._children.append(self._own.child)
            self._own.child.start()
        return self._own.child

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """End all processes, whatever they are doing."""
        for child in list(self._children):
            child.stop()
        self._threads.shutdown(wait=wait, cancel_futures=True)


class Here(Executor):
    """No worker at all: jobs are carried out at once, in this process."""

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        """Carry it out."""
        future: Future[Any] = Future()
        try:
            future.set_result(fn(*args, **kwargs))
        except Exception as error:
            future.set_exception(error)
        return future


def carry_out_limited(call: Call) -> Outcome:
    """Carry out a job in a process beside this one, which is ended when its time is over."""
    child = Child()
    try:
        return child.carry_out(call)
    finally:
        child.stop()


@contextlib.contextmanager
def _no_script() -> Iterator[None]:
    """Hide the script that was started: a process that begins meanwhile does not import it, whatever it imports."""
    with _HIDING:
        script = sys.modules["__main__"]
        sys.modules["__main__"] = types.ModuleType("__main__")
        try:
            yield
        finally:
            sys.modules["__main__"] = script


def _cache() -> str | None:
    """Where JAX keeps its compiled programs, if JAX is there."""
    return sys.modules["jax"].config.jax_compilation_cache_dir if "jax" in sys.modules else None


def _work(connection: Connection, imports: tuple[str, ...], cache: str | None) -> None:
    # Ctrl-C reaches every process, and so does SIGTERM from a cluster; the parent decides what to do.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    threading.Thread(target=_die_with_parent, daemon=True).start()
    if cache is not None:
        os.environ.setdefault("JAX_COMPILATION_CACHE_DIR", cache)
    for place in imports:  # an objective may use things that these define
        load_extension(place)
    connection.send("ready")
    while True:
        call = connection.recv()
        try:
            with _printing_to(Path(call.directory).parent):
                outcome = job.carry_out(
                    call, lambda score, seconds: connection.send(("step", score, seconds))
                )
            connection.send(("end", outcome.reason, outcome.ended))
        except UserError as error:
            connection.send(("stopped", error))


@contextlib.contextmanager
def _printing_to(trial: Path) -> Iterator[None]:
    """Let all that is printed, by whatever, go to the trial's file."""
    job.make_directory(trial)
    file = os.open(trial / job.OUTPUT, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
    before = [os.dup(1), os.dup(2)]
    try:
        os.dup2(file, 1)
        os.dup2(file, 2)
        yield
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        for descriptor, old in enumerate(before, start=1):
            os.dup2(old, descriptor)
            os.close(old)
        os.close(file)


def _die_with_parent() -> None:
    """An orphan would go on with a trial that the search, taken up again, begins anew."""
    parent = multiprocessing.parent_process()
    assert parent is not None
    wait([parent.sentinel])
    os._exit(1)
