"""One job of a search where it is carried out: in a directory of its own, and by one process at a time.

trials/0007/            of the trial that is candidate 7 of the pool
    output.txt          what its jobs have printed
    to-0003/            of the job that trained it up to step 3; the next job is passed this as the directory before
"""

import fcntl
import os
import shutil
import time
from pathlib import Path

from synthenv.core.files import disk_error, make_directory
from synthenv.runs.storage.locked_directory import LOCK
from synthenv.selection.tuner.jobs import Outcome
from synthenv.selection.tuner.objective import Call, Report, evaluate

OUTPUT = "output.txt"


def carry_out(call: Call, report: Report | None = None) -> Outcome:
    """Carry out a job in this process.

    Waits for a process that still works on the same trial, as one may for a moment whose search was killed and taken up
    again; what a killed job has left in the directory is deleted.

    Args:
        call: the job.
        report: told every score and the seconds of its step, too.

    Raises:
        MachineError: the directory cannot be written.
    """
    scores: list[float] = []
    seconds: list[float] = []

    def keep(score: float, took: float) -> None:
        scores.append(score)
        seconds.append(took)
        if report is not None:
            report(score, took)

    directory = Path(call.directory)
    make_directory(directory.parent)
    descriptor = _lock(directory.parent)
    try:
        _clear(directory)
        begin = time.monotonic()
        reason, ended = evaluate(call, keep)
        return Outcome(tuple(scores), tuple(seconds), reason, ended, time.monotonic() - begin)
    finally:
        os.close(descriptor)


def remove_directory(path: Path) -> None:
    """Delete a directory and all that is in it, if it is there.

    Raises:
        MachineError: if it cannot be deleted.
    """
    try:
        shutil.rmtree(path)
    except FileNotFoundError:
        return
    except OSError as error:
        raise disk_error(error, path) from error


def _lock(path: Path) -> int:
    try:
        descriptor = os.open(path / LOCK, os.O_RDWR | os.O_CREAT, 0o644)
        fcntl.flock(descriptor, fcntl.LOCK_EX)
    except OSError as error:
        raise disk_error(error, path) from error
    return descriptor


def _clear(directory: Path) -> None:
    remove_directory(directory)
    make_directory(directory)
