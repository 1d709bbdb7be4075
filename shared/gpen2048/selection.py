"""Which of the found faces are restored, and why the others are not."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from .faces import Face
from .options import RestoreOptions


@dataclass(frozen=True)
class Choice:
    """What one face gets: `share`, from 0 to 1, of the strength asked for, and at 0 the `reason` why nothing."""

    share: float = 1.0
    reason: str = ""


def choose(faces: Sequence[Face], options: RestoreOptions, image_size: tuple[int, int]) -> list[Choice]:
    """A Choice for each of `faces` in an image (H, W), as the options have it."""
    return [Choice(0.0 if reason else 1.0, reason) for reason in refusals(faces, options, image_size)]


def refusals(faces: Sequence[Face], options: RestoreOptions, image_size: tuple[int, int]) -> list[str]:
    """For each of `faces` in an image (H, W): why it is left as it is, or "" when it is to be restored."""
    reasons = [_outside(face, image_size) or _unwanted(number, face, options) for number, face in enumerate(faces)]
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


def _unwanted(number: int, face: Face, options: RestoreOptions) -> str:
    if face.size < options.min_face:
        return f"smaller than {options.min_face} px"
    chosen = options.select
    return "not selected" if isinstance(chosen, tuple) and number not in chosen else ""


def _word(options: RestoreOptions) -> str:
    return "largest" if options.select == "largest" else "most central"


def _order(faces: Sequence[Face], options: RestoreOptions, image_size: tuple[int, int]) -> Callable[[int], float]:
    if options.select == "largest":
        return lambda n: -faces[n].size
    height, width = image_size
    middle = np.array([(width - 1) / 2, (height - 1) / 2])
    return lambda n: float(np.linalg.norm((faces[n].box[:2] + faces[n].box[2:]) / 2 - middle))


def _keep_first(
    count: int, candidates: Sequence[int], order: Callable[[int], float], reasons: list[str], reason: str
) -> None:
    for number in sorted(candidates, key=order)[count:]:
        reasons[number] = reason
