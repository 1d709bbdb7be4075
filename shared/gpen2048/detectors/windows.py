"""Which parts of an image the detector looks at, and how much each is shrunk or enlarged for it."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch.nn.functional as F
from torch import Tensor

from .halving import DETAIL_BLOCK, Halvings

TILE = 1536  # longest side the detector sees at once, px: bounds its memory
OVERLAP = 128  # of neighbouring tiles, px: a face up to this size is whole in one of them
SMALL_TILE, SMALL_OVERLAP = 640, 64  # the same where only some tiles are looked at
EASY = 30  # px; RetinaFace finds nearly every face of this size, and misses half of them at 20 px
MOST_ENLARGED = 1.5
ENLARGED_PIXELS = 4e6  # an image is enlarged for its small faces only up to this area, to keep the cost in bounds


@dataclass(frozen=True)
class Window:
    """Columns x0 … x1 - 1 and rows y0 … y1 - 1 of an image's copy number `halved`, seen at `scale` times their size.

    `largest` is the size in px of that copy of the largest face worth reporting from here.
    """

    x0: int
    y0: int
    x1: int
    y1: int
    scale: float
    largest: float = math.inf
    halved: int = 0

    @property
    def shape(self) -> tuple[int, int]:
        """Height and width as seen, in px."""
        return max(1, round((self.y1 - self.y0) * self.scale)), max(1, round((self.x1 - self.x0) * self.scale))

    def view(self, image: Halvings) -> Tensor:
        """The window's part of `image` (C, H, W) as seen, anti-aliased when shrunk: (C, *shape)."""
        part = image.copy(self.halved)[:, self.y0 : self.y1, self.x0 : self.x1]
        if part.shape[1:] == self.shape:
            return part
        return F.interpolate(part[None], size=self.shape, mode="bilinear", antialias=True)[0]

    def to_image(self, points: Tensor) -> Tensor:
        """(…, 2) x, y in px as seen, counted from the view's corner, to px of the image, pixel centres at integers."""
        origin, factors = self._mapping(points)
        return (points / factors + origin) * 2**self.halved - 0.5

    def holds(self, points: Tensor) -> bool:
        """Whether any of `points` (N, 2) of the image lies inside."""
        x, y = ((points + 0.5) / 2**self.halved).unbind(1)
        return bool(((x >= self.x0) & (x < self.x1) & (y >= self.y0) & (y < self.y1)).any())

    def detail(self, image: Halvings) -> float:
        """How finely the most detailed part of the window is detailed, in its copy of `image`."""
        block = 2 * DETAIL_BLOCK
        rows, columns = slice(self.y0 // block, -(-self.y1 // block)), slice(self.x0 // block, -(-self.x1 // block))
        return float(image.detail(self.halved)[rows, columns].max())

    def _mapping(self, like: Tensor) -> tuple[Tensor, Tensor]:
        height, width = self.shape
        factors = (width / (self.x1 - self.x0), height / (self.y1 - self.y0))  # `scale`, but for whole pixels
        return like.new_tensor((self.x0, self.y0)), like.new_tensor(factors)


def scales(height: int, width: int, smallest: float) -> list[float]:
    """At which scales, each half the next, every face from `smallest` px upwards is easy to find at one; rising.

    At the first the image is no larger than an overlap.
    """
    enlarged = min(MOST_ENLARGED, max(1.0, math.sqrt(ENLARGED_PIXELS / (height * width))))
    found = [min(enlarged, EASY / smallest)]
    while min(height, width) * found[0] > OVERLAP:
        found.insert(0, found[0] / 2)
    return found


def tiles(height: int, width: int, scale: float, *, small: bool = False, all_sizes: bool = False) -> list[Window]:
    """Windows over the whole image at `scale`. A face above twice their overlap is left to the next coarser scale,
    where half of it fits the overlap, unless `all_sizes` are wanted."""
    tile, overlap = (SMALL_TILE, SMALL_OVERLAP) if small else (TILE, OVERLAP)
    halved, rest = halvings(scale)
    rows, columns = (_spans(-(-side // 2**halved), tile / rest, overlap / rest) for side in (height, width))
    largest = math.inf if all_sizes else 2 * overlap / rest
    return [Window(x0, y0, x1, y1, rest, largest, halved) for y0, y1 in rows for x0, x1 in columns]


def halvings(scale: float) -> tuple[int, float]:
    """How often an image is halved before it is seen at `scale`, and the scale then left, above 1/2."""
    number = max(0, math.floor(-math.log2(scale) + 1e-9))
    return number, scale * 2**number


def _spans(length: int, tile: float, overlap: float) -> list[tuple[int, int]]:
    """Equal, evenly spaced spans over `length` px that fit a tile and share its overlap."""
    longest, shared = math.floor(tile), math.ceil(overlap)
    if length <= longest:
        return [(0, length)]
    gaps = math.ceil((length - longest) / (longest - shared))
    starts = [number * (length - longest) // gaps for number in range(gaps + 1)]
    return [(start, start + longest) for start in starts]
