"""The labelled before/after sheet: both photos side by side, below them one row per face with its eyes enlarged."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from .layout import (
    CAPTION_BRIGHTNESS,
    CAPTION_SIZE,
    GAP,
    LABEL_BRIGHTNESS,
    LABEL_SIZE,
    MARGIN,
    column_width,
    picture_row,
    resize,
    space,
    text_row,
)

TALLEST_PHOTO = 1000  # px
MOST_FACES = 8
DETAIL_SIDE = 0.38  # of the crop's side: eyes, nose and most of the mouth in either template
DETAIL_CENTRE = (0.5, 0.54)  # x, y


def compare_sheet(
    before: Tensor,
    after: Tensor,
    crops: Sequence[tuple[Tensor, Tensor]] = (),
    captions: Sequence[str] = (),
    *,
    most_faces: int = MOST_FACES,
) -> Tensor:
    """(3, h, 1600) float32 RGB in [0, 1] on the CPU.

    `before` (3, H, W) and `after` (3, H', W') are float RGB in [0, 1] of one shape, in any size and on any device;
    `crops` are the faces before and after, (3, S, S) each, and `captions` their lines of text, one per face.
    Of more than `most_faces` faces the first are shown and the others counted.
    Raises ValueError where crops and captions differ in number.
    """
    if len(crops) != len(captions):
        raise ValueError(f"{len(crops)} faces with {len(captions)} captions; wanted one caption per face")
    rows = [space(MARGIN), text_row(["before", "after"], LABEL_SIZE, LABEL_BRIGHTNESS), _photos(before, after)]
    for (face_before, face_after), caption in zip(crops[:most_faces], captions):
        cells = [face_before, face_after, _detail(face_before), _detail(face_after)]
        rows += [space(MARGIN), text_row([caption], CAPTION_SIZE, LABEL_BRIGHTNESS)]
        rows += [picture_row([resize(cell, column_width(4), column_width(4)) for cell in cells])]
        rows += [text_row(["before", "after", "before, detail", "after, detail"], CAPTION_SIZE, CAPTION_BRIGHTNESS)]
    rows += [space(GAP), text_row([_remark(len(crops), most_faces)], CAPTION_SIZE, LABEL_BRIGHTNESS)]
    return torch.cat([*rows, space(GAP)], dim=1)


def _remark(faces: int, most_faces: int) -> str:
    if faces == 0:
        return "no face was restored"
    return f"the first {most_faces} of {faces} restored faces" if faces > most_faces else ""


def _photos(before: Tensor, after: Tensor) -> Tensor:
    """Both at one size, so that they can be compared however much `after` was enlarged."""
    height, width = before.shape[1:]
    shrink = min(column_width(2) / width, TALLEST_PHOTO / height)
    size = max(1, round(height * shrink)), max(1, round(width * shrink))
    return picture_row([resize(photo, *size) for photo in (before, after)])


def _detail(crop: Tensor) -> Tensor:
    size = crop.shape[-1]
    side = max(1, round(DETAIL_SIDE * size))
    left, top = (int(centre * size - side / 2) for centre in DETAIL_CENTRE)
    return crop[:, top : top + side, left : left + side]
