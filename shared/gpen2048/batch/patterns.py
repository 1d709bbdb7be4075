"""Files that a pattern matches: those of `glob`, but folders that cannot be listed are named and not passed over."""

from __future__ import annotations

import errno
import fnmatch
import os
from collections.abc import Iterator
from glob import has_magic
from pathlib import Path
from typing import NoReturn

from ..errors import UnsupportedImageError

ANY_DEPTH = "**"


def refuse_folder(error: OSError) -> NoReturn:
    """Raises UnsupportedImageError for a folder that cannot be listed."""
    raise UnsupportedImageError(f"{error.filename}: {error.strerror}; wanted a folder that can be read") from error


def fixed_part(pattern: str) -> Path:
    """The folders before the first one with a wildcard."""
    parts = Path(pattern).parts
    fixed = next((number for number, part in enumerate(parts) if has_magic(part)), len(parts) - 1)
    return Path(*parts[:fixed])


def matches(pattern: str, but: Path) -> list[Path]:
    """What `pattern` matches, sorted, and after its last wildcard also what is not there.

    `**` stands for folders of any depth, but neither for hidden nor for linked ones. The folder `but`, which must be
    resolved, is looked into only where it is or holds the fixed part. Raises UnsupportedImageError for a folder that
    cannot be listed.
    """
    root = fixed_part(pattern)
    parts = Path(pattern).parts[len(root.parts) :]
    return sorted(set(_below(root, parts, but)), key=str)


def _below(folder: Path, parts: tuple[str, ...], but: Path) -> Iterator[Path]:
    if not parts:
        yield folder
        return
    first, rest = parts[0], parts[1:]
    if first == ANY_DEPTH:
        yield from _below(folder, rest or ("*",), but)
        deeper, then = [entry.name for entry in _listed(folder) if _is_shown_folder(entry)], parts
    elif has_magic(first):
        deeper, then = _matching(folder, first), rest
    else:
        deeper, then = [first], rest
    for name in deeper:
        if not then or os.path.realpath(folder / name) != str(but):
            yield from _below(folder / name, then, but)


def _matching(folder: Path, pattern: str) -> list[str]:
    """Hidden names only where the pattern begins as they do."""
    names = [entry.name for entry in _listed(folder)]
    return fnmatch.filter([name for name in names if pattern.startswith(".") or not name.startswith(".")], pattern)


def _is_shown_folder(entry: os.DirEntry[str]) -> bool:
    return not entry.name.startswith(".") and entry.is_dir(follow_symlinks=False)


def _listed(folder: Path) -> list[os.DirEntry[str]]:
    """Nothing of what is no folder."""
    try:
        with os.scandir(folder) as entries:
            return list(entries)
    except (FileNotFoundError, NotADirectoryError):
        return []
    except OSError as error:
        if error.errno == errno.ELOOP:  # a link that leads to itself, as far as it is looked for
            return []
        refuse_folder(error)
