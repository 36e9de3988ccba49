"""Scalars for TensorBoard, written by tensorboardX's record writer without its background thread.

The thread of ``SummaryWriter`` dies unseen on a full disk, and closing it waits for ever. One record per generation
needs no thread.
"""

import os
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tensorboardX.proto.event_pb2 import Event, SessionLog  # pyright: ignore[reportAttributeAccessIssue]
from tensorboardX.proto.summary_pb2 import Summary  # pyright: ignore[reportAttributeAccessIssue]
from tensorboardX.record_writer import RecordWriter

from synthenv.core.files import disk_error, make_directory


class ScalarEvents:
    """An event file under ``directory``, opened at the first line.

    A resumed run opens another file, whose start mark makes TensorBoard hide the generations that are run again.
    """

    def __init__(self, directory: Path):
        self._directory = directory
        self._writer: RecordWriter | None = None

    def append(self, line: Mapping[str, Any], step: int) -> None:
        """Write the numbers among the fields of ``line``; lists, texts and nulls are left out.

        Raises:
            UserError: if the disk is full or the place cannot be written.
        """
        numbers = {
            name: float(value) for name, value in line.items() if isinstance(value, bool | int | float)
        }
        values = [Summary.Value(tag=tag, simple_value=value) for tag, value in numbers.items()]
        try:
            writer = self._writer = self._writer or self._open(step)
            _write(writer, step=step, summary=Summary(value=values))
            writer.flush()
        except OSError as error:
            raise disk_error(error, self._directory) from error

    def close(self) -> None:
        """Close the file; every line was flushed when it was written."""
        if self._writer is not None:
            try:
                self._writer.close()
            except OSError as error:
                raise disk_error(error, self._directory) from error
            finally:
                self._writer = None

    def _open(self, first_step: int) -> RecordWriter:
        make_directory(self._directory)
        # TensorBoard reads files in the order of their names; its own convention would add the host's name.
        name = f"events.out.tfevents.{int(time.time()):010d}.{first_step:08d}.{os.getpid()}"
        # The path is absolute, since RecordWriter takes what precedes a colon for the address of a cloud store.
        writer = RecordWriter(str(self._directory.absolute() / name))
        _write(writer, file_version="brain.Event:2")
        start = SessionLog(status=SessionLog.START)
        _write(writer, step=first_step, session_log=start)
        return writer


def _write(writer: RecordWriter, **fields: Any) -> None:
    writer.write(Event(wall_time=time.time(), **fields).SerializeToString())
