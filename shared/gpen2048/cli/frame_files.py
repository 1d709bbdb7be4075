"""Pictures in files that are the frames of one film."""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from ..film_restoring import FilmReport
from ..images import Picture, read_image, write_image
from ..options import RestoreOptions
from ..sequence import restore_sequence
from ..task import Progress
from .equipment import Equipment
from .sources import Job


def restore_frame_files(
    jobs: Sequence[Job],
    equipment: Equipment,
    options: RestoreOptions,
    region: Tensor | None,
    quality: int,
    on_progress: Progress,
) -> FilmReport:
    """Restores the pictures of `jobs`, in the order of the numbers in their names, each as soon as it can be."""
    jobs = sorted(jobs, key=_by_number)
    report = FilmReport()
    waiting: deque[Picture] = deque()
    frames = _read(jobs, waiting, equipment.device)
    what: dict[str, Any] = {"background": equipment.upscaler, "region": region, "on_progress": on_progress}
    results = restore_sequence(frames, equipment.restorer, options, total=len(jobs), **what)
    for job, result in zip(jobs, results):
        job.target.parent.mkdir(parents=True, exist_ok=True)
        write_image(job.target, waiting.popleft().with_pixels(result.image), quality=quality)
        report.count(result)
    return report


def _read(jobs: Sequence[Job], waiting: deque[Picture], device: torch.device) -> Iterator[Tensor]:
    """Pixels on `device`; all the rest of the pictures goes into `waiting`."""
    for job in jobs:
        picture = read_image(job.source, device)
        waiting.append(replace(picture, pixels=torch.empty(3, 0, 0)))
        yield picture.pixels


def _by_number(job: Job) -> list[tuple[int, str]]:
    """Sorts frame2.png before frame10.png."""
    parts = re.split(r"(\d+)", str(job.source))
    return [(int(part), "") if part.isdecimal() else (-1, part) for part in parts]
