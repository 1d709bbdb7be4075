"""Files that are whole or not there: written beside their place, under a name that nobody else has."""

from __future__ import annotations

import secrets
import shutil
from collections.abc import Generator
from contextlib import contextmanager, suppress
from pathlib import Path


def unfinished_name(path: Path, suffix: str = ".part") -> Path:
    """Another one at every call, hidden, in the folder of `path`."""
    return path.with_name(f".{secrets.token_hex(8)}{suffix}")


def put_in_place(unfinished: Path, path: Path) -> None:
    """Renames what has been written to `path`. Who may read a file that was there before may read this one."""
    with suppress(OSError):  # there was none, or the file system knows no permissions
        shutil.copymode(path, unfinished)
    unfinished.replace(path)


@contextmanager
def replacing(path: Path) -> Generator[Path]:
    """Gives the name to write under. It is put in place when the `with` block ends, and removed where that fails.

    Whatever fails, `path` holds what it held before. Raises OSError naming `path` where nothing can be written.
    """
    unfinished = unfinished_name(path)
    try:
        yield unfinished
        put_in_place(unfinished, path)
    except OSError as error:
        if error.errno is None or (error.filename and Path(error.filename) != unfinished):  # of something else
            raise
        raise OSError(error.errno, error.strerror, str(path)) from error
    finally:
        with suppress(OSError):  # also where the folder refuses everything, which has been told
            unfinished.unlink(missing_ok=True)
