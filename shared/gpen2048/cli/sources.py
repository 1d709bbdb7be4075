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
class Job:
    """One picture to read, and where its restoration goes."""

    source: Path
    target: Path


def plan(inputs: Sequence[str], output: Path, *, overwrite: bool) -> list[Job]:
    """Jobs for files, folders (the pictures directly in them) and globs.

    A single file may name its output file; folders and several inputs make `output` a folder. Raises
    UnsupportedImageError for an input that is not there, and for an output that would be an input or be written twice.
    """
    sources = [source for name in inputs for source in _expand(name)]
    to_file = len(sources) == 1 and not Path(inputs[0]).is_dir() and output.suffix.lower() in WRITABLE_SUFFIXES
    if to_file and not output.is_dir():
        jobs = [Job(sources[0], output)]
    else:
        jobs = [Job(source, output / _writable_name(source)) for source in sources]
    _refuse_collisions(jobs, overwrite)
    return jobs


def _expand(name: str) -> list[Path]:
    path = Path(name)
    if path.is_dir():
        found = sorted(child for child in path.iterdir() if child.suffix.lower() in IMAGE_SUFFIXES)
        wanted = f"a folder with pictures ({' '.join(IMAGE_SUFFIXES)})"
    elif path.exists():
        return [path]
    else:
        found = sorted(Path(match) for match in glob.glob(name, recursive=True) if Path(match).is_file())
        wanted = "a file, a folder or a pattern that matches some"
    if not found:
        raise UnsupportedImageError(f"{name}: nothing there; wanted {wanted}")
    return found


def _writable_name(source: Path) -> str:
    return source.name if source.suffix.lower() in WRITABLE_SUFFIXES else source.stem + ".png"


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
