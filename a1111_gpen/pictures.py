"""Pictures as the host has them, and as the runtime has them: float32 RGB in [0, 1], (3, H, W)."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from ..shared.gpen2048 import Picture

DEEPEST_8, DEEPEST_16 = 255, 65535


def from_rgb(array: NDArray[np.uint8]) -> Tensor:
    """(3, H, W) of the host's (H, W, 3) uint8."""
    planes = np.divide(array.transpose(2, 0, 1), DEEPEST_8, dtype=np.float32)
    return torch.from_numpy(np.ascontiguousarray(planes))


def to_rgb(pixels: Tensor) -> NDArray[np.uint8]:
    """(H, W, 3) uint8 of (3, H, W); clamped, rounded half to even as the command line does."""
    scaled = pixels.clamp(0, 1).mul(DEEPEST_8).round_().to(torch.uint8)
    return scaled.permute(1, 2, 0).contiguous().cpu().numpy()


def from_pil(image: Image.Image) -> Picture:
    """A Pillow image of any mode; 16-bit grey keeps its depth, alpha and transparent palettes become alpha."""
    if image.mode.startswith("I"):
        grey = np.divide(np.asarray(image), DEEPEST_16, dtype=np.float32)
        return Picture(torch.from_numpy(grey).clamp(0, 1).expand(3, -1, -1).contiguous())
    if image.mode[-1] in "Aa" or "transparency" in image.info:
        rgba = from_rgb(np.asarray(image.convert("RGBA")))
        return Picture(rgba[:3], rgba[3])
    return Picture(from_rgb(np.asarray(image.convert("RGB"))))


def to_pil(picture: Picture) -> Image.Image:
    """RGB, or RGBA where the picture has alpha; 8 bits."""
    if picture.alpha is None:
        return Image.fromarray(to_rgb(picture.pixels))
    return Image.fromarray(to_rgb(torch.cat((picture.pixels, picture.alpha[None]))))
