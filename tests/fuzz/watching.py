"""A process that reads weight files, watched from outside: hangs and crashes are outcomes like others."""

from __future__ import annotations

import json
import os
import select
import subprocess
import sys
from pathlib import Path
from typing import Any

import gpen2048

STARTING, READING = 120.0, 20.0  # seconds at most
SLACK = 16 << 20  # bytes that any reading may take: the interpreter's own, and modules loaded on first use


class Reader:
    """Keeps one child process, and starts another when it is gone."""

    def __init__(self) -> None:
        self._child: Any = None

    def read(self, how: str, path: Path) -> dict[str, Any]:
        """What reading.py says of `path`, or an outcome "hang" or "crash"."""
        child = self._running()
        child.stdin.write(f"{how} {path}\n")
        child.stdin.flush()
        line = self._line(READING)
        if line:
            return json.loads(line)
        code = child.poll()
        self.close()
        return {"outcome": "hang" if code is None else "crash", "message": f"exit {code}", "keys": {}, "peak": 0}

    def close(self) -> None:
        if self._child is not None:
            self._child.kill()
            self._child.wait()
            self._child = None

    def _running(self) -> Any:
        if self._child is None:
            command = [sys.executable, str(Path(__file__).with_name("reading.py"))]
            pipe, silent = subprocess.PIPE, subprocess.DEVNULL
            self._child = subprocess.Popen(
                command, stdin=pipe, stdout=pipe, stderr=silent, text=True, env=_surroundings()
            )
            assert self._line(STARTING) == "ready\n"
        return self._child

    def _line(self, seconds: float) -> str:
        ready, _, _ = select.select([self._child.stdout], [], [], seconds)
        return self._child.stdout.readline() if ready else ""


def _surroundings() -> dict[str, str]:
    """The package under test, and a C library that gives freed memory back at once, so that peaks are seen."""
    package = str(Path(gpen2048.__file__).parents[1])
    return {**os.environ, "PYTHONPATH": package, "MALLOC_MMAP_THRESHOLD_": "65536", "MALLOC_TRIM_THRESHOLD_": "65536"}


def fault(answer: dict[str, Any], size: int, sound: dict[str, str], checked: bool, changes: int) -> str:
    """What is wrong with `answer` for a mutated file of `size` bytes; "" if nothing.

    `sound` are the keys of the file before it was mutated in `changes` places. A kind of file that is `checked` carries
    checksums, so that it loads as it was or not at all; in others some numbers may differ, no more.
    """
    if answer["outcome"] not in ("loaded", "refused"):
        return f"{answer['outcome']}: {answer['message']}"
    if answer["peak"] > 3 * size + SLACK:
        return f"{answer['peak']} bytes of memory for a file of {size}"
    if answer["outcome"] == "refused":
        return "" if answer["message"] else "refused without a word"
    differing = sum(answer["keys"].get(key) != digest for key, digest in sound.items())
    if answer["keys"].keys() != sound.keys() and checked:
        return "other keys than before were loaded"
    if differing > (0 if checked else changes):
        return f"{differing} tensors differ from the sound file's"
    return ""
