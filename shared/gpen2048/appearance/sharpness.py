"""How sharp a face is in the photo, measured at the resolution it has there.

Crété, Dolmière, Ladret and Nicolas, "The blur effect" (SPIE 6492, 2007): what is sharp loses most of its gradients when
it is blurred once more, what is blurred keeps them. Ours leaves out the gradients that grain alone would give, since a
noisy blurred face is no sharp one.
"""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor

from ..alignment import crop_face, crop_transform
from ..faces import Face
from ..geometry.transforms import density
from .colour import luma

Kernel = tuple[tuple[float, ...], ...]

REBLUR = 5  # pixels of the box that blurs once more
AS_SHARP_AS_CAN_BE = 0.35  # a photo reduced to half its size measures 0.35 to 0.5
FACE_PART = (0.2, 0.8)  # of the crop's sides: surely face, in either template
SMALLEST_SIDE, LARGEST_SIDE = 24, 1024  # px; a crop beyond is measured at these, which bounds the work
LEAST_GRAIN = 1e-4  # of [0, 1]: rounding errors are no detail
GRAIN_GRADIENTS = 3.0  # gradients up to so many standard deviations of the grain's are not counted
SOBEL = ((-1.0, 0.0, 1.0), (-2.0, 0.0, 2.0), (-1.0, 0.0, 1.0))
SOBEL_NORM = 12**0.5
BLURRED_GRAIN = 0.28  # of the Sobel response to white noise that is left after the box filter
# Second difference along both axes: blind to edges and slopes (Immerkær, "Fast noise variance estimation", 1996).
GRAIN_FILTER = ((1.0, -2.0, 1.0), (-2.0, 4.0, -2.0), (1.0, -2.0, 1.0))
GRAIN_NORM = 6.0
MEDIAN_TO_SIGMA = 1 / 0.6745  # of the absolute values of a normal distribution


def detail_size(image: Tensor, face: Face) -> float:
    """Pixels that the `face` of `image` (3, H, W) in [0, 1] needs for the detail it shows: at most its size.

    A face of 400 px that was enlarged from 100 has a detail size of about 100, give or take a third.
    """
    own = 1 / density(crop_transform(face.landmarks, 1))
    side = round(min(max(own, SMALLEST_SIDE), LARGEST_SIDE))
    crop = crop_face(image, crop_transform(face.landmarks, side), side)
    first, last = (round(edge * side) for edge in FACE_PART)
    grey = luma(crop[None, :, first:last, first:last])
    return face.size * min(1.0, side / own) * min(1.0, sharpness(grey, grain(grey)) / AS_SHARP_AS_CAN_BE)


def sharpness(grey: Tensor, grain: float = 0.0) -> float:
    """0 blurred to 1 sharp, of `grey` (1, 1, h, w); `grain` is the standard deviation of its noise."""
    return min(_sharpness_across(grey, grain), _sharpness_across(grey.mT, grain))


def grain(grey: Tensor) -> float:
    """The standard deviation of the noise in `grey` (1, 1, h, w)."""
    return _filter(grey, GRAIN_FILTER).abs().median().item() * MEDIAN_TO_SIGMA / GRAIN_NORM


def _sharpness_across(grey: Tensor, grain: float) -> float:
    blurred = F.avg_pool2d(F.pad(grey, (REBLUR // 2, REBLUR // 2, 0, 0), mode="reflect"), (1, REBLUR), stride=1)
    noise = GRAIN_GRADIENTS * SOBEL_NORM * max(grain, LEAST_GRAIN)
    before = (_filter(grey, SOBEL).abs() - noise).clamp(min=0)
    after = (_filter(blurred, SOBEL).abs() - BLURRED_GRAIN * noise).clamp(min=0)
    total = before.sum().item()
    return (before - after).clamp(min=0).sum().item() / total if total > 0 else 0.0


def _filter(grey: Tensor, kernel: Kernel) -> Tensor:
    return F.conv2d(grey, grey.new_tensor(kernel)[None, None])
