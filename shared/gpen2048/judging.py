"""What is to be done to each face of a picture: whether it is restored, and with how much of the strength asked for.

Everything here depends on one picture and its faces alone, and all shares change smoothly with the face. Whoever
restores a sequence may smooth them over time and hand them to the restorer as `Request.choices`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from torch import Tensor

from .appearance.pose import NO_LIMIT, turn
from .appearance.sharpness import detail_size
from .curves import smoothstep
from .faces import Face
from .options import RestoreOptions
from .restoration import FaceReport
from .selection import Choice, ordered, refusals
from .task import Request

# `adaptive` 1 gives the most to faces whose detail would fit the first size, the least to those that need the second.
LITTLE_DETAIL, MUCH_DETAIL = 64.0, 512.0  # px
MOST, LEAST = 1.25, 0.25  # of the strength asked for, which itself goes to faces of about 130 px of detail
TURN_FADE = 15.0  # degrees below `max_turn` over which the strength falls to nothing


def judge(request: Request, faces: Sequence[Face]) -> list[FaceReport]:
    """What is to be done to each of `faces`, in the order that the request's options ask for."""
    options = request.options
    places = ordered(faces, options.order)
    faces = [faces[n] for n in places]
    if request.choices is None:
        choices = choose(request.image, faces, options, request.region)
    else:
        choices = [request.choices[n] for n in places]
    return [_report(face, choice, options) for face, choice in zip(faces, choices)]


def tracks(request: Request, faces: Sequence[Face]) -> list[object | None]:
    """What each of `faces` is called along a film, in the order of `judge`; None in a single picture."""
    order = ordered(faces, request.options.order)
    return [None if request.choices is None else request.choices[n].track for n in order]


def choose(image: Tensor, faces: Sequence[Face], options: RestoreOptions, region: Tensor | None = None) -> list[Choice]:
    """A Choice for each of `faces` in `image` (3, H, W) in [0, 1]; `region` is as in `selection.refusals`."""
    reasons = refusals(faces, options, (image.shape[1], image.shape[2]), region)
    return [Choice(0.0, reason) if reason else face_share(image, face, options) for face, reason in zip(faces, reasons)]


def face_share(image: Tensor, face: Face, options: RestoreOptions) -> Choice:
    """The share that the size, the pose and the sharpness of `face` in `image` (3, H, W) give it; 0 to 1.25."""
    turned = turn(face.landmarks)
    detail = detail_size(image, face) if options.adaptive else None
    factors = {
        f"{face.size:.0f} px small": _fade_in(face.size, options),
        f"turned aside by {turned:.0f} degrees": _fade_out(turned, options),
        f"detail of {detail or 0:.0f} px": 1.0 if detail is None else _adapted(detail, options.adaptive),
    }
    share = math.prod(factors.values())
    told = "; ".join(f"{what}: strength x {factor:.2f}" for what, factor in factors.items() if factor != 1)
    return Choice(share, "" if share else told, told, detail)


def _report(face: Face, choice: Choice, options: RestoreOptions) -> FaceReport:
    return FaceReport(
        face.box,
        face.landmarks,
        face.score,
        face.size,
        restored=choice.share > 0,
        reason=choice.reason,
        strength=min(1.0, options.strength * choice.share),
        note=choice.note,
        turn=turn(face.landmarks),
        detail=choice.detail,
    )


def _fade_in(size: float, options: RestoreOptions) -> float:
    width = options.fade_until - options.min_face
    return smoothstep((size - options.min_face) / width) if width > 0 else 1.0


def _fade_out(turned: float, options: RestoreOptions) -> float:
    return 1 - smoothstep((turned - options.max_turn) / TURN_FADE + 1) if options.max_turn < NO_LIMIT else 1.0


def _adapted(detail: float, adaptive: float) -> float:
    enough = smoothstep(math.log2(max(detail, 1) / LITTLE_DETAIL) / math.log2(MUCH_DETAIL / LITTLE_DETAIL))
    return 1 + adaptive * (MOST + (LEAST - MOST) * enough - 1)
