"""Grain and pores of the photo, given back to skin that a network made too smooth."""

from __future__ import annotations

import math

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from ..alignment import TemplateKind, face_template

# Standard deviations, in pixels of the photo, of two blurs: what the first leaves is the face; what the second takes
# away the photo cannot show, so its amount cannot be compared.
COARSEST, FINEST = 1.5, 0.4
NEIGHBOURHOOD = 4.0  # the same, for the area over which the amount of grain is measured
NO_GRAIN = 1e-5  # standard deviation, of [0, 1]
SAMPLES = 2.0  # per pixel of the photo, at which grain is measured where the crop has more
# Without a parser, skin is an ellipse about the nose without eyes and mouth: half axes in eye distances.
OVAL = (1.05, 1.25)
EYE, MOUTH = (0.38, 0.24), (0.55, 0.28)
SOFT = 0.3  # width of these shapes' edges, as a fraction of their half axes


def with_texture(before: Tensor, after: Tensor, skin: Tensor, pixel: float, amount: float) -> Tensor:
    """`after` (3, S, S) with the grain of `before` that it lacks, where `skin` (S, S) is 1; RGB in [0, 1].

    `pixel` is the size of the photo's pixels in the crop: given back is what is finer than the face itself at that
    resolution, and only as much as is missing, so what a network kept is not doubled. `amount` 1 is all of it.
    """
    size = after.shape[-1]
    samples = min(size, math.ceil(size * SAMPLES / max(pixel, SAMPLES)))
    pixel = max(pixel, 1.0) * samples / size
    old, new = (_finer_than_face(_resized(crop, samples), pixel) for crop in (before, after))
    missing = 1 - (_grain(new, pixel) / _grain(old, pixel).clamp(min=NO_GRAIN)).clamp(max=1)
    return (after + amount * skin * _resized(missing * old, size)).clamp(0, 1)


def skin_oval(size: int, kind: TemplateKind, device: torch.device) -> Tensor:
    """Where skin is in a crop of `size` px, by the template alone: (size, size) in [0, 1] with soft edges."""
    template = face_template(size, kind)
    eyes = float(template[1, 0] - template[0, 0])
    mouth = template[3:].mean(axis=0)
    skin = _ellipse(size, template[2], OVAL, eyes, device)
    for middle, axes in ((template[0], EYE), (template[1], EYE), (mouth, MOUTH)):
        skin = skin * (1 - _ellipse(size, middle, axes, eyes, device))
    return skin


def blurred(image: Tensor, sigma: float) -> Tensor:
    """`image` (C, H, W) under a Gaussian of `sigma` pixels, continued by reflection."""
    reach = min(math.ceil(3 * sigma), min(image.shape[-2:]) - 1)
    taps = torch.exp(-(torch.arange(-reach, reach + 1, device=image.device, dtype=torch.float32) ** 2) / (2 * sigma**2))
    kernel = (taps / taps.sum())[None, None, None]
    padded = F.pad(image[:, None], (reach, reach, reach, reach), mode="reflect")
    return F.conv2d(F.conv2d(padded, kernel), kernel.mT)[:, 0]


def _finer_than_face(crop: Tensor, pixel: float) -> Tensor:
    return crop - blurred(crop, COARSEST * pixel)


def _grain(fine: Tensor, pixel: float) -> Tensor:
    """The standard deviation, about each place, of what a photo can show of `fine` (3, H, W): (1, H, W)."""
    power = (blurred(fine, FINEST * pixel) ** 2).mean(dim=0, keepdim=True)
    return blurred(power, NEIGHBOURHOOD * pixel).sqrt()


def _resized(image: Tensor, size: int) -> Tensor:
    if image.shape[-1] == size:
        return image
    return F.interpolate(image[None], size=(size, size), mode="bicubic", antialias=True)[0]


def _ellipse(
    size: int, middle: NDArray[np.float64], axes: tuple[float, float], unit: float, device: torch.device
) -> Tensor:
    """1 inside the ellipse about `middle` (x, y), 0 outside."""
    positions = torch.arange(size, device=device, dtype=torch.float32)
    x, y = ((positions - float(centre)) / (axis * unit) for centre, axis in zip(middle, axes))
    radius = (x**2 + y[:, None] ** 2).sqrt()
    return ((1 - radius) / SOFT + 0.5).clamp(0, 1)
