"""Where one scene ends and the next begins, told from thumbnails of the frames around.

As PySceneDetect's AdaptiveDetector has it, a change counts as a cut when it is large and stands out among its
neighbours, so that a fast pan is none; and it must last, so that a photographer's flash is none either. Drawn films,
and films of another rate than their file's, show each picture several times: neighbours are the changes between.
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
HELD = 0.05  # of a change: less is the same picture once more, as a codec gives it
LONGEST_HELD = 6  # frames; 10 pictures a second in a file of 60
FRAMES_BEFORE = LONGEST_HELD + 1  # that `is_cut` wants to see before the first frame of the new scene,
FRAMES_AFTER = LONGEST_HELD  # and after it


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
    first, last = max(1, index - LONGEST_HELD), min(len(thumbnails) - 1, index + LONGEST_HELD)
    before, after = (
        [difference(thumbnails[n - 1], thumbnails[n]) for n in places]
        for places in (range(index - 1, first - 1, -1), range(index + 1, last + 1))
    )
    if not _stands_out(change, before[:NEIGHBOURS] + after[:NEIGHBOURS]):
        return False
    sides: list[list[float]] = []
    for changes in (before, after):
        sides.append([other for other in changes if other > HELD * change][:NEIGHBOURS])
        moves, stands_still = changes[:1] == sides[-1][:1] != [], not sides[-1] and len(changes) == LONGEST_HELD
        if moves or stands_still:
            return True  # no picture is shown several times, or no other comes
    return _stands_out(change, sides[0] + sides[1])


def _stands_out(change: float, others: Sequence[float]) -> bool:
    return not others or change > STANDS_OUT * statistics.median(others)


def difference(one: Tensor, other: Tensor) -> float:
    """Mean difference of two thumbnails, in units of their own contrast: 0 the same, about 1 unrelated."""
    contrast = (_contrast(one) + _contrast(other)) / 2
    return float((one - other).abs().mean()) / max(contrast, FAINTEST)


def _contrast(picture: Tensor) -> float:
    return float((picture - picture.mean(dim=(1, 2), keepdim=True)).abs().mean())
