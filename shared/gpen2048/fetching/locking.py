"""One process at a time."""

from __future__ import annotations

import errno
import os
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any

from .partial import disk

PAUSE = 0.2  # seconds between two looks


@contextmanager
def locked(target: Path, note: Callable[[str], None], wait: Callable[[], None]) -> Generator[None]:
    """While this lasts no other process that locks `target` does anything with it. Waits for as long as one does.

    `wait` is called again and again meanwhile; what it raises ends the waiting.

    The lock is the system's own on a file beside it, so that it ends with the process whatever happens. Where the file
    system knows no locks, it goes without.
    """
    path = target.with_name(f".{target.name}.lock")
    told = False
    while True:
        with disk(target.parent):
            file = path.open("a+b")
        if _try_lock(file) and _is_current(file, path):
            break
        file.close()
        if not told:
            note(f"another process is fetching {target.name}; waiting for it")
            told = True
        wait()
        time.sleep(PAUSE)
    try:
        yield
    finally:
        with suppress(OSError):  # Windows lets nobody delete an open file
            path.unlink(missing_ok=True)
        file.close()


def _is_current(file: IO[bytes], path: Path) -> bool:
    """Whether the one who had the lock before did not delete the file in the meantime."""
    try:
        return os.path.samestat(os.fstat(file.fileno()), path.stat())
    except FileNotFoundError:
        return False


def _try_lock(file: IO[bytes]) -> bool:
    try:
        import fcntl
    except ImportError:
        return _try_lock_windows(file)
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:
        return True  # no locks on this file system
    return True


def _try_lock_windows(file: IO[bytes]) -> bool:
    import importlib

    msvcrt: Any = importlib.import_module("msvcrt")
    try:
        msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)
    except OSError as error:
        return error.errno not in (errno.EACCES, errno.EDEADLK)  # else no locks on this file system
    return True
