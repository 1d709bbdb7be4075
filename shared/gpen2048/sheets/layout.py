"""Parts of a labelled sheet of pictures: rows of one width, each with equal columns."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

SHEET_WIDTH = 1600  # this and all lengths below in pixels
MARGIN = 32
GAP = 16
LABEL_SIZE = 26
CAPTION_SIZE = 22
LINE_HEIGHT = 1.9  # of the letters' size
BITMAP_SIZE = 11  # of the only font that Pillow below 10.1 brings
BACKGROUND = 0.09
LABEL_BRIGHTNESS = 0.95
CAPTION_BRIGHTNESS = 0.65


def space(height: int) -> Tensor:
    return torch.full((3, height, SHEET_WIDTH), BACKGROUND, dtype=torch.float32, device="cpu")


def column_width(columns: int) -> int:
    return (SHEET_WIDTH - 2 * MARGIN - (columns - 1) * GAP) // columns


def _column_left(column: int, columns: int) -> int:
    return MARGIN + column * (column_width(columns) + GAP)


def resize(image: Tensor, height: int, width: int) -> Tensor:
    image = image.detach().to("cpu", torch.float32)[None]
    return F.interpolate(image, (height, width), mode="bicubic", antialias=True)[0].clamp(0, 1)


def picture_row(cells: list[Tensor]) -> Tensor:
    """Cells of one size, each in the middle of its column."""
    height, width = cells[0].shape[1:]
    row = space(height)
    for column, cell in enumerate(cells):
        left = _column_left(column, len(cells)) + (column_width(len(cells)) - width) // 2
        row[:, :, left : left + width] = cell
    return row


def text_row(texts: list[str], size: int, brightness: float) -> Tensor:
    row = space(round(LINE_HEIGHT * size))
    for column, text in enumerate(texts):
        ink = ink_of(text, size)[:, : column_width(len(texts))]
        left, top = _column_left(column, len(texts)), (row.shape[1] - ink.shape[0]) // 2
        place = row[:, top : top + ink.shape[0], left : left + ink.shape[1]]
        place += ink * (brightness - BACKGROUND)
    return row


def ink_of(text: str, size: int) -> Tensor:
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
