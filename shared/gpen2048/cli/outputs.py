"""What flags ask to be written beside the results."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryFile

from ..batch.sources import identity
from ..errors import InvalidOptionError, UnsupportedImageError
from ..images import Picture, check_quality, output_format
from .sources import Job, refuse_inputs, refuse_twice

OF_ONE_PICTURE = ("compare", "save_mask")  # flags
READ = ("landmarks", "region", "network", "detector", "parser", "upscaler")  # flags that name files


def check_outputs(arguments: argparse.Namespace, jobs: Sequence[Job]) -> None:
    """Finds out before any work whether the results, --compare, --save-mask and --report can be written.

    Makes their folders. Raises InvalidOptionError for several pictures and one sheet or mask, and for a quality that
    is none; UnsupportedImageError for a name that ends as no picture, and for a file that is read or written already;
    and as `check_places` does.
    """
    check_quality(arguments.quality)
    for flag in OF_ONE_PICTURE:
        if getattr(arguments, flag) and len(jobs) > 1:
            raise InvalidOptionError(f"--{flag.replace('_', '-')} is of one picture; {len(jobs)} were given")
    pictures: list[Path] = [path for flag in OF_ONE_PICTURE if (path := getattr(arguments, flag))]
    for path in pictures:
        output_format(path.suffix)
    beside = [*pictures, arguments.report] if arguments.report else pictures
    refuse_twice([*(job.target for job in jobs), *beside])
    targets = [job.target for job in jobs]
    if not arguments.overwrite:
        named = named_inputs(arguments)
        refuse_inputs(beside, [*(job.source for job in jobs), *named], ", or --overwrite")
        refuse_inputs(targets, named, ", or --overwrite")
    check_places([*targets, *beside])


def check_places(paths: Sequence[Path]) -> None:
    """Makes the folders of files that are to be written, and tries whether they take any.

    Raises UnsupportedImageError for a path where something lies that is no file, such as a folder; OSError naming the
    folder that cannot be made or written to.
    """
    for path in paths:
        if path.exists() and not path.is_file():
            what = "a folder" if path.is_dir() else "no file but a device or a pipe"
            raise UnsupportedImageError(f"{path} is {what}; wanted another output")
    for folder in dict.fromkeys(path.parent for path in paths):
        if folder.exists() and not folder.is_dir():
            raise UnsupportedImageError(f"{folder} is no folder; wanted one, or another output")
        folder.mkdir(parents=True, exist_ok=True)
        try:
            TemporaryFile(dir=folder).close()
        except OSError as error:
            raise OSError(error.errno, error.strerror, str(folder)) from error


def refuse_loss(job: Job, picture: Picture) -> None:
    """Raises UnsupportedImageError where the first of several pages or frames would replace all of them."""
    if picture.metadata.frames > 1 and identity(job.target) == identity(job.source):
        lost = f"its {picture.metadata.frames} pages or frames would become one"
        raise UnsupportedImageError(f"{job.source}: {lost}; wanted another output")


def named_inputs(arguments: argparse.Namespace) -> list[Path]:
    """The files that flags name to be read."""
    return [Path(name) for flag in READ if (name := getattr(arguments, flag, None))]
