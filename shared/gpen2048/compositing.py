"""Laying restored faces back into the photo: soft masks, overlaps, and nothing touched outside them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from .alignment import Matrix, invert
from .resampling import shift_origin, warp

INSET = 0.02  # of the crop: outermost rim that is never shown, where a network sees too little around

STRIP = 128  # rows done at once: what lies between two steps stays in the processor's cache


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


def box_mask(to_crop: Matrix, crop_size: int, region: Region, feather: float, device: torch.device) -> Tensor:
    """The crop's soft box on the pixels of `region`: (h, w) float32 in [0, 1].

    Zero outside and on the crop's rim, one from `feather` (a fraction of the crop) further in, smooth between.
    It is computed from each pixel's place in the crop, so it has no resolution of its own.
    """
    u, v = _crop_position(to_crop, crop_size, region, device)
    return _ramp(u, feather) * _ramp(v, feather)


def parsed_mask(parsed: Tensor, to_crop: Matrix, crop_size: int, region: Region) -> Tensor:
    """A crop's own mask `parsed` (1, M, M) in [0, 1], at any resolution M, on the pixels of `region`: (h, w)."""
    ratio = parsed.shape[-1] / crop_size
    to_mask = to_crop * ratio + np.array([[0, 0, 1], [0, 0, 1]]) * (ratio - 1) / 2
    return warp(parsed, shift_origin(to_mask, (region.left, region.top)), region.size)[0].clamp_(0, 1)


def _ramp(position: Tensor, feather: float) -> Tensor:
    inside = 0.5 - (position - 0.5).abs()  # distance to the nearer edge
    t = ((inside - INSET) / feather).clamp(0, 1)
    return t * t * (3 - 2 * t)


def _crop_position(matrix: Matrix, crop_size: int, region: Region, device: torch.device) -> tuple[Tensor, Tensor]:
    """Where in the crop each pixel of `region` lies: x and y (h, w), 0 and 1 at the crop's outer edges."""
    rows = torch.arange(region.top, region.bottom, device=device, dtype=torch.float32)[:, None]
    columns = torch.arange(region.left, region.right, device=device, dtype=torch.float32)
    (a, b, tx), (c, d, ty) = ((matrix + [[0, 0, 0.5], [0, 0, 0.5]]) / crop_size).tolist()
    return a * columns + (b * rows + tx), c * columns + (d * rows + ty)


class Canvas:
    """The photo faces are laid onto. `background` (3, H, W) float32 in [0, 1] is not changed.

    Overlapping faces are averaged, each weighted by its mask and by its nearness to the crop's middle, since a network
    knows its own face better than the neighbour's. All weights are smooth, so no seam can arise; the order is of no
    account. Sums are kept only on `region`, the union of all faces to come.
    """

    def __init__(self, background: Tensor, region: Region):
        self.background = background
        self.region = region
        height, width = region.size
        self._change = background.new_zeros((3, height, width))
        self._weight = background.new_zeros((height, width))
        self._mask = background.new_zeros((height, width))

    def lay(self, crop: Tensor, to_crop: Matrix, mask: Tensor, region: Region, strength: float) -> None:
        """Adds `crop` (3, S, S) in [0, 1], seen through `mask` (h, w) of `region`, blended with `strength`."""
        if 0 in region.size:
            return
        to_region = shift_origin(to_crop, (region.left, region.top))
        restored = warp(crop, to_region, region.size).clamp_(0, 1)
        for part in region.strips(STRIP):
            rows = part.within(region)
            self._lay(rows.of(restored), to_crop, crop.shape[-1], rows.of(mask), part, strength)

    def _lay(
        self, restored: Tensor, to_crop: Matrix, crop_size: int, mask: Tensor, region: Region, strength: float
    ) -> None:
        u, v = _crop_position(to_crop, crop_size, region, mask.device)
        weight = u.mul_(math.pi).sin_().mul_(v.mul_(math.pi).sin_()).clamp_(min=1e-3).square_().square_().mul_(mask)
        inner = region.within(self.region)
        inner.of(self._change).addcmul_(restored - region.of(self.background), weight, value=strength)
        inner.of(self._weight).add_(weight)
        torch.maximum(inner.of(self._mask), mask, out=inner.of(self._mask))

    def finish(self) -> tuple[Tensor, Tensor]:
        """The picture (3, H, W) and the mask (H, W) in [0, 1]; where the mask is 0 the background's own bits."""
        picture = self.background.clone()
        mask = picture.new_zeros(picture.shape[-2:])
        for part in self.region.strips(STRIP):
            rows = part.within(self.region)
            weight, shown, inside = rows.of(self._weight), rows.of(self._mask), part.of(picture)
            share = shown / weight.clamp(min=torch.finfo(torch.float32).tiny)
            blended = torch.addcmul(inside, rows.of(self._change), share).clamp_(0, 1)
            inside.copy_(torch.where(shown > 0, blended, inside))
        self.region.of(mask).copy_(self._mask)
        return picture, mask
