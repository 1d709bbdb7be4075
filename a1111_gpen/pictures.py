"""Pictures as the host has them, and as the runtime has them: float32 RGB in [0, 1], (3, H, W)."""

from __future__ import annotations

import numpy as np
import torch
from PIL import Image

from ..shared.gpen2048 import Picture
from ..shared.gpen2048.samples import to_planes, to_samples

DEEPEST_16 = 65535


def from_pil(image: Image.Image) -> Picture:
    """A Pillow image of any mode; 16-bit grey keeps its depth, alpha and transparent palettes become alpha."""
    if image.mode.startswith("I"):
        grey = np.divide(np.asarray(image), DEEPEST_16, dtype=np.float32)
        return Picture(torch.from_numpy(grey).clamp(0, 1).expand(3, -1, -1).contiguous())
    if image.mode[-1] in "Aa" or "transparency" in image.info:
        rgba = to_planes(np.asarray(image.convert("RGBA")))
        return Picture(rgba[:3], rgba[3])
    return Picture(to_planes(np.asarray(image.convert("RGB"))))


def to_pil(picture: Picture, like: Image.Image | None = None) -> Image.Image:
    """RGB, or RGBA where the picture has alpha; 8 bits. With the colour profile of `like`, if that is coloured so."""
    planes = picture.pixels if picture.alpha is None else torch.cat((picture.pixels, picture.alpha[None]))
    image = Image.fromarray(to_samples(planes))
    if like is not None and like.mode in ("RGB", "RGBA") and "icc_profile" in like.info:
        image.info["icc_profile"] = like.info["icc_profile"]
    return image
