"""Colours of the restored face: GPEN's own, or the photo's."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor

LUMA = (0.2126, 0.7152, 0.0722)  # ITU-R BT.709
COARSE = 16  # crop pixels averaged into one before colours are compared: coarser than any edge


def original_chroma(before: Tensor, after: Tensor) -> Tensor:
    """`after` (N, 3, S, S) with the low-pass colour difference to `before` taken out and its lightness kept.

    Both RGB in [0, 1]. Only differences coarser than COARSE pixels are taken out, so that no fringes appear at edges
    the network moved.
    """
    size = after.shape[-1]
    drift = F.adaptive_avg_pool2d(after - before, max(1, size // COARSE))
    luma = drift.new_tensor(LUMA)
    chroma = drift - (drift * luma[:, None, None]).sum(dim=1, keepdim=True)
    smooth = F.interpolate(chroma, size=(size, size), mode="bilinear", align_corners=False)
    return (after - smooth).clamp(0, 1)
