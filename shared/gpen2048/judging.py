"""What is to be done to each face of a picture: whether it is restored, and with what strength.

Everything here depends on one picture and its faces alone. Over a sequence the strengths may be smoothed and handed to
the restorer as `Request.strengths`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import astuple, dataclass

from torch import Tensor

from .faces import Face
from .options import RestoreOptions
from .pose import NO_LIMIT, turn
from .restoration import FaceReport
from .selection import ordered, refusals
from .sharpness import detail_size
from .task import Request

# `adaptive` 1 gives the most to faces whose detail would fit the first size, the least to those that need the second.
LITTLE_DETAIL, MUCH_DETAIL = 64.0, 512.0  # px
MOST, LEAST = 1.25, 0.25  # times the strength asked for, which itself goes to faces of about 130 px of detail
TURN_FADE = 15.0  # degrees below `max_turn` over which the strength falls to nothing


@dataclass(frozen=True)
class Judgement:
    """The `strength` for one face in [0, 1], a `note` on why it is not the one asked for, and what was measured."""

    strength: float
    note: str
    turn: float
    detail: float | None


def judge(request: Request, faces: Sequence[Face]) -> list[FaceReport]:
    """One report on each of `faces`, in the order and with the decisions that the request's options ask for."""
    image, options = request.image, request.options
    places = ordered(faces, options.order)
    reasons = refusals([faces[n] for n in places], options, (image.shape[1], image.shape[2]), request.region)
    return [
        _report(faces[n], reason, None if request.strengths is None else request.strengths[n], image, options)
        for n, reason in zip(places, reasons)
    ]


def face_strength(image: Tensor, face: Face, options: RestoreOptions) -> Judgement:
    """How strongly the `face` of `image` (3, H, W) in [0, 1] is to be restored; changes smoothly with the face."""
    turned = turn(face.landmarks)
    detail = detail_size(image, face) if options.adaptive else None
    parts = {
        f"{face.size:.0f} px small": _fade_in(face.size, options),
        f"turned aside by {turned:.0f} degrees": _fade_out(turned, options),
        f"detail of {detail or 0:.0f} px": 1.0 if detail is None else _adapted(detail, options.adaptive),
    }
    note = "; ".join(f"{what}: strength x {factor:.2f}" for what, factor in parts.items() if factor != 1)
    return Judgement(min(1.0, options.strength * math.prod(parts.values())), note, turned, detail)


def _report(face: Face, reason: str, given: float | None, image: Tensor, options: RestoreOptions) -> FaceReport:
    if reason:
        judged = Judgement(0.0, "", turn(face.landmarks), None)
    elif given is not None:
        judged = Judgement(given, "", turn(face.landmarks), None)
    else:
        judged = face_strength(image, face, options)
    return FaceReport(face.box, face.landmarks, face.score, face.size, not reason, reason, *astuple(judged))


def _fade_in(size: float, options: RestoreOptions) -> float:
    width = options.fade_until - options.min_face
    return _smooth((size - options.min_face) / width) if width > 0 else 1.0


def _fade_out(turned: float, options: RestoreOptions) -> float:
    return 1 - _smooth((turned - options.max_turn) / TURN_FADE + 1) if options.max_turn < NO_LIMIT else 1.0


def _adapted(detail: float, adaptive: float) -> float:
    enough = _smooth(math.log2(max(detail, 1) / LITTLE_DETAIL) / math.log2(MUCH_DETAIL / LITTLE_DETAIL))
    return 1 + adaptive * (MOST + (LEAST - MOST) * enough - 1)


def _smooth(t: float) -> float:
    """From 0 to 1 as t does, level at both ends."""
    t = min(1.0, max(0.0, t))
    return t * t * (3 - 2 * t)
