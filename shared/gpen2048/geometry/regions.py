"""Rectangles of a picture's pixels: what each crop covers."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from torch import Tensor

from .transforms import Matrix, invert


@dataclass(frozen=True)
class Region:
    """A rectangle of whole pixels, `left` ≤ x < `right` and `top` ≤ y < `bottom`."""

    left: int
    top: int
    right: int
    bottom: int

    @property
    def size(self) -> tuple[int, int]:
        """Height and width in pixels."""
        return self.bottom - self.top, self.right - self.left

    def of(self, image: Tensor) -> Tensor:
        """The view of `image` (…, H, W) inside this region."""
        return image[..., self.top : self.bottom, self.left : self.right]

    def strips(self, rows: int) -> list[Region]:
        """The region in strips of at most `rows` rows."""
        tops = range(self.top, self.bottom, rows)
        return [Region(self.left, top, self.right, min(top + rows, self.bottom)) for top in tops]

    def within(self, outer: Region) -> Region:
        """The same rectangle counted from `outer`'s corner."""
        x, y = outer.left, outer.top
        return Region(self.left - x, self.top - y, self.right - x, self.bottom - y)


def crop_region(to_crop: Matrix, crop_size: int, image_size: tuple[int, int]) -> Region:
    """The part of an image (H, W) that the crop covers, by the image-to-crop transform; empty when it covers none."""
    edge = [-0.5, crop_size - 0.5]
    corners = np.array([[x, y, 1] for x in edge for y in edge]).T
    x, y = invert(to_crop) @ corners
    height, width = image_size
    left, right = np.clip([math.floor(x.min()), math.ceil(x.max()) + 1], 0, width).tolist()
    top, bottom = np.clip([math.floor(y.min()), math.ceil(y.max()) + 1], 0, height).tolist()
    return Region(left, top, right, bottom)


def union(regions: Sequence[Region]) -> Region:
    """The smallest rectangle around all `regions` that are not empty; an empty one for none."""
    regions = [region for region in regions if 0 not in region.size]
    if not regions:
        return Region(0, 0, 0, 0)
    edges = np.array([(r.left, r.top, r.right, r.bottom) for r in regions])
    left, top = edges[:, :2].min(axis=0).tolist()
    right, bottom = edges[:, 2:].max(axis=0).tolist()
    return Region(left, top, right, bottom)
