"""Which files a command reads and writes."""

from __future__ import annotations

import glob
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from ..batch.sources import identity
from ..errors import UnsupportedImageError
from ..images import FORMATS, readable_suffixes


@dataclass(frozen=True)
class Kind:
    """A kind of files: suffixes that can be read and written, and which is for a suffix that cannot be written."""

    readable: Callable[[], tuple[str, ...]]
    writable: tuple[str, ...]
    otherwise: Callable[[str], str]


PICTURES = Kind(readable_suffixes, tuple(FORMATS), otherwise=lambda _: ".png")


@dataclass(frozen=True)
class Job:
    """One file to read, and where its restoration goes."""

    source: Path
    target: Path


def plan(inputs: Sequence[str], output: Path, *, overwrite: bool, kind: Kind = PICTURES) -> list[Job]:
    """Jobs for files, folders and globs: of these two, the files of the `kind`, unless hidden.

    A single file may name its output file; folders and several inputs make `output` a folder. Raises
    UnsupportedImageError for an input that is not there, for an output that would be an input or be written twice, and
    unless it is a folder, for one whose name ends as no file that can be written, or as one file for several.
    """
    sources = [source for name in inputs for source in _expand(name, kind)]
    if len(sources) == 1 and not Path(inputs[0]).is_dir() and output.suffix and not output.is_dir():
        if output.suffix.lower() not in kind.writable:
            wanted = f"{', '.join(kind.writable)}, or a folder that is there"
            raise UnsupportedImageError(f"{output}: cannot write {output.suffix!r}; wanted {wanted}")
        jobs = [Job(sources[0], output)]
    elif output.suffix.lower() in kind.writable and not output.is_dir():
        raise UnsupportedImageError(f"{output} is one file; wanted a folder for {', '.join(inputs)}")
    else:
        jobs = [Job(source, output / _writable_name(source, kind)) for source in sources]
    _refuse_collisions(jobs, overwrite)
    return jobs


def holds(name: str, kind: Kind) -> bool:
    """Whether an input is a file of the `kind`, by its name, or a folder or pattern with one."""
    path = Path(name)
    if path.is_dir():
        return any(_is_source(child, kind) for child in path.iterdir())
    if path.suffix.lower() in kind.readable():
        return True
    return any(_is_source(Path(match), kind) for match in glob.iglob(name, recursive=True))


def _expand(name: str, kind: Kind) -> list[Path]:
    if not name:
        raise UnsupportedImageError("an input has an empty name; wanted a file, a folder or a pattern")
    path = Path(name)
    if path.is_dir():
        found = sorted(child for child in path.iterdir() if _is_source(child, kind))
        wanted = f"a folder with any of {' '.join(kind.readable())}"
    elif path.exists():
        return [path]
    else:
        matches = sorted(Path(match) for match in glob.glob(name, recursive=True) if Path(match).is_file())
        found = [path for path in matches if _is_source(path, kind)] or matches  # a name may hide what a file is
        wanted = "a file, a folder or a pattern that matches some"
    if not found:
        raise UnsupportedImageError(f"{name}: nothing there; wanted {wanted}")
    return found


def _is_source(path: Path, kind: Kind) -> bool:
    """macOS puts ._a.png beside a.png; and whoever reads a pipe waits for ever."""
    return not path.name.startswith(".") and path.suffix.lower() in kind.readable() and path.is_file()


def _writable_name(source: Path, kind: Kind) -> str:
    suffix = source.suffix.lower()
    return source.name if suffix in kind.writable else source.stem + kind.otherwise(suffix)


def _refuse_collisions(jobs: Sequence[Job], overwrite: bool) -> None:
    targets: dict[object, Path] = {}
    for job in jobs:
        other = targets.setdefault(identity(job.target), job.source)
        if other is not job.source:
            raise UnsupportedImageError(f"{other} and {job.source} would both be written to {job.target}")
    if not overwrite:
        refuse_inputs([job.target for job in jobs], [job.source for job in jobs], ", or --overwrite")


def refuse_inputs(outputs: Iterable[Path], inputs: Iterable[Path], or_else: str = "") -> None:
    """Raises UnsupportedImageError for one of `outputs` that is one of `inputs`, by whatever name."""
    read = identities(inputs)
    for output in outputs:
        if identity(output) in read:
            raise UnsupportedImageError(f"{output} is an input; wanted another output{or_else}")


def refuse_twice(outputs: Iterable[Path]) -> None:
    """Raises UnsupportedImageError for a file that is two of `outputs`."""
    written: set[object] = set()
    for output in outputs:
        if identity(output) in written:
            raise UnsupportedImageError(f"{output} would be written twice; wanted a file for each output")
        written.add(identity(output))


def identities(paths: Iterable[Path]) -> set[object]:
    """The same for all names of a file."""
    return {identity(path) for path in paths}
