"""Which of the found faces are restored, and why the others are not."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from .appearance.pose import NO_LIMIT, turn
from .faces import Face
from .options import RestoreOptions

ELSEWHERE = "outside the region"


@dataclass(frozen=True)
class Choice:
    """What one face gets: a `share` of the strength asked for (above 1: more than that), or the `reason` why nothing.

    A `note` tells why it is neither 0 nor 1, and `detail` what was measured for it (sharpness.detail_size). `track` is
    the same for one face in all frames of a film.
    """

    share: float = 1.0
    reason: str = ""
    note: str = ""
    detail: float | None = None
    track: object | None = None


def ordered(faces: Sequence[Face], order: str) -> list[int]:
    """The places in `faces` of face 0, 1, … as RestoreOptions.order numbers them."""
    keys: dict[str, Callable[[int], float]] = {
        "left-right": lambda n: faces[n].box[0] + faces[n].box[2],
        "size": lambda n: -faces[n].size,
        "score": lambda n: -faces[n].score,
    }
    return sorted(range(len(faces)), key=keys.get(order, lambda n: n))


def refusals(
    faces: Sequence[Face], options: RestoreOptions, image_size: tuple[int, int], region: Tensor | None = None
) -> list[str]:
    """For each of `faces` in an image (H, W): why it is left as it is, or "" when it is to be restored.

    `region` (h, w) in [0, 1], at any resolution, is above a half where the middle of a face must lie.
    """
    reasons = [
        _outside(face, image_size) or _elsewhere(face, image_size, region) or _unwanted(number, face, options)
        for number, face in enumerate(faces)
    ]
    left = [number for number, reason in enumerate(reasons) if not reason]
    if options.select in ("largest", "centre"):
        _keep_first(1, left, _order(faces, options, image_size), reasons, f"not the {_word(options)} face")
    if options.max_faces:
        left = [number for number in left if not reasons[number]]
        _keep_first(
            options.max_faces, left, lambda n: -faces[n].size, reasons, f"beyond the {options.max_faces} largest faces"
        )
    return reasons


def _outside(face: Face, image_size: tuple[int, int]) -> str:
    height, width = image_size
    left, top, right, bottom = face.box.tolist()
    return "outside the picture" if right < 0 or bottom < 0 or left > width - 1 or top > height - 1 else ""


def _elsewhere(face: Face, image_size: tuple[int, int], region: Tensor | None) -> str:
    if region is None:
        return ""
    x, y = (_middle(face) + 0.5) / (image_size[1], image_size[0])  # as fractions of the picture
    row, column = math.floor(y * region.shape[0]), math.floor(x * region.shape[1])
    inside = 0 <= row < region.shape[0] and 0 <= column < region.shape[1] and float(region[row, column]) > 0.5
    return "" if inside else ELSEWHERE


def _unwanted(number: int, face: Face, options: RestoreOptions) -> str:
    if face.size < options.min_face:
        return f"smaller than {options.min_face} px"
    if face.score < options.min_score:
        return f"score below {options.min_score:g}"
    if options.max_turn < NO_LIMIT and turn(face.landmarks) >= options.max_turn:
        return f"turned aside by {options.max_turn} degrees or more"
    chosen = options.select
    return "not selected" if isinstance(chosen, tuple) and number not in chosen else ""


def _word(options: RestoreOptions) -> str:
    return "largest" if options.select == "largest" else "most central"


def _order(faces: Sequence[Face], options: RestoreOptions, image_size: tuple[int, int]) -> Callable[[int], float]:
    if options.select == "largest":
        return lambda n: -faces[n].size
    height, width = image_size
    middle = np.array([(width - 1) / 2, (height - 1) / 2])
    return lambda n: float(np.linalg.norm(_middle(faces[n]) - middle))


def _middle(face: Face) -> NDArray[np.float64]:
    return (face.box[:2] + face.box[2:]) / 2


def _keep_first(
    count: int, candidates: Sequence[int], order: Callable[[int], float], reasons: list[str], reason: str
) -> None:
    for number in sorted(candidates, key=order)[count:]:
        reasons[number] = reason
