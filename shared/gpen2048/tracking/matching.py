"""Which face of one frame is which of the next.

Faces are linked pairwise, by overlap and landmarks, and never by what was linked long ago: a link depends on the
MOST_MISSED + 2 frames before its end only. A film cut into overlapping pieces is therefore linked as in one pass.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from ..faces import Face
from ..selection import Choice

MOST_MISSED = 4  # frames in a row in which a detector may miss a face before it counts as gone; a sixth of a second
LEAST_OVERLAP = 0.1  # intersection over union of the boxes
FARTHEST = 0.5  # mean landmark distance, in face sizes
LARGEST_RATIO = 1.5  # of the sizes
MEMORY = MOST_MISSED + 2  # frames before a link's end that it depends on: the longest gap, and one more for the speed


@dataclass(eq=False)
class Sighting:
    """A face seen in frame `frame`, linked to where it was seen before and after.

    `choice` is what the options give it, were it for this frame alone; None for one the detector is unsure of. `track`
    is the same object for all that are linked.
    """

    frame: int
    face: Face
    choice: Choice | None = Choice()
    before: Sighting | None = field(default=None, repr=False)
    after: Sighting | None = field(default=None, repr=False)
    track: object = field(default_factory=object, repr=False)

    def chain(self, frame: int, reach: int) -> list[Sighting]:
        """The sightings of this face at most `reach` frames before and after `frame`, in order of time."""
        all_of_it = [*reversed(list(_walk(self, "before"))), self, *_walk(self, "after")]
        return [sighting for sighting in all_of_it if abs(sighting.frame - frame) <= reach]


def _walk(start: Sighting, direction: str) -> Iterator[Sighting]:
    sighting: Sighting | None = getattr(start, direction)
    while sighting is not None:
        yield sighting
        sighting = getattr(sighting, direction)


def link(frames: Sequence[Sequence[Sighting]]) -> None:
    """Links the sightings of the last of `frames` to those before; earlier ones must have been linked.

    `frames` are consecutive frames of one scene; of more than MOST_MISSED + 2 the last ones are looked at.
    """
    newest = frames[-1]
    for gap in range(1, min(MOST_MISSED + 2, len(frames))):
        ends = [s for s in frames[-1 - gap] if s.after is None]
        starts = [s for s in newest if s.before is None]
        for end, start in _pairs(ends, starts):  # linked before the next pair is looked for
            end.after, start.before, start.track = start, end, end.track


def _pairs(ends: Sequence[Sighting], starts: Sequence[Sighting]) -> Iterator[tuple[Sighting, Sighting]]:
    """The likeliest pairs first, of those that are not yet linked."""
    costs = {(i, j): _cost(end, start) for i, end in enumerate(ends) for j, start in enumerate(starts)}
    possible = sorted((cost, pair) for pair, cost in costs.items() if cost is not None)
    for _, (i, j) in possible:
        if ends[i].after is None and starts[j].before is None:
            yield ends[i], starts[j]


def _cost(end: Sighting, start: Sighting) -> float | None:
    """How unlike two sightings are, or None if they cannot be of one face."""
    old, new = end.face, start.face
    moved = _motion(end, start.frame - end.frame)
    size = (old.size + new.size) / 2
    distance = float(np.linalg.norm(new.landmarks - old.landmarks - moved, axis=1).mean()) / size
    overlap = _overlap(old.box + np.tile(moved, 2), new.box)
    ratio = max(old.size, new.size) / min(old.size, new.size)
    if distance > FARTHEST or overlap < LEAST_OVERLAP or ratio > LARGEST_RATIO:
        return None
    return distance + 1 - overlap


def _motion(sighting: Sighting, frames: int) -> NDArray[np.float64]:
    """(2,) pixels that a missed face is expected to have gone on during `frames`, at the speed it had.

    None from frame to frame: a link that rests on a link before it would rest on the whole film.
    """
    before = sighting.before
    if frames == 1 or before is None or sighting.frame - before.frame > 1:
        return np.zeros(2)
    return (sighting.face.landmarks - before.face.landmarks).mean(axis=0) * frames


def _overlap(one: NDArray[np.float64], other: NDArray[np.float64]) -> float:
    """Intersection over union of two boxes x0, y0, x1, y1."""
    low, high = np.maximum(one[:2], other[:2]), np.minimum(one[2:], other[2:])
    shared = float(np.prod(np.clip(high - low, 0, None)))
    areas = float(np.prod(one[2:] - one[:2]) + np.prod(other[2:] - other[:2]))
    return shared / (areas - shared)
