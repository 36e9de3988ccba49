"""Ctrl-C and SIGTERM are heard wherever they come, and answered with a line that tells how to go on."""

import contextlib
import shlex
import signal
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from synthenv.core.registry import import_words
from synthenv.runs.storage.locked_directory import RESULT
from synthenv.runs.storage.stored_config import CONFIG


class Terminated(KeyboardInterrupt):
    """SIGTERM came, which a cluster or a service manager sends before it kills."""


@contextlib.contextmanager
def heard() -> Iterator[None]:
    """Raise ``Terminated`` at SIGTERM, and let neither it nor Ctrl-C be swallowed.

    Another handler of SIGTERM stays in place, and outside of the main thread nothing changes.
    """
    hook, sys.unraisablehook = sys.unraisablehook, _ask_again
    is_main = threading.current_thread() is threading.main_thread()
    is_free = is_main and signal.getsignal(signal.SIGTERM) == signal.SIG_DFL
    if is_free:
        signal.signal(signal.SIGTERM, _terminate)
    try:
        yield
    finally:
        if is_free:
            signal.signal(signal.SIGTERM, signal.SIG_DFL)
        sys.unraisablehook = hook


def _terminate(number: int, frame: Any) -> None:
    raise Terminated


def _ask_again(unraisable: Any) -> None:
    """Repeat a signal that came where exceptions are ignored, such as in JAX's hook into the garbage collector."""
    if isinstance(unraisable.exc_value, KeyboardInterrupt):
        number = signal.SIGTERM if isinstance(unraisable.exc_value, Terminated) else signal.SIGINT
        main_thread = threading.main_thread().ident
        threading.Timer(0.05, signal.pthread_kill, (main_thread, number)).start()
    else:
        sys.__unraisablehook__(unraisable)


def status(interrupt: KeyboardInterrupt) -> int:
    """Return the exit status that shells give to a process which the signal ended."""
    return 128 + (signal.SIGTERM if isinstance(interrupt, Terminated) else signal.SIGINT)


def how_to_go_on(name: str, out: Path, works_when_finished: bool) -> str:
    """Say how to go on, behind the line that a command was interrupted.

    Args:
        name: of the command, such as ``oswm run``.
        out: its directory.
        works_when_finished: whether it has something to do in a directory with a result, too.
    """
    if not (out / CONFIG).exists():
        return " before anything was begun: there is nothing to resume"
    if (out / RESULT).exists() and not works_when_finished:
        return f"; the run in {out} is finished"
    shown = f"./{out}" if str(out).startswith("-") else str(out)
    return f"; synthenv {name} --resume --out {shlex.quote(shown)}{import_words()} goes on"
