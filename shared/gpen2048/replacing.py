"""Files that are whole or not there: written beside their place, under a name that nobody else has."""

from __future__ import annotations

import secrets
from collections.abc import Generator
from contextlib import contextmanager, suppress
from pathlib import Path


def unfinished_name(path: Path) -> Path:
    """Another one at every call, hidden, in the folder of `path`."""
    return path.with_name(f".{secrets.token_hex(8)}.part")


@contextmanager
def replacing(path: Path) -> Generator[Path]:
    """Gives the name to write under. It becomes `path` when the `with` block ends, and is removed where that fails.

    Whatever fails, `path` holds what it held before. Raises OSError naming `path` where nothing can be written.
    """
    unfinished = unfinished_name(path)
    try:
        yield unfinished
        unfinished.replace(path)
    except OSError as error:
        if error.errno is None or (error.filename and Path(error.filename) != unfinished):  # of something else
            raise
        raise OSError(error.errno, error.strerror, str(path)) from error
    finally:
        with suppress(OSError):  # also where the folder refuses everything, which has been told
            unfinished.unlink(missing_ok=True)
