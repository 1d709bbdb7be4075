"""What a batch reads and where it writes: folders with all that is below them, patterns, and lists of both."""

from __future__ import annotations

import glob
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from ..errors import UnsupportedImageError
from ..films.opening import FILM_SUFFIXES, written_suffix
from ..images import readable_suffixes

WRITABLE_SUFFIXES = (".png", ".jpg", ".jpeg", ".webp", ".tif", ".tiff")
WRITABLE_FILM_SUFFIXES = (".mp4", ".m4v", ".mov", ".mkv")


@dataclass(frozen=True)
class Item:
    """One file to read, and the path below the destination under which its restoration is written."""

    source: Path
    output: str  # with "/" between folders, on every system

    @property
    def is_film(self) -> bool:
        return self.source.suffix.lower() in FILM_SUFFIXES


def find_items(sources: Sequence[str], destination: Path) -> list[Item]:
    """What `sources` name, in order, each once.

    A folder stands for the pictures and films anywhere below it, a pattern for the files it matches, @FILE for the
    sources in that file, one a line. Outputs keep the path below the folder, below the fixed part of the pattern, or as
    a list has it; a file named by itself keeps its name. Hidden files, linked folders and what lies in `destination`
    are passed over. Raises UnsupportedImageError for a source that is not there or cannot be listed, for two that would
    become one output, for an output that would be a source or is a folder, and for pipes and devices.
    """
    items: dict[str, Item] = {}
    own = destination.resolve()
    for source, below in _expand_all(sources, own):
        item = Item(source, _writable(below))
        other = items.setdefault(item.output, item)
        if other.source.absolute() != source.absolute() and identity(other.source) != identity(source):
            raise UnsupportedImageError(
                f"{other.source} and {source} would both be written to {destination / item.output}; "
                "wanted other names, or the folder above both as the source"
            )
    read = {identity(item.source): item.source for item in items.values()}
    for item in items.values():
        replaced = read.get(identity(own / item.output))
        if replaced is not None:
            what = "itself" if replaced == item.source else f"{replaced}, another source"
            raise UnsupportedImageError(f"{item.source} would be written over {what}; wanted another destination")
        if (own / item.output).is_dir():
            raise UnsupportedImageError(f"{destination / item.output} is a folder; wanted another destination")
    return list(items.values())


def identity(path: Path) -> object:
    """The same for all names of a file, as there are where A.PNG is a.png; before it is there, its resolved name."""
    try:
        stat = path.stat()
    except OSError:
        return path.resolve()
    return stat.st_dev, stat.st_ino


def is_there(path: Path) -> bool:
    """Also where nobody can tell, as in a folder that may not be searched."""
    try:
        path.stat()
    except (FileNotFoundError, NotADirectoryError):
        return False
    except OSError:
        return True
    return True


def _expand_all(sources: Sequence[str], destination: Path) -> Iterator[tuple[Path, Path]]:
    for name in sources:
        if name.startswith("@") and not Path(name).exists():
            for line in _lines(Path(name[1:])):
                yield from _expand(line, destination, listed=True)
        else:
            yield from _expand(name, destination, listed=False)


def _lines(path: Path) -> list[str]:
    try:
        lines = path.read_text(encoding="utf-8-sig").split("\n")  # names may hold what else ends a line for Python
        return [line for line in lines if line.strip()]
    except UnicodeDecodeError as error:
        raise UnsupportedImageError(f"{path}: not UTF-8 text ({error}); wanted a list, one source a line") from error


def _expand(name: str, destination: Path, *, listed: bool) -> Iterator[tuple[Path, Path]]:
    """Files with their paths below the destination."""
    if not name:
        raise UnsupportedImageError("a source has an empty name; wanted a file, a folder or a pattern")
    path = Path(name)
    if path.is_dir():
        found = ((file, file.relative_to(path)) for file in _walk(path, destination))
        wanted = f"a folder with pictures ({' '.join(readable_suffixes())}) or films"
    elif path.exists():
        if not path.is_file():  # whoever reads a pipe waits for ever
            raise UnsupportedImageError(f"{name}: no file but a device or a pipe; wanted a file, a folder or a pattern")
        keep = listed and not path.is_absolute() and ".." not in path.parts
        found = iter([(path, path if keep else Path(path.name))])
        wanted = "a file"
    else:
        root = _fixed_part(name)
        found = ((file, file.relative_to(root)) for file in _match(name, root, destination))
        wanted = "a file, a folder or a pattern that matches some"
    first = next(found, None)
    if first is None:
        raise UnsupportedImageError(f"{name}: nothing there; wanted {wanted}")
    yield first
    yield from found


def _walk(folder: Path, destination: Path) -> Iterator[Path]:
    for root, folders, files in os.walk(folder, onerror=_refuse):
        here = Path(root)
        folders[:] = sorted(n for n in folders if not n.startswith(".") and (here / n).resolve() != destination)
        yield from (here / name for name in sorted(files) if _is_source(here / name) and (here / name).is_file())


def _refuse(error: OSError) -> None:
    raise UnsupportedImageError(f"{error.filename}: {error.strerror}; wanted a folder that can be read") from error


def _match(pattern: str, root: Path, destination: Path) -> Iterator[Path]:
    for name in sorted(glob.glob(pattern, recursive=True)):
        path = Path(name)
        if not _is_source(path) or ("**" in pattern and _is_linked(path.parent.relative_to(root), root)):
            continue
        if path.is_file() and destination not in path.resolve().parents:
            yield path


def _is_linked(folder: Path, root: Path) -> bool:
    """Whether a link between `root`, which may be one, and `folder` below it leads elsewhere, or in a circle."""
    return any((root / part).is_symlink() for part in (folder, *folder.parents) if part != Path())


def _is_source(path: Path) -> bool:
    return not path.name.startswith(".") and path.suffix.lower() in (*readable_suffixes(), *FILM_SUFFIXES)


def _fixed_part(pattern: str) -> Path:
    """The folders before the first one with a wildcard."""
    parts = Path(pattern).parts
    fixed = next((number for number, part in enumerate(parts) if glob.has_magic(part)), len(parts) - 1)
    return Path(*parts[:fixed])


def _writable(path: Path) -> str:
    suffix = path.suffix.lower()
    if suffix in WRITABLE_SUFFIXES or suffix in WRITABLE_FILM_SUFFIXES:
        return path.as_posix()
    return path.with_suffix(written_suffix(suffix) if suffix in FILM_SUFFIXES else ".png").as_posix()
