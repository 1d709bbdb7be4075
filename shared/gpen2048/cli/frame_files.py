"""Pictures in files that are the frames of one film."""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from ..errors import UnsupportedImageError, is_out_of_memory
from ..films.restoring import FilmReport
from ..images import Picture, read_image, write_image
from ..options import RestoreOptions
from ..sequence import restore_sequence
from ..task import Progress
from .equipment import Equipment
from .outputs import refuse_loss
from .reporting import told
from .sources import Job, identities


def restore_frame_files(
    jobs: Sequence[Job],
    equipment: Equipment,
    options: RestoreOptions,
    region: Tensor | None,
    quality: int,
    on_progress: Progress,
) -> FilmReport:
    """Restores the pictures of `jobs`, in the order of the numbers in their names, each as soon as it can be.

    Those that cannot be read, or differ in size from the first, are left out and named in the report's `problems`.
    Nor does it raise when memory runs out after pictures have been replaced: they are not to be restored once more.
    """
    jobs = sorted(jobs, key=_by_number)
    report = FilmReport()
    waiting: deque[tuple[Job, Picture]] = deque()
    frames = _read(jobs, waiting, equipment.device, report.problems)
    what: dict[str, Any] = {"background": equipment.upscaler, "region": region, "on_progress": on_progress}
    sources = identities(job.source for job in jobs)
    replaced = False
    try:
        for result in restore_sequence(frames, equipment.restorer, options, total=len(jobs), **what):
            job, picture = waiting.popleft()
            replaced = replaced or bool(identities([job.target]) & sources)
            try:
                write_image(job.target, picture.with_pixels(result.image), quality=quality)
            except (UnsupportedImageError, OSError) as error:  # what one of them does not let be written, none will
                report.problems.append(told(error))
                break
            report.count(result)
    except Exception as error:
        if not (replaced and is_out_of_memory(error)):
            raise
        report.problems.append(f"too little memory after {report.frames} pictures, which have been replaced")
    return report


def _read(
    jobs: Sequence[Job], waiting: deque[tuple[Job, Picture]], device: torch.device, problems: list[str]
) -> Iterator[Tensor]:
    """Pixels on `device`; the rest of each picture goes into `waiting`, and what is wrong with one into `problems`."""
    size: torch.Size | None = None
    for job in jobs:
        try:
            picture = read_image(job.source, device)
            refuse_loss(job, picture)
        except (UnsupportedImageError, OSError) as error:
            if is_out_of_memory(error):
                raise
            problems.append(told(error))
            continue
        size = size or picture.pixels.shape
        if picture.pixels.shape != size:
            problems.append(f"{job.source}: {_sides(picture.pixels.shape)} pixels; wanted {_sides(size)}, as the first")
            continue
        waiting.append((job, replace(picture, pixels=torch.empty(3, 0, 0))))
        yield picture.pixels


def _sides(size: torch.Size) -> str:
    return f"{size[2]} x {size[1]}"


def _by_number(job: Job) -> list[tuple[int, str]]:
    """Sorts frame2.png before frame10.png."""
    parts = re.split(r"(\d+)", str(job.source))
    return [(int(part), "") if part.isdecimal() else (-1, part) for part in parts]
