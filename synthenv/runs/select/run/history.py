"""``history.jsonl``: all that a search has decided and been told, in order, from which it is taken up again.

A line for each: ``begin`` (a job), ``wait`` (a decision to begin none), ``end`` (what came of a job). Each has a
checksum of its own. A line is on disk before what it says is done, and a last one that was half written was not done.
"""

import json
import math
import os
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from synthenv.core.errors import UserError
from synthenv.core.files import disk_error, sync_directory, to_json, write_all
from synthenv.selection.tuner.jobs import Job, Outcome
from synthenv.selection.tuner.search import Search

HISTORY = "history.jsonl"


def begun(job: Job, clock: float) -> dict[str, Any]:
    """The line of a job that begins."""
    return {"event": "begin", "clock": clock, **job._asdict()}


def waited(clock: float) -> dict[str, Any]:
    """The line of a decision that none begins."""
    return {"event": "wait", "clock": clock}


def ended(job: Job, outcome: Outcome, clock: float) -> dict[str, Any]:
    """The line of a job that has ended."""
    return {
        "event": "end",
        "clock": clock,
        "number": job.number,
        "candidate": job.candidate,
        **outcome._asdict(),
    }


def append(path: Path, line: Mapping[str, Any]) -> None:
    """Add a line to the file of a directory; it is on disk when this returns.

    Raises:
        MachineError: the disk is full; the lines before are intact.
    """
    file = path / HISTORY
    is_new, text = not file.exists(), to_json(line)
    try:
        descriptor = os.open(file, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
        try:
            size = os.fstat(descriptor).st_size
            try:
                write_all(descriptor, f'{text[:-1]}, "seal": "{_seal(text)}"}}\n'.encode())
                os.fsync(descriptor)
            except BaseException:  # half a line would spoil the next one
                os.ftruncate(descriptor, size)
                raise
        finally:
            os.close(descriptor)
        if is_new:
            sync_directory(path)
    except OSError as error:
        raise disk_error(error, file) from error


def read(path: Path) -> list[dict[str, Any]]:
    """All lines of a directory that nobody else writes; half a line at the end is cut off.

    Raises:
        UserError: a line is damaged; the message has its number.
    """
    file = path / HISTORY
    try:
        content = file.read_bytes() if file.exists() else b""
        whole = content[: content.rfind(b"\n") + 1]
        if whole != content:
            os.truncate(file, len(whole))
    except OSError as error:
        raise disk_error(error, file) from error
    return [_parsed(file, number, text) for number, text in enumerate(whole.splitlines(), start=1)]


def _parsed(file: Path, number: int, text: bytes) -> dict[str, Any]:
    try:
        line = json.loads(text)
        if line.pop("seal") == _seal(to_json(line)):
            return line
    except (ValueError, KeyError, AttributeError):
        pass
    raise UserError(
        f"line {number} of {file} is damaged: put back a copy of the file, or choose another --out"
    )


def _seal(text: str) -> str:
    return f"{zlib.crc32(text.encode()):08x}"


def outcome_of(line: Mapping[str, Any]) -> Outcome:
    """What came of the job of an ``end``."""
    scores = tuple(math.nan if score is None else score for score in line["scores"])
    return Outcome(scores, tuple(line["seconds"]), line["reason"], line["ended"], line["wall_seconds"])


def replay(search: Search, lines: list[dict[str, Any]], path: Path) -> None:
    """Ask and tell a new search all that its history has; what was out when it ended is out again.

    Raises:
        UserError: the search decides otherwise than it did.
    """
    jobs: dict[int, Job] = {}
    for number, line in enumerate(lines, start=1):
        if line["event"] == "end":
            search.tell(jobs[line["number"]], outcome_of(line))
            continue
        job = search.ask(line["clock"])
        wanted = Job(*(line[name] for name in Job._fields)) if line["event"] == "begin" else None
        if job != wanted:
            raise UserError(
                f"line {number} of {path / HISTORY} says {wanted}, and the selector now decides {job}: resume with the"
                " version of synthenv and on the kind of machine that began it, or choose another --out"
            )
        if job is not None:
            jobs[job.number] = job
