"""Colours of the restored face: GPEN's own, or the photo's."""

from __future__ import annotations

from collections.abc import Iterator

import torch
import torch.nn.functional as F
from torch import Tensor

from .oklab import from_oklab, to_oklab

LUMA = (0.2126, 0.7152, 0.0722)  # ITU-R BT.709
COLOURLESS = 4.5 / 255  # between the channels: chroma that is off by 1 in 255 makes up to 4
COARSE = 16  # px from one look at an image to the next
STRIP = 2**16  # pixels
CELLS = 32  # along a side of the crop; colours are compared cell by cell, coarser than what a network moves
SAMPLES = 256  # along a side, of which the cells are the averages: more would only cost time
CHROMA = slice(1, 3)  # of Oklab
SMALLEST_SPREAD = 1 / 1000  # of an Oklab axis, a third of what the eye tells apart: below, there is nothing to stretch


def luma(image: Tensor) -> Tensor:
    """The grey picture (N, 1, H, W) of RGB (N, 3, H, W)."""
    return (image * image.new_tensor(LUMA)[:, None, None]).sum(dim=1, keepdim=True)


def is_colourless(image: Tensor) -> bool:
    """Whether `image` (3, H, W) in [0, 1] is black and white, but for what a film's codec makes of it.

    Most photos show at the first look that they are not. On the CPU the whole is seen in strips that fit its cache.
    """
    return _spread(image[:, ::COARSE, ::COARSE]) <= COLOURLESS and all(
        _spread(strip) <= COLOURLESS for strip in _strips(image)
    )


def lose_colour(image: Tensor) -> Tensor:
    """`image` (3, H, W), in place, as the grey picture in as many channels."""
    for strip in _strips(image):
        strip.copy_(luma(strip[None])[0])
    return image


def _strips(image: Tensor) -> Iterator[Tensor]:
    rows = max(1, STRIP // image.shape[2]) if image.device.type == "cpu" else image.shape[1]
    return (image[:, start : start + rows] for start in range(0, image.shape[1], rows))


def _spread(image: Tensor) -> float:
    """The largest difference between the channels of a pixel."""
    red, green, blue = image
    spread = torch.maximum(torch.maximum(red, green), blue)
    return float(spread.sub_(torch.minimum(torch.minimum(red, green), blue)).amax())


def original_chroma(before: Tensor, after: Tensor) -> Tensor:
    """`after` (N, 3, S, S) in the colours of `before`, with its own lightness; both RGB in [0, 1].

    In Oklab, and only what differs over a 32nd of the crop or more, so that edges the network moved get no fringes.
    """
    size = after.shape[-1]
    old, new = (to_oklab(F.adaptive_avg_pool2d(crop, min(SAMPLES, size)))[:, CHROMA] for crop in (before, after))
    drift = F.adaptive_avg_pool2d(new - old, min(CELLS, size))
    corrected = to_oklab(after)
    corrected[:, CHROMA] -= F.interpolate(drift, size=(size, size), mode="bilinear", align_corners=False)
    return from_oklab(corrected)


def matched(before: Tensor, after: Tensor, mask: Tensor) -> Tensor:
    """`after` (N, 3, S, S) with the mean and spread that lightness and colour of `before` have inside `mask` (S, S).

    Both RGB in [0, 1]. Reinhard, Ashikhmin, Gooch and Shirley, "Color transfer between images" (2001), in Oklab, with
    cells averaged, lest the photo's grain count as contrast. An empty mask changes nothing.
    """
    cells = min(CELLS, after.shape[-1])
    weight = F.adaptive_avg_pool2d(mask[None, None], cells)
    if weight.sum() == 0:
        return after
    old, new = (to_oklab(F.adaptive_avg_pool2d(crop, cells)) for crop in (before, after))
    (old_mean, old_spread), (new_mean, new_spread) = _statistics(old, weight), _statistics(new, weight)
    return from_oklab((to_oklab(after) - new_mean) * (old_spread / new_spread) + old_mean)


def _statistics(lab: Tensor, weight: Tensor) -> tuple[Tensor, Tensor]:
    """The weighted mean and standard deviation of each axis: (N, 3, 1, 1)."""
    weight = weight / weight.sum()
    mean = (lab * weight).sum(dim=(-2, -1), keepdim=True)
    variance = ((lab - mean) ** 2 * weight).sum(dim=(-2, -1), keepdim=True)
    return mean, variance.sqrt().clamp(min=SMALLEST_SPREAD)
