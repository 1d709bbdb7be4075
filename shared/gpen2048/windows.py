"""Which parts of an image the detector looks at, and how much each is shrunk or enlarged for it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch.nn.functional as F
from torch import Tensor

TILE = 1536  # longest side the detector sees at once, px: bounds its memory
OVERLAP = 128  # of neighbouring tiles, px: a face up to this size is whole in one of them
LARGEST = 2 * OVERLAP  # px; a face above this size is left to the next coarser level, where half of it fits the overlap
EASY = 30  # px; RetinaFace finds nearly every face of this size, and misses half of them at 20 px
MOST_ENLARGED = 1.5
ENLARGED_PIXELS = 4e6  # an image is enlarged for its small faces only up to this area, to keep the cost in bounds
CLOSE_UP = 2  # side of the window around one face, in face sizes


@dataclass(frozen=True)
class Window:
    """Columns x0 … x1 - 1 and rows y0 … y1 - 1 of an image, seen at `scale` times their size.

    `largest` is the size in image px of the largest face worth reporting from here.
    """

    x0: int
    y0: int
    x1: int
    y1: int
    scale: float
    largest: float = math.inf

    @property
    def shape(self) -> tuple[int, int]:
        """Height and width as seen, in px."""
        return max(1, round((self.y1 - self.y0) * self.scale)), max(1, round((self.x1 - self.x0) * self.scale))

    def view(self, image: Tensor) -> Tensor:
        """The window's part of `image` (C, H, W) as seen, anti-aliased when shrunk: (C, *shape)."""
        part = image[:, self.y0 : self.y1, self.x0 : self.x1]
        if part.shape[1:] == self.shape:
            return part
        return F.interpolate(part[None], size=self.shape, mode="bilinear", antialias=True)[0]

    def to_image(self, points: Tensor) -> Tensor:
        """(…, 2) x, y in px as seen, counted from the view's corner, to px of the image, pixel centres at integers."""
        origin, factors = self._mapping(points)
        return points / factors + origin - 0.5

    def from_image(self, points: Tensor) -> Tensor:
        """The inverse of `to_image`."""
        origin, factors = self._mapping(points)
        return (points + 0.5 - origin) * factors

    def _mapping(self, like: Tensor) -> tuple[Tensor, Tensor]:
        height, width = self.shape
        factors = (width / (self.x1 - self.x0), height / (self.y1 - self.y0))  # `scale`, but for whole pixels
        return like.new_tensor((self.x0, self.y0)), like.new_tensor(factors)


def pyramid(height: int, width: int, smallest: float) -> list[Window]:
    """Windows over the whole image in which every face from `smallest` px upwards is easy to find.

    Each level is half the size of the one before, down to where the image itself is no larger than an overlap.
    """
    enlarged = min(MOST_ENLARGED, max(1.0, math.sqrt(ENLARGED_PIXELS / (height * width))))
    scale = min(enlarged, EASY / smallest)
    windows: list[Window] = []
    while min(height, width) * scale > OVERLAP:
        windows += _level(height, width, scale, LARGEST / scale)
        scale /= 2
    return windows + _level(height, width, scale, math.inf)


def _level(height: int, width: int, scale: float, largest: float) -> list[Window]:
    rows, columns = _spans(height, scale), _spans(width, scale)
    return [Window(x0, y0, x1, y1, scale, largest) for y0, y1 in rows for x0, x1 in columns]


def _spans(length: int, scale: float) -> list[tuple[int, int]]:
    """Equal, evenly spaced spans over `length` px of the image that fit a tile at `scale` and share its overlap."""
    tile, overlap = math.floor(TILE / scale), math.ceil(OVERLAP / scale)
    if length <= tile:
        return [(0, length)]
    gaps = math.ceil((length - tile) / (tile - overlap))
    starts = [number * (length - tile) // gaps for number in range(gaps + 1)]
    return [(start, start + tile) for start in starts]


def close_up(box: Sequence[float], face: int, height: int, width: int) -> Window:
    """The square around the box x0, y0, x1, y1 in which the face is `face` px large, cut at the image's border."""
    x0, y0, x1, y1 = box
    size = math.sqrt((x1 - x0) * (y1 - y0))
    left, right = _cut((x0 + x1 + 1) / 2, CLOSE_UP * size / 2, width)
    top, bottom = _cut((y0 + y1 + 1) / 2, CLOSE_UP * size / 2, height)
    # Rounding to whole pixels must not push the view beyond its square.
    scale = min(face / size, CLOSE_UP * face / max(right - left, bottom - top))
    return Window(left, top, right, bottom, scale)


def _cut(centre: float, half: float, length: int) -> tuple[int, int]:
    """The span centre ± half in whole pixels within 0 … length, at least one pixel."""
    start = min(max(round(centre - half), 0), length - 1)
    return start, max(min(round(centre + half), length), start + 1)
