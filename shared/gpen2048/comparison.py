"""The labelled before/after sheet: both photos side by side, below them one row per face with its eyes enlarged."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

SHEET_WIDTH = 1600  # this and all lengths below in pixels
MARGIN = 32
GAP = 16
TALLEST_PHOTO = 1000
MOST_FACES = 8
DETAIL_SIDE = 0.38  # of the crop's side: eyes, nose and most of the mouth in either template
DETAIL_CENTRE = (0.5, 0.54)  # x, y
LABEL_SIZE = 26
CAPTION_SIZE = 22
LINE_HEIGHT = 1.9  # of the letters' size
BITMAP_SIZE = 11  # of the only font that Pillow below 10.1 brings
BACKGROUND = 0.09
LABEL_BRIGHTNESS = 0.95
CAPTION_BRIGHTNESS = 0.65


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
    rows = [_space(MARGIN), _text_row(["before", "after"], LABEL_SIZE, LABEL_BRIGHTNESS), _photos(before, after)]
    for (face_before, face_after), caption in zip(crops[:most_faces], captions):
        cells = [face_before, face_after, _detail(face_before), _detail(face_after)]
        rows += [_space(MARGIN), _text_row([caption], CAPTION_SIZE, LABEL_BRIGHTNESS)]
        rows += [_picture_row([_resize(cell, _column_width(4), _column_width(4)) for cell in cells])]
        rows += [_text_row(["before", "after", "before, detail", "after, detail"], CAPTION_SIZE, CAPTION_BRIGHTNESS)]
    rows += [_space(GAP), _text_row([_remark(len(crops), most_faces)], CAPTION_SIZE, LABEL_BRIGHTNESS)]
    return torch.cat([*rows, _space(GAP)], dim=1)


def _remark(faces: int, most_faces: int) -> str:
    if faces == 0:
        return "no face was restored"
    return f"the first {most_faces} of {faces} restored faces" if faces > most_faces else ""


def _space(height: int) -> Tensor:
    return torch.full((3, height, SHEET_WIDTH), BACKGROUND)


def _column_width(columns: int) -> int:
    return (SHEET_WIDTH - 2 * MARGIN - (columns - 1) * GAP) // columns


def _column_left(column: int, columns: int) -> int:
    return MARGIN + column * (_column_width(columns) + GAP)


def _resize(image: Tensor, height: int, width: int) -> Tensor:
    image = image.detach().to("cpu", torch.float32)[None]
    return F.interpolate(image, (height, width), mode="bicubic", antialias=True)[0].clamp(0, 1)


def _photos(before: Tensor, after: Tensor) -> Tensor:
    """Both at one size, so that they can be compared however much `after` was enlarged."""
    height, width = before.shape[1:]
    shrink = min(_column_width(2) / width, TALLEST_PHOTO / height)
    size = max(1, round(height * shrink)), max(1, round(width * shrink))
    return _picture_row([_resize(photo, *size) for photo in (before, after)])


def _detail(crop: Tensor) -> Tensor:
    size = crop.shape[-1]
    side = max(1, round(DETAIL_SIDE * size))
    left, top = (int(centre * size - side / 2) for centre in DETAIL_CENTRE)
    return crop[:, top : top + side, left : left + side]


def _picture_row(cells: list[Tensor]) -> Tensor:
    """Cells of one size, each in the middle of its column."""
    height, width = cells[0].shape[1:]
    row = _space(height)
    for column, cell in enumerate(cells):
        left = _column_left(column, len(cells)) + (_column_width(len(cells)) - width) // 2
        row[:, :, left : left + width] = cell
    return row


def _text_row(texts: list[str], size: int, brightness: float) -> Tensor:
    row = _space(round(LINE_HEIGHT * size))
    for column, text in enumerate(texts):
        ink = _ink(text, size)[:, : _column_width(len(texts))]
        left, top = _column_left(column, len(texts)), (row.shape[1] - ink.shape[0]) // 2
        place = row[:, top : top + ink.shape[0], left : left + ink.shape[1]]
        place += ink * (brightness - BACKGROUND)
    return row


def _ink(text: str, size: int) -> Tensor:
    """How much of each pixel the letters cover, in [0, 1]: (from ascender to descender, width of the text)."""
    from PIL import Image, ImageDraw, ImageFont

    enlarge = 1
    try:
        font = ImageFont.load_default(size=size)
    except (TypeError, ImportError):  # Pillow below 10.1, or built without FreeType
        font, enlarge = ImageFont.load_default(), round(size / BITMAP_SIZE)
        text = text.encode("latin-1", "replace").decode("latin-1")  # all that the bitmap font has
    width = max(1, round(font.getbbox(text)[2]))
    _, top, _, bottom = (round(edge) for edge in font.getbbox("bp"))  # whatever the text, all baselines agree
    image = Image.new("L", (width, bottom - top))
    ImageDraw.Draw(image).text((0, -top), text, fill=255, font=font)
    ink = torch.frombuffer(bytearray(image.tobytes()), dtype=torch.uint8).view(bottom - top, width) / 255
    return ink.repeat_interleave(enlarge, 0).repeat_interleave(enlarge, 1)
