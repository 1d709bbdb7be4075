"""A file that is not whole yet, and what is needed to go on with it later."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Generator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import TracebackType
from typing import IO, Any, cast

from ..errors import DownloadError

BLOCK = 1 << 20  # bytes


class Partial:
    """What has come of `target` from `address`, under the name of `target` with ".part".

    Beside it lies which version of which address it is: only the same one is ever resumed.
    """

    def __init__(self, target: Path, address: str):
        self.target = target
        self.address = address
        self.path = target.with_name(target.name + ".part")
        self._origin = target.with_name(target.name + ".part.json")

    def resumable(self) -> tuple[int, str]:
        """How many bytes are there and the version they are of; (0, "") when there is nothing to go on with."""
        try:
            origin: Any = json.loads(self._origin.read_text(encoding="utf-8"))
            size = self.path.stat().st_size
        except (OSError, ValueError):
            return 0, ""
        if not isinstance(origin, dict):
            return 0, ""
        known = cast("dict[str, object]", origin)
        version = known.get("version")
        same = known.get("address") == self.address and isinstance(version, str) and bool(version)
        return (size, str(version)) if same else (0, "")

    def begin(self, start: int, version: str) -> Writing:
        """Writes on from `start`, after the bytes that are kept."""
        with disk(self.path.parent):
            if start == 0:
                self._origin.unlink(missing_ok=True)
            writing = Writing(self.path.open("r+b" if start else "wb"), start)
            self._origin.write_text(json.dumps({"address": self.address, "version": version}), encoding="utf-8")
            return writing

    def finish(self) -> None:
        """Gives the whole file its name, at once and for good."""
        with disk(self.path.parent):
            with self.path.open("rb+") as file:
                os.fsync(file.fileno())
            self.path.replace(self.target)
            self._origin.unlink(missing_ok=True)

    def discard(self) -> None:
        with suppress(OSError):
            self.path.unlink(missing_ok=True)
            self._origin.unlink(missing_ok=True)


class Writing:
    """An open partial file and the SHA-256 of all its bytes so far."""

    def __init__(self, file: IO[bytes], start: int):
        self._file = file
        self.digest = hashlib.sha256()
        for offset in range(0, start, BLOCK):
            self.digest.update(file.read(min(BLOCK, start - offset)))
        file.truncate(start)

    def __enter__(self) -> Writing:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with disk(Path(self._file.name).parent):
            self._file.close()

    def write(self, block: bytes) -> None:
        with disk(Path(self._file.name).parent):
            self._file.write(block)
        self.digest.update(block)


@contextmanager
def disk(folder: Path) -> Generator[None]:
    """Says which folder it was when the disk refuses something: DownloadError."""
    try:
        yield
    except OSError as error:
        reason = error.strerror or str(error)
        raise DownloadError(f"{folder} cannot be written to ({reason}); wanted a folder with room that can") from error
