"""Which files a command reads and writes."""

from __future__ import annotations

import glob
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ..errors import UnsupportedImageError

IMAGE_SUFFIXES = (".png", ".jpg", ".jpeg", ".webp", ".tif", ".tiff", ".bmp")
WRITABLE_SUFFIXES = (".png", ".jpg", ".jpeg", ".webp", ".tif", ".tiff")


@dataclass(frozen=True)
class Kind:
    """A kind of files: suffixes that can be read and written, and the one for what cannot be written `otherwise`."""

    readable: tuple[str, ...]
    writable: tuple[str, ...]
    otherwise: str


PICTURES = Kind(IMAGE_SUFFIXES, WRITABLE_SUFFIXES, otherwise=".png")


@dataclass(frozen=True)
class Job:
    """One file to read, and where its restoration goes."""

    source: Path
    target: Path


def plan(inputs: Sequence[str], output: Path, *, overwrite: bool, kind: Kind = PICTURES) -> list[Job]:
    """Jobs for files, folders (those of the `kind` directly in them) and globs.

    A single file may name its output file; folders and several inputs make `output` a folder. Raises
    UnsupportedImageError for an input that is not there, and for an output that would be an input or be written twice.
    """
    sources = [source for name in inputs for source in _expand(name, kind)]
    to_file = len(sources) == 1 and not Path(inputs[0]).is_dir() and output.suffix.lower() in kind.writable
    if to_file and not output.is_dir():
        jobs = [Job(sources[0], output)]
    else:
        jobs = [Job(source, output / _writable_name(source, kind)) for source in sources]
    _refuse_collisions(jobs, overwrite)
    return jobs


def _expand(name: str, kind: Kind) -> list[Path]:
    path = Path(name)
    if path.is_dir():
        found = sorted(child for child in path.iterdir() if child.suffix.lower() in kind.readable)
        wanted = f"a folder with any of {' '.join(kind.readable)}"
    elif path.exists():
        return [path]
    else:
        found = sorted(Path(match) for match in glob.glob(name, recursive=True) if Path(match).is_file())
        wanted = "a file, a folder or a pattern that matches some"
    if not found:
        raise UnsupportedImageError(f"{name}: nothing there; wanted {wanted}")
    return found


def _writable_name(source: Path, kind: Kind) -> str:
    return source.name if source.suffix.lower() in kind.writable else source.stem + kind.otherwise


def _refuse_collisions(jobs: Sequence[Job], overwrite: bool) -> None:
    sources = {job.source.resolve() for job in jobs}
    targets: dict[Path, Path] = {}
    for job in jobs:
        target = job.target.resolve()
        if target in targets:
            raise UnsupportedImageError(f"{targets[target]} and {job.source} would both be written to {job.target}")
        if target in sources and not overwrite:
            raise UnsupportedImageError(f"{job.target} is an input; wanted another output, or --overwrite")
        targets[target] = job.source
