"""What a batch reads and where it writes: folders with all that is below them, patterns, and lists of both."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from glob import has_magic
from pathlib import Path

from ..errors import UnsupportedImageError
from ..films.opening import FILM_SUFFIXES, written_suffix
from ..images import readable_suffixes
from .patterns import ANY_DEPTH, fixed_part, matches, refuse_folder

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
    place = place_finder(own)
    for source, below in _expand_all(sources, own):
        item = Item(source, _writable(below))
        other = items.setdefault(place(item.output), item)
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
        found = path.stat()
    except OSError:
        return os.path.realpath(path)
    return found.st_dev, found.st_ino


def place_finder(destination: Path) -> Callable[[str], str]:
    """Tells where an output lies: the same of all its names, where links below `destination` lead to one folder.

    A link to a file leads nowhere: it is what an output replaces.
    """
    real = cache(os.path.realpath)

    def place(output: str) -> str:
        target = destination / output
        return f"{real(target.parent)}/{target.name}"

    return place


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
    if not name or "\0" in name:
        seen = f"a NUL in its name, {name!r}" if name else "an empty name"
        raise UnsupportedImageError(f"a source has {seen}; wanted a file, a folder or a pattern, and lists in UTF-8")
    path, mode = Path(name), _mode(Path(name))
    if mode and stat.S_ISDIR(mode):
        found = ((file, file.relative_to(path)) for file in _walk(path, destination))
        wanted = f"a folder with pictures ({' '.join(readable_suffixes())}) or films"
    elif mode and (os.path.lexists(path) or not has_magic(name)):
        if not stat.S_ISREG(mode):  # whoever reads a pipe waits for ever
            raise UnsupportedImageError(f"{name}: no file but a device or a pipe; wanted a file, a folder or a pattern")
        keep = listed and not path.is_absolute() and ".." not in path.parts
        found = iter([(path, path if keep else Path(path.name))])
        wanted = "a file"
    else:
        root = fixed_part(name)
        found = ((file, file.relative_to(root)) for file in _match(name, root, destination))
        wanted = "a file, a folder or a pattern that matches some"
    first = next(found, None)
    if first is None:
        raise UnsupportedImageError(f"{name}: nothing there; wanted {wanted}")
    yield first
    yield from found


def _walk(folder: Path, destination: Path) -> Iterator[Path]:
    for root, folders, files in os.walk(folder, onerror=refuse_folder):
        here = Path(root)
        folders[:] = sorted(n for n in folders if not n.startswith(".") and (here / n).resolve() != destination)
        yield from (here / name for name in sorted(files) if _is_source(here / name) and _is_file(here / name))


def _match(pattern: str, root: Path, destination: Path) -> Iterator[Path]:
    top = root.resolve()
    is_around = destination in (top, *top.parents)  # then all is below it, the sources too
    for path in matches(pattern, destination):
        if not _is_source(path) or (ANY_DEPTH in pattern and _is_linked(path.parent.relative_to(root), root)):
            continue
        if _is_file(path) and (is_around or destination not in path.resolve().parents):
            yield path


def _is_linked(folder: Path, root: Path) -> bool:
    """Whether a link between `root`, which may be one, and `folder` below it leads elsewhere, or in a circle."""
    return any((root / part).is_symlink() for part in (folder, *folder.parents) if part != Path())


def _mode(path: Path) -> int:
    """Type and permissions, 0 where nothing is; a file's where nobody may look, as whoever reads it is told why."""
    try:
        return path.stat().st_mode
    except PermissionError:
        return stat.S_IFREG
    except OSError:
        return 0


def _is_file(path: Path) -> bool:
    return stat.S_ISREG(_mode(path))


def _is_source(path: Path) -> bool:
    return not path.name.startswith(".") and path.suffix.lower() in (*readable_suffixes(), *FILM_SUFFIXES)


def _writable(path: Path) -> str:
    suffix = path.suffix.lower()
    if suffix in WRITABLE_SUFFIXES or suffix in WRITABLE_FILM_SUFFIXES:
        return path.as_posix()
    return path.with_suffix(written_suffix(suffix) if suffix in FILM_SUFFIXES else ".png").as_posix()
