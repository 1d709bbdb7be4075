"""The record of a batch: one JSON object a line, only ever appended to, and so never half rewritten.

A line is written in one piece and brought to the disk (fsync) before its output gets its name; the output itself is
on the disk before that. So whatever a line says is true even after a power cut. A last line that was cut off is
dropped when the file is opened. Later lines replace earlier ones about the same output.
"""

from __future__ import annotations

import errno
import json
import logging
import os
import posixpath
import threading
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager
from dataclasses import asdict, replace
from io import FileIO
from pathlib import Path
from types import TracebackType
from typing import Any

from ..errors import GpenError
from ..replacing import put_in_place
from .locking import lock
from .outputs import FATAL, unfinished
from .records import Record, has_records, one_line, read_record
from .writers import Writers

NAME = "manifest.jsonl"

log = logging.getLogger(__name__)


class Manifest:
    """The records in `destination`/manifest.jsonl, open for this process alone.

    Raises GpenError when another run has it open, or when it is somebody else's manifest. Outputs that a killed run had
    finished but not yet renamed get their names; what it had not finished is removed, where there are records or
    `outputs` are to be.
    """

    def __init__(self, destination: Path, outputs: Iterable[str] = ()):
        self.destination = destination
        self.path = destination / NAME
        destination.mkdir(parents=True, exist_ok=True)
        if self.path.exists() and self.path.stat().st_size and not has_records(self.path):
            raise GpenError(f"{self.path} is no record of a batch; wanted another destination")
        self._file = _open_alone(self.path)
        self._lock = threading.Lock()
        self._writers = Writers()
        self._records = {record.output: record for record in self._read()}
        self._settle({posixpath.dirname(output) for output in (*self._records, *outputs)})

    def __enter__(self) -> Manifest:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._writers.end()
        self._file.close()

    def writing(self) -> AbstractContextManager[None]:
        """For outputs that are written and then added: they are waited for, even where the threads of a run are not.

        Raises StoppedError once the manifest is closed.
        """
        return self._writers.one()

    def get(self, output: str) -> Record | None:
        """The last record about `output`."""
        return self._records.get(output)

    def records(self) -> list[Record]:
        """The last record about each output."""
        return list(self._records.values())

    def target(self, output: str) -> Path:
        return self.destination / output

    def add(self, record: Record) -> Record:
        """Puts `record` down, and gives its output, until now in `record.part`, the name it is to have.

        Returns the record as it is then: that of a failure, where the system does not let the output have its name.
        """
        with self._lock:
            self._put_down(record)
            return self._name(record) if record.part else record

    def note(self, facts: dict[str, Any]) -> None:
        """Puts down something that is no record, such as what the hashes stand for; readers pass over it."""
        with self._lock:
            self._append(facts)

    def refuse_other_folder(self) -> None:
        """Raises GpenError where the destination was removed, renamed or unmounted since the run began."""
        try:
            same = os.path.samestat(os.fstat(self._file.fileno()), self.path.stat())
        except OSError:
            same = False
        if not same:
            gone = "is no longer the folder that this run began in"
            raise GpenError(f"{self.destination} {gone}; put it back and run again: what is missing is done then")

    def _read(self) -> Iterator[Record]:
        """The records in the file, which then ends with a whole line."""
        end = 0
        with self.path.open("rb") as lines:
            for number, line in enumerate(lines, start=1):
                if not line.endswith(b"\n"):
                    log.info("%s: line %d was cut off; its picture is done again", self.path, number)
                    break
                end += len(line)
                try:
                    content: dict[str, Any] = json.loads(line)
                    if "source_hash" in content:
                        yield read_record(content)
                except (ValueError, TypeError, AttributeError, KeyError, RecursionError):
                    log.warning("%s: line %d is no record; its picture is done again", self.path, number)
        self._file.truncate(end)

    def _put_down(self, record: Record) -> None:
        self._append(asdict(record))
        self._records[record.output] = record

    def _name(self, record: Record) -> Record:
        target = self.target(record.output)
        part = target.with_name(record.part)
        try:
            put_in_place(part, target)
        except OSError as error:
            if error.errno in FATAL:
                raise
            record = replace(record, part="", output_size=0, error=one_line(error))
            self._put_down(record)
            _remove(part)
        return record

    def _append(self, content: dict[str, Any]) -> None:
        self.refuse_other_folder()
        end = self._file.seek(0, os.SEEK_END)
        line = json.dumps(content).encode() + b"\n"  # ASCII holds every name, also one that is no text
        try:
            if self._file.write(line) != len(line):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            os.fsync(self._file.fileno())
        except OSError as error:
            self._file.truncate(end)
            raise OSError(error.errno, error.strerror, str(self.path)) from error

    def _settle(self, folders: Iterable[str]) -> None:
        """Ends what a killed run had begun in `folders`, below the destination."""
        finished = {record.part: record for record in self._records.values() if record.part}
        removed = 0
        for part in unfinished(self.destination / folder for folder in folders):
            if part.name in finished:
                self._name(finished[part.name])
            else:
                removed += _remove(part)
        if removed:
            log.info("removed %d unfinished files of an earlier run", removed)


def _open_alone(path: Path) -> FileIO:
    file = FileIO(str(path), "a+")  # unbuffered: a line reaches the system in one piece
    if not lock(file):
        file.close()
        raise GpenError(f"{path}: another run is writing to it; wanted a destination of its own")
    return file


def _remove(part: Path) -> bool:
    """Whether that could be done; what is left costs space, no more."""
    try:
        part.unlink()
    except OSError as error:
        log.warning("%s: an unfinished file that cannot be removed (%s)", part, error.strerror)
        return False
    return True
