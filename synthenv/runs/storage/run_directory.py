"""The directory of one run: written by one process at a time, readable while it is written, never overwritten.

config.json                resolved config, versions, device, command line
metrics.jsonl              one line per generation, or per seed
checkpoints/               the newest few states of the search
best_proxy.safetensors     the evolved proxy
result.json                its presence says that the run is finished
tb/ plots/ report.html     for people
"""

import hashlib
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from synthenv.core.errors import UserError
from synthenv.core.files import disk_error, plain, read_json, remove, to_json, write_atomic
from synthenv.runs.storage import locked_directory, metrics, stored_config
from synthenv.runs.storage.environment import changes_since, environment
from synthenv.runs.storage.locked_directory import LOCK, RESULT
from synthenv.runs.storage.stored_config import CONFIG, value_at, with_contents, with_value
from synthenv.runs.storage.tensorboard import ScalarEvents

BEST_PROXY = "best_proxy.safetensors"


class RunDir:
    """An open run; use it in a ``with`` statement, or call ``close``. ``RunDir.create`` makes one.

    Attributes:
        path: the directory.
        resumed: whether the run existed before.
        digest: identity of the run, a hash of its config: the ``owner`` of its checkpoints.
        former_digest: the same as versions made it that had the number of generations in it.
        notes: one line for every difference from the machine that began the run, where results may differ in last
            bits, and for every damaged line of its metrics.
    """

    def __init__(
        self, path: Path, lock: int, resumed: bool, digest: str, notes: list[str], former_digest: str = ""
    ):
        self.path = path
        self.resumed = resumed
        self.digest = digest
        self.former_digest = former_digest
        self.notes = notes
        self._lock = lock
        self._events = ScalarEvents(path / "tb")

    @classmethod
    def create(
        cls,
        path: str | Path,
        config: Mapping[str, Any],
        resume: bool = False,
        grows: str | None = None,
        leaves_proxy: bool = True,
    ) -> "RunDir":
        """Begin a run or go on with one.

        Args:
            path: the directory; made if it is missing.
            config: everything that decides the outcome. A resumed run must have been begun with the same.
            resume: go on with an unfinished run, or write a lost ``best_proxy.safetensors`` of a finished one anew.
                Where there is none yet, one begins, so that a job which is killed at any moment can always be
                started again with the same command.
            grows: dotted name of a number in the config that says how long the run is, and decides nothing else: a run
                may be resumed with a larger one, a finished run too.
            leaves_proxy: whether a finished run of this kind has a ``best_proxy.safetensors``.

        Returns:
            the run, locked for this process until it is closed or the process ends.

        Raises:
            UserError: if the directory holds something else, a finished run, an unfinished one without
                ``resume``, one of another config or one that is being written; or if it cannot be written.
        """
        path, wanted = Path(path), plain(config)
        _check_place(path, wanted, resume, grows, leaves_proxy)
        lock = locked_directory.lock(path)
        try:
            # Again: whoever held the lock may have finished the run.
            _check_place(path, wanted, resume, grows, leaves_proxy)
            locked_directory.clear(path)
            resumed, stored = (path / CONFIG).exists(), stored_config.stored_config(path)
            if not resumed:
                stored_config.write(path, wanted, environment=environment())
                notes = []
            elif not _asks_for_more(stored, wanted, grows):
                notes = _compare(path, wanted)
            else:
                notes = _compare(path, with_value(wanted, grows, value_at(stored, grows)))
                _grow(path, wanted)
        except BaseException:
            os.close(lock)
            raise
        return cls(
            path, lock, resumed, _digest(with_value(wanted, grows, None)), notes, _digest(stored or wanted)
        )

    @property
    def checkpoints(self) -> Path:
        """Return the directory of the checkpoints."""
        return self.path / "checkpoints"

    @property
    def best_proxy(self) -> Path:
        """Return the file of the evolved proxy."""
        return self.path / BEST_PROXY

    @property
    def plots(self) -> Path:
        """Return the directory of the plots."""
        return self.path / "plots"

    def check_nothing_is_lost(self) -> None:
        """Check, where there is no checkpoint, that a run may be begun from its start.

        Raises:
            UserError: there are two lines of metrics or more, so there was a checkpoint after the first of them.
        """
        if self.read_metrics()[1:]:
            raise UserError(
                f"{self.path} has metrics but no checkpoints: put them back, or pass another --out"
            )

    def append_metrics(self, line: Mapping[str, Any]) -> None:
        """Add one line of metrics, NaN and infinities as null; it is on disk when this returns.

        Args:
            line: JSON-ready fields, ``generation`` among them.

        Raises:
            UserError: if the disk is full; the lines before are intact.
        """
        metrics.append(self.path, line)
        self._events.append(plain(line), line["generation"])

    def truncate_metrics(self, generation: int) -> None:
        """Drop the lines of ``generation`` and later, and any that cannot be read, so that they can come again.

        Raises:
            UserError: if the disk is full; the file is as it was then.
        """
        metrics.truncate(self.path, generation)

    def read_metrics(self) -> list[dict[str, Any]]:
        """Read all whole lines so far, by generation."""
        return metrics.read(self.path)

    def save_result(self, result: Mapping[str, Any]) -> None:
        """Write the result, which marks the run as finished: the last thing that a run does.

        Raises:
            UserError: if the disk is full; the run can be resumed then.
        """
        write_atomic(self.path / RESULT, to_json(result, indent=2).encode())

    def close(self) -> None:
        """Close the event file and let go of the lock."""
        try:
            self._events.close()
        finally:
            if self._lock >= 0:
                os.close(self._lock)
                self._lock = -1

    def __enter__(self) -> "RunDir":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _check_place(
    path: Path, wanted: dict[str, Any], resume: bool, grows: str | None, leaves_proxy: bool
) -> None:
    """Refuse a directory that is not free for this run."""
    try:
        names = {entry.name for entry in path.iterdir()} if path.exists() else set()
    except NotADirectoryError:
        raise UserError(f"{path} is a file: choose another --out") from None
    except OSError as error:
        raise disk_error(error, path) from error
    if CONFIG not in names and "checkpoints" in names:
        raise UserError(f"the run in {path} has lost its {CONFIG}: put it back, or choose another --out")
    if CONFIG not in names:
        # A run that was killed while it began leaves no more than its lock and a temporary file.
        foreign = sorted(name for name in names if name != LOCK and not name.endswith(".tmp"))
        if foreign:
            raise UserError(f"{path} is not empty and holds no run ({foreign[0]}): choose another --out")
    elif resume and _asks_for_more(stored_config.stored_config(path), wanted, grows):
        return
    elif RESULT in names and (BEST_PROXY in names or not leaves_proxy or not resume):
        more = f", or --resume with a larger --{grows.replace('_', '-')}" if grows else ""
        raise UserError(f"the run in {path} is finished: choose another --out{more}")
    elif not resume:
        raise UserError(f"{path} holds an unfinished run: pass --resume to go on, or choose another --out")


def finished_result(path: Path, config: Mapping[str, Any], grows: str | None = None) -> dict[str, Any] | None:
    """Return the result of a run that has nothing left to do; None if there is no such run.

    Args:
        path: the directory.
        config: what the run is asked for.
        grows: dotted name of a number in the config that may be larger than it was, as for ``RunDir.create``.

    Raises:
        UserError: the run is finished, and was asked for something else.
    """
    wanted = plain(config)
    if not (path / RESULT).exists() or not (path / BEST_PROXY).exists():
        return None
    if _asks_for_more(stored_config.stored_config(path), wanted, grows):
        return None
    _compare(path, wanted)
    return read_json(path / RESULT, "choose another --out")


def _asks_for_more(stored: dict[str, Any], wanted: dict[str, Any], grows: str | None) -> bool:
    before, now = value_at(stored, grows), value_at(wanted, grows)
    return isinstance(before, int) and isinstance(now, int) and now > before


def _digest(config: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(config, sort_keys=True).encode()).hexdigest()[:16]


def _grow(path: Path, config: dict[str, Any]) -> None:
    """Ask an old run for more. The result goes first: a kill in between leaves an unfinished run, which is right."""
    remove(path / RESULT)
    stored_config.write(path, **stored_config.read(path) | {"config": config})


def _compare(path: Path, config: dict[str, Any]) -> list[str]:
    """Check that a resumed run has the config it was begun with, and note what differs in its environment."""
    content = stored_config.read(path)
    began = content["config"]
    unknown = sorted(set(config.get("contents", {})) - set(began.get("contents", {})))
    stored_config.check_same(f"the run in {path} was", with_contents(began, config), config)
    return [
        *(f"line {n} of {path / metrics.METRICS} is damaged and left out" for n in metrics.damaged(path)),
        *(f"what {name} held when the run was begun is not on record" for name in unknown),
        *changes_since(content.get("environment", {})),
    ]
