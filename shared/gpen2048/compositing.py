"""Laying restored faces back into the photo: soft masks, overlaps, and nothing touched outside them."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from .compiled.pages import copied, uninitialised, zeros
from .compiled.threads import in_rows
from .compiled.views import as_it_lies
from .geometry.regions import Region, union
from .geometry.resampling import in_tiles, warp
from .geometry.splines import compiled_kernels
from .geometry.transforms import Matrix, positions, shift_origin

INSET = 0.02  # of the crop: outermost rim that is never shown, where a network sees too little around

STRIP = 128  # rows done at once: what lies between two steps stays in the processor's cache

Mask = Callable[[Region], Tensor]  # (h, w) float32 in [0, 1] on a region's pixels


def box_mask(to_crop: Matrix, crop_size: int, region: Region, feather: float, device: torch.device) -> Tensor:
    """The crop's soft box on the pixels of `region`: (h, w) float32 in [0, 1].

    Zero outside and on the crop's rim, one from `feather` (a fraction of the crop) further in, smooth between.
    It is computed from each pixel's place in the crop, so it has no resolution of its own.
    """
    kernels = compiled_kernels() if device.type == "cpu" else None
    if kernels is None:
        u, v = _crop_position(to_crop, crop_size, region, device)
        return _ramp(u, feather) * _ramp(v, feather)
    mask = uninitialised(region.size, device)
    places = _places(to_crop, crop_size, region)
    in_rows(len(mask), kernels.box, places, np.float32(INSET), np.float32(feather), mask.numpy())
    return mask


def parsed_mask(parsed: Tensor, to_crop: Matrix, crop_size: int, region: Region) -> Tensor:
    """A crop's own mask `parsed` (1, M, M) in [0, 1], at any resolution M, on the pixels of `region`: (h, w)."""
    ratio = parsed.shape[-1] / crop_size
    to_mask = to_crop * ratio + np.array([[0, 0, 1], [0, 0, 1]]) * (ratio - 1) / 2
    return warp(parsed, shift_origin(to_mask, (region.left, region.top)), region.size, limits=(0, 1))[0]


def _ramp(position: Tensor, feather: float) -> Tensor:
    inside = 0.5 - (position - 0.5).abs()  # distance to the nearer edge
    t = ((inside - INSET) / feather).clamp(0, 1)
    return t * t * (3 - 2 * t)


def _crop_position(matrix: Matrix, crop_size: int, region: Region, device: torch.device) -> tuple[Tensor, Tensor]:
    """Where in the crop each pixel of `region` lies: x and y (h, w), 0 and 1 at the crop's outer edges."""
    return positions(_places(matrix, crop_size, region), region.size, device)


def _places(matrix: Matrix, crop_size: int, region: Region) -> Matrix:
    """The same as a transform of pixels counted from the region's corner."""
    return shift_origin((matrix + [[0, 0, 0.5], [0, 0, 0.5]]) / crop_size, (region.left, region.top))


def _lines(part: Tensor) -> tuple[NDArray[np.float32], int, int]:
    """The memory of `part` (…, h, w) in lines, and how many elements lie between two planes and between two rows."""
    part = part if part.stride(-1) == 1 else part.contiguous()
    plane = part.stride(0) if part.ndim == 3 else 0
    return as_it_lies(part).numpy(), plane, part.stride(-2)


class Canvas:
    """The photo faces are laid onto. `background` (3, H, W) float32 in [0, 1] becomes the result if it is `owned`.

    `regions` are those of all faces to come, each of which is laid once. A lone face is blended into the picture as it
    comes, with its mask. Overlapping faces are averaged, each weighted by its mask and by its nearness to the crop's
    middle, since a network knows its own face better than the neighbour's. All weights are smooth, so no seam can
    arise; the order is of no account. Sums are kept only on the union of the regions.
    """

    def __init__(self, background: Tensor, regions: Sequence[Region], *, owned: bool = False):
        self.background = background
        self.region = union(regions)
        device = background.device
        self._kernels = compiled_kernels() if device.type == "cpu" else None
        self._is_alone = sum(0 not in region.size for region in regions) < 2
        summed = (0, 0) if self._is_alone else self.region.size
        self._change = zeros((3, *summed), device)
        self._weight = zeros(summed, device)
        self._mask = zeros((background.shape[1], background.shape[2]), device)
        self._result = background if owned and 0 not in background.stride() else None

    def lay(self, crop: Tensor, to_crop: Matrix, mask: Mask, region: Region, strength: float) -> None:
        """Adds `crop` (3, S, S) in [0, 1], seen through `mask` on the pixels of `region`, blended with `strength`."""
        for outer in region.strips(STRIP if in_tiles(crop, to_crop) else max(1, region.size[0])):
            if 0 in outer.size:
                continue
            restored = warp(crop, shift_origin(to_crop, (outer.left, outer.top)), outer.size, limits=(0, 1))
            masked = mask(outer)
            for part in outer.strips(STRIP):
                seen, new = part.within(outer).of(masked), part.within(outer).of(restored)
                if self._is_alone:
                    self._show(new, seen, part, strength)
                else:
                    self._add(new, to_crop, crop.shape[-1], seen, part, strength)

    def _show(self, restored: Tensor, mask: Tensor, region: Region, strength: float) -> None:
        picture, shown = region.of(self._picture), region.of(self._mask)
        if self._kernels is not None:
            blended = picture.contiguous() if picture.stride(-1) != 1 else picture
            lines = [_lines(part) for part in (restored, mask, shown, blended)]
            in_rows(len(mask), self._kernels.show, region.size[1], np.float32(strength), *lines)
            picture.copy_(blended)
            return
        shown.copy_(mask)
        blended = (restored - picture).mul_(mask).mul_(strength).add_(picture).clamp_(0, 1)
        picture.copy_(torch.where(mask > 0, blended, picture))

    def _add(
        self, restored: Tensor, to_crop: Matrix, crop_size: int, mask: Tensor, region: Region, strength: float
    ) -> None:
        background, shown, inner = region.of(self.background), region.of(self._mask), region.within(self.region)
        change, weight = inner.of(self._change), inner.of(self._weight)
        if self._kernels is not None:
            lines = [_lines(part) for part in (restored, background, mask, change, weight, shown)]
            places = _places(to_crop, crop_size, region)
            in_rows(len(mask), self._kernels.lay, region.size[1], places, np.float32(strength), *lines)
            return
        u, v = _crop_position(to_crop, crop_size, region, mask.device)
        nearness = u.mul_(math.pi).sin_().mul_(v.mul_(math.pi).sin_()).clamp_(min=1e-3).square_().square_().mul_(mask)
        change.add_((restored - background).mul_(nearness), alpha=strength)  # MPS lost addcmul_ on views before 2.4
        weight.add_(nearness)
        torch.maximum(shown, mask, out=shown)

    def finish(self) -> tuple[Tensor, Tensor]:
        """The picture (3, H, W) and the mask (H, W) in [0, 1]; where the mask is 0 the background's own bits."""
        picture = self._picture
        for part in [] if self._is_alone else self.region.strips(STRIP):
            inner = part.within(self.region)
            self._blend(part.of(picture), inner.of(self._change), inner.of(self._weight), part.of(self._mask))
        return picture, self._mask

    @property
    def _picture(self) -> Tensor:
        """What becomes the result: a copy is made when it is needed, not while networks need the memory."""
        if self._result is None:
            self._result = copied(self.background)
        return self._result

    def _blend(self, picture: Tensor, change: Tensor, weight: Tensor, shown: Tensor) -> None:
        if self._kernels is not None:
            blended = picture.contiguous() if picture.stride(-1) != 1 else picture
            lines = [_lines(part) for part in (change, weight, shown, blended)]
            in_rows(len(shown), self._kernels.blend, shown.shape[1], *lines)
            picture.copy_(blended)
            return
        share = shown / weight.clamp(min=torch.finfo(torch.float32).tiny)
        blended = (change * share).add_(picture).clamp_(0, 1)
        picture.copy_(torch.where(shown > 0, blended, picture))
