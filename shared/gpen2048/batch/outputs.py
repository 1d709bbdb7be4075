"""Outputs that are there whole or not at all.

An output is written under a name of its own first, brought to the disk, put on record, and only then renamed. Killed
at any moment, a run leaves either an unfinished file that no record knows (it is removed, and its picture done again)
or a whole one that a record knows (the next run renames it; nothing is done twice).
"""

from __future__ import annotations

import errno
import os
import re
from collections.abc import Iterable, Iterator
from pathlib import Path

from ..replacing import unfinished_name

# What stops all writing, and so the run; anything else is the trouble of one file.
FATAL = (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EIO)
SUFFIX = ".batch.part"  # unlike that of files which others are just writing in the same folder
UNFINISHED = re.compile(r"\.[0-9a-f]{16}" + re.escape(SUFFIX))


def write_part(target: Path, data: bytes) -> Path:
    """Writes `data` beside `target`, to the disk itself, and returns where."""
    target.parent.mkdir(parents=True, exist_ok=True)
    part = part_name(target)
    try:
        with part.open("xb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
    except BaseException as error:
        part.unlink(missing_ok=True)
        if isinstance(error, OSError):  # which may not say of what
            raise OSError(error.errno, error.strerror, str(target)) from error
        raise
    return part


def part_name(target: Path) -> Path:
    """Where an output lies until it is on record; another name at every call."""
    return unfinished_name(target, SUFFIX)


def unfinished(folders: Iterable[Path]) -> Iterator[Path]:
    """What runs that were killed have left in `folders`."""
    for folder in folders:
        if folder.is_dir():
            yield from [path for path in folder.iterdir() if UNFINISHED.fullmatch(path.name)]
