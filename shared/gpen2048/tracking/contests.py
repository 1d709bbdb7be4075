"""Which faces of a frame are wanted where not all may be: the largest, the most central, or so many of the largest.

Faces are compared by where they are in the frames around, lest two that are alike take turns as the detector's noise
has it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from ..faces import Face
from ..options import RestoreOptions
from ..selection import refusals
from .matching import Sighting

REACH = 6  # frames before and after of which a face's place is the median

Size = tuple[int, int]


def is_contest(options: RestoreOptions) -> bool:
    """Whether what one face gets depends on the others."""
    return options.select in ("largest", "centre") or options.max_faces > 0


def without_contest(options: RestoreOptions) -> RestoreOptions:
    """`options` by which each face is judged for itself."""
    return replace(options, select=_numbers(options) or "all", max_faces=0) if is_contest(options) else options


def losers(sightings: Sequence[Sighting], number: int, options: RestoreOptions, size: Size) -> dict[object, str]:
    """Why faces seen around frame `number`, (height, width) in `size`, are not wanted in it, by track."""
    running = [s for s in sightings if s.choice is not None and not s.choice.reason]
    select = "all" if _numbers(options) else options.select
    contest = RestoreOptions(select=select, max_faces=options.max_faces, min_face=1)
    reasons = refusals([_around(s, number) for s in running], contest, size)
    return {s.track: reason for s, reason in zip(running, reasons) if reason}


def _numbers(options: RestoreOptions) -> tuple[int, ...]:
    """Faces chosen by number, which each frame gives anew."""
    return options.select if isinstance(options.select, tuple) else ()


def _around(sighting: Sighting, number: int) -> Face:
    faces = [s.face for s in sighting.chain(number, REACH)] or [sighting.face]
    return replace(sighting.face, box=np.median([face.box for face in faces], axis=0))
