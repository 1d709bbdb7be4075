"""What of the photo's own look a restored face keeps: its colours, or that it has none, and the grain of its skin."""

from __future__ import annotations

import numpy as np
import torch.nn.functional as F
from torch import Tensor

from ..compositing import box_mask
from ..geometry.regions import Region
from ..options import RestoreOptions
from ..parsing import Parsed
from .colour import lose_colour, matched, original_chroma
from .texture import skin_oval, with_texture

AS_IT_IS = np.eye(2, 3)  # from the crop to itself


def likeness(
    before: Tensor, after: Tensor, pixel: float, parsed: Parsed | None, options: RestoreOptions, *, grey: bool = False
) -> Tensor:
    """`after` (3, S, S) with what the options want kept of `before`; both RGB in [0, 1].

    `pixel` is the size of the photo's pixels in the crop; `grey` tells of a photo without colours, and changes `after`.
    """
    if grey:
        after = lose_colour(after)
    elif options.colour == "original-chroma":
        after = original_chroma(before[None], after[None])[0]
    if options.colour == "match":
        after = matched(before[None], after[None], _shown(after, parsed, options))[0]
        after = lose_colour(after) if grey else after  # of which rounding has brought some
    if options.texture:
        size = after.shape[-1]
        skin = skin_oval(size, options.template, after.device) if parsed is None else _resized(parsed.skin, size)
        after = with_texture(before, after, skin, pixel, options.texture)
    return after


def _shown(crop: Tensor, parsed: Parsed | None, options: RestoreOptions) -> Tensor:
    """The mask through which the crop will be seen, on its own pixels: (S, S) in [0, 1]."""
    size = crop.shape[-1]
    box = box_mask(AS_IT_IS, size, Region(0, 0, size, size), options.feather, crop.device)
    return box if parsed is None else box * _resized(parsed.mask, size)


def _resized(mask: Tensor, size: int) -> Tensor:
    return F.interpolate(mask[None, None], size=(size, size), mode="bilinear", antialias=True)[0, 0]
