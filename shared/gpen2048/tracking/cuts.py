"""Where one scene ends and the next begins, told from thumbnails of the frames around.

As PySceneDetect's AdaptiveDetector has it, a change counts as a cut when it is large and stands out among its
neighbours, so that a fast pan is none; and it must last, so that a photographer's flash is none either. Drawn films,
and films of another rate than their file's, show each picture several times, so that any motion stands out: what a
shift of the picture explains is no cut.
"""

from __future__ import annotations

import statistics
from collections.abc import Sequence

import torch.nn.functional as F
from torch import Tensor

THUMBNAIL = 32  # pixels a side: camera shake and noise are gone, a scene can still be told from another
CUT = 0.5  # of the pictures' own contrast; two scenes differ by about 1, a pan of a tenth of the picture by about 0.3
STANDS_OUT = 3.0  # times the neighbouring changes (scenedetect.detectors.AdaptiveDetector, adaptive_threshold)
FAINTEST = 0.02  # contrast below which a picture counts as flat, so that noise on black is no change
NEIGHBOURS = 2  # changes looked at on either side (AdaptiveDetector, window_width)
SHIFT = 10  # px of a thumbnail; pans over two photos left 0.23 at the best shift, 15 pairs of scenes 0.87 or more
FRAMES_BEFORE = NEIGHBOURS + 1  # that `is_cut` wants to see before the first frame of the new scene,
FRAMES_AFTER = NEIGHBOURS  # and after it


def thumbnail(image: Tensor) -> Tensor:
    """`image` (3, H, W) in [0, 1] averaged down to (3, 32, 32) float32, on the CPU."""
    return F.adaptive_avg_pool2d(image[None].float(), THUMBNAIL)[0].cpu()


def is_cut(thumbnails: Sequence[Tensor], index: int) -> bool:
    """Whether a new scene begins with `thumbnails[index]`; the first one begins none.

    Only FRAMES_BEFORE thumbnails before `index` and FRAMES_AFTER after it are looked at, fewer where there are none.
    """
    if index == 0:
        return False
    change = min(
        difference(thumbnails[before], thumbnails[after])
        for before, after in ((index - 1, index), (index - 2, index), (index - 1, index + 1))
        if before >= 0 and after < len(thumbnails)
    )
    if change <= CUT:
        return False
    first, last = max(1, index - NEIGHBOURS), min(len(thumbnails) - 1, index + NEIGHBOURS)
    others = [difference(thumbnails[n - 1], thumbnails[n]) for n in range(first, last + 1) if n != index]
    if others and change <= STANDS_OUT * statistics.median(others):
        return False
    return _beyond_motion(thumbnails[index - 1], thumbnails[index]) > CUT


def difference(one: Tensor, other: Tensor) -> float:
    """Mean difference of two thumbnails, in units of their own contrast: 0 the same, about 1 unrelated."""
    contrast = (_contrast(one) + _contrast(other)) / 2
    return float((one - other).abs().mean()) / max(contrast, FAINTEST)


def _beyond_motion(one: Tensor, other: Tensor) -> float:
    """The difference of two thumbnails that no shift takes away."""
    height, width = one.shape[1:]
    shifts = range(-SHIFT, SHIFT + 1)
    return min(
        difference(
            one[:, max(0, y) : height + min(0, y), max(0, x) : width + min(0, x)],
            other[:, max(0, -y) : height - max(0, y), max(0, -x) : width - max(0, x)],
        )
        for y in shifts
        for x in shifts
    )


def _contrast(picture: Tensor) -> float:
    return float((picture - picture.mean(dim=(1, 2), keepdim=True)).abs().mean())
