"""Faces of a film as they truly are in each frame: followed, steadied, and shown by a share that never pops.

What is said of a frame depends on FRAMES_BEFORE frames before it and FRAMES_AFTER after it, and on nothing else.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from ..appearance.colour import is_colourless
from ..curves import smoothstep
from ..faces import Face
from ..judging import choose
from ..options import Order, RestoreOptions
from ..selection import Choice, ordered
from . import contests, cuts, matching, smoothing
from .matching import Sighting, link

FADE = 4  # frames over which a face that comes or goes within a scene is faded in or out
VOTE_HALF = 3.0  # frames away at which a frame's choice for a face counts a quarter
SURE_WITHIN = smoothing.REACH // 2  # frames that a face may stay below the threshold between sure sightings
GREY_AROUND = 6  # frames, lest a film with noise in its chroma flickers between grey and colour
LEAST_SHARE = 0.01  # of the strength: less is not seen, and would cost a run of the network
FRAMES_AFTER = smoothing.REACH + cuts.FRAMES_AFTER
FRAMES_BEFORE = smoothing.REACH + matching.MEMORY + cuts.FRAMES_BEFORE


@dataclass(eq=False)
class _Frame:
    number: int
    thumbnail: Tensor
    sightings: list[Sighting]
    size: tuple[int, int]
    grey: bool
    begins_scene: bool = False
    losers: dict[object, str] | None = None  # once it is known


@dataclass
class Tracker:
    """Takes the faces found in consecutive frames, and tells of each frame as soon as enough later ones are known."""

    options: RestoreOptions
    given: bool = False
    _frames: deque[_Frame] = field(default_factory=deque[_Frame], init=False)
    _taken: int = field(default=0, init=False)
    _linked: int = field(default=0, init=False)
    _ended: bool = field(default=False, init=False)

    def take(self, image: Tensor, faces: Sequence[Face], region: Tensor | None = None) -> None:
        """The next frame (3, H, W) in [0, 1] and the `faces` found in it, unsure ones among them unless `given`.

        `region` (h, w) in [0, 1] is above a half where the middle of a face must lie.
        """
        size = (image.shape[1], image.shape[2])
        sightings = self._judged(image, faces, region)
        self._frames.append(_Frame(self._taken, cuts.thumbnail(image), sightings, size, is_colourless(image)))
        self._taken += 1
        self._link_until(self._taken - cuts.FRAMES_AFTER)
        self._forget_before(self._taken - 1 - FRAMES_BEFORE - FRAMES_AFTER)

    @property
    def order(self) -> Order:
        """How faces are numbered: how sure the detector is of each changes from frame to frame."""
        return "left-right" if self.options.order == "found" else self.options.order

    def sure(self, faces: Sequence[Face]) -> list[Face]:
        """Those of `faces` that the detector was sure of, or all if they are `given`."""
        return [face for face in faces if self._is_sure(face)]

    def _is_sure(self, face: Face) -> bool:
        return self.given or face.score >= self.options.threshold

    def _judged(self, image: Tensor, faces: Sequence[Face], region: Tensor | None) -> list[Sighting]:
        """What the options give each of `faces`, numbered as in a single picture, or from left to right."""
        faces = [faces[n] for n in ordered(faces, self.order)]
        options = contests.without_contest(self.options)
        choices = iter(choose(image, self.sure(faces), options, region))
        return [Sighting(self._taken, face, next(choices) if self._is_sure(face) else None) for face in faces]

    def end(self) -> None:
        """No frame comes any more."""
        self._ended = True
        self._link_until(self._taken)

    def faces(self, number: int) -> list[tuple[Face, Choice]]:
        """The faces of frame `number`, steadied, from left to right.

        Raises ValueError unless FRAMES_AFTER more have been taken, or none are left; older ones than the last
        FRAMES_AFTER + 1 may be forgotten.
        """
        if not self._ended and self._taken <= number + FRAMES_AFTER:
            raise ValueError(f"frame {number} asked for after {self._taken}; wanted {FRAMES_AFTER} frames more")
        steadied = [self._steadied(sighting, number) for sighting in self._present(number)]
        return sorted(steadied, key=lambda part: _middle(part[0]))

    def is_grey(self, number: int) -> bool:
        """Whether frame `number` and those around it in its scene have no colours; asked as `faces` is."""
        oldest = self._frames[0].number
        first = last = number - oldest
        while first > max(0, number - oldest - GREY_AROUND) and not self._frames[first].begins_scene:
            first -= 1
        end = min(len(self._frames) - 1, number - oldest + GREY_AROUND)
        while last < end and not self._frames[last + 1].begins_scene:
            last += 1
        return all(self._frames[n].grey for n in range(first, last + 1))

    def _present(self, number: int) -> list[Sighting]:
        """The faces of frame `number`; of those missed in it, where they were before."""
        oldest = self._frames[0].number
        earlier = [self._frames[n - oldest] for n in range(max(oldest, number - matching.MOST_MISSED), number)]
        missed = [s for frame in earlier for s in frame.sightings if s.after and s.after.frame > number]
        return [*self._frames[number - oldest].sightings, *missed]

    def _votes(self, chain: Sequence[Sighting], number: int) -> list[Sighting]:
        """What is said of a face where the detector was sure of it, with what it gets beside the others there.

        In a contest nearby frames alone count; where the detector is not sure there, as it was in the nearest one.
        """
        sure = [s for s in chain if s.choice is not None]
        if not sure or not contests.is_contest(self.options):
            return sure
        votes: list[Sighting] = []
        for s in chain:
            if abs(s.frame - number) <= smoothing.REACH - contests.REACH:
                reason = self._losers(s.frame).get(s.track)
                nearest = min(sure, key=lambda other: abs(other.frame - s.frame))
                votes.append(replace(s, choice=nearest.choice if reason is None else Choice(0.0, reason)))
        return votes

    def _losers(self, number: int) -> dict[object, str]:
        frame = self._frames[number - self._frames[0].number]
        if frame.losers is None:
            frame.losers = contests.losers(self._present(number), number, self.options, frame.size)
        return frame.losers

    def _link_until(self, end: int) -> None:
        """Links frames up to `end`, for which it is known now whether a scene begins with them."""
        for number in range(self._linked, end):
            frames = list(self._frames)
            index = number - frames[0].number
            frames[index].begins_scene = index == 0 or cuts.is_cut([frame.thumbnail for frame in frames], index)
            start = next(n for n in range(index, -1, -1) if n == 0 or frames[n].begins_scene)
            link([frame.sightings for frame in frames[start : index + 1]])
        self._linked = max(self._linked, end)

    def _forget_before(self, number: int) -> None:
        """Lets go of frames, and of the links to them, through which a whole film would stay in memory."""
        while self._frames[0].number < number:
            for sighting in self._frames.popleft().sightings:
                if sighting.after:
                    sighting.after.before = None

    def _steadied(self, sighting: Sighting, number: int) -> tuple[Face, Choice]:
        chain = sighting.chain(number, smoothing.REACH)
        votes = self._votes(chain, number)
        sure, faded = _sure(chain, number), self._faded(chain, number)
        share = _wanted(votes, number) * sure * faded
        nearest = [s.choice for s in sorted(votes, key=lambda s: abs(s.frame - number)) if s.choice] or [Choice()]
        if share >= LEAST_SHARE:
            factors = {"seen for a moment": sure, "comes or goes": faded}
            told = [f"{what}: strength x {factor:.2f}" for what, factor in factors.items() if factor < 1]
            note = "; ".join(filter(None, (nearest[0].note, *told)))
            choice = replace(nearest[0], share=share, reason="", note=note, track=sighting.track)
            return _smoothed(chain, number), choice
        reason = next((choice.reason for choice in nearest if choice.reason), "seen too briefly")
        return _smoothed(chain, number), replace(nearest[0], share=0.0, reason=reason)

    def _faded(self, chain: Sequence[Sighting], number: int) -> float:
        """Less than 1 near a face's first and last frame, unless the scene begins or ends there too."""
        oldest = self._frames[0].number
        first, last = chain[0], chain[-1]
        comes = first.before is None and not self._frames[first.frame - oldest].begins_scene
        following = last.frame + 1 - oldest
        scene_ends = following == len(self._frames) or self._frames[following].begins_scene
        goes = last.after is None and not scene_ends
        share = smoothstep((number - first.frame + 1) / (FADE + 1)) if comes else 1.0
        return share * (smoothstep((last.frame - number + 1) / (FADE + 1)) if goes else 1.0)


def _wanted(chain: Sequence[Sighting], number: int) -> float:
    """The share of the strength that the frames around give this face, on average."""
    votes = np.array([[s.frame - number, s.choice.share] for s in chain if s.choice]).reshape(-1, 2)
    weights = (1 + (votes[:, 0] / VOTE_HALF) ** 2) ** -2.0
    return float((weights * votes[:, 1]).sum() / weights.sum()) if len(votes) else 0.0


def _sure(chain: Sequence[Sighting], number: int) -> float:
    """1 within SURE_WITHIN frames of a sure sighting, 0 without any, smooth between."""
    distances = [abs(s.frame - number) for s in chain if s.choice]
    beyond = smoothing.REACH + 1 - SURE_WITHIN
    return smoothstep((smoothing.REACH + 1 - min(distances)) / beyond) if distances else 0.0


def _middle(face: Face) -> float:
    return float(face.box[0] + face.box[2]) / 2


def _smoothed(chain: Sequence[Sighting], number: int) -> Face:
    values = np.array([[*s.face.landmarks.flat, *_place(s.face.box), s.face.score] for s in chain])
    size = float(np.median([s.face.size for s in chain]))
    smooth = smoothing.smooth([s.frame - number for s in chain], values, 10, size)
    middle, half = smooth[10:12], np.exp(smooth[12:14]) / 2
    score = min(1.0, max(0.0, smooth[14]))
    return Face(box=np.concatenate((middle - half, middle + half)), landmarks=smooth[:10].reshape(5, 2), score=score)


def _place(box: NDArray[np.float64]) -> NDArray[np.float64]:
    """Middle and logarithms of the sides: smoothed as they are, they still make a box."""
    return np.concatenate(((box[:2] + box[2:]) / 2, np.log(box[2:] - box[:2])))
