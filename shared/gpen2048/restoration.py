"""What comes out of a restoration."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from torch import Tensor


@dataclass(frozen=True)
class FaceReport:
    """What was done to one found face. Box (4,), landmarks (5, 2), size and detail are in pixels of the input image."""

    box: NDArray[np.float64]
    landmarks: NDArray[np.float64]
    score: float
    size: float
    restored: bool = False
    reason: str = ""  # why not, when it was not restored
    strength: float = 0.0
    note: str = ""  # why the strength is not the one asked for, and what the network had to do differently
    turn: float = 0.0  # degrees aside
    detail: float | None = None  # the size that would do for what the face shows; measured for `adaptive` only


@dataclass(frozen=True)
class Restoration:
    """The result: `image` (3, H', W') and `mask` (H', W'), float32 in [0, 1] on the input's device.

    `faces` has one report for each found face; `crops` the (before, after) pairs (3, S, S) of the restored ones, in the
    same order, on the CPU, up to `max_crops`; `scale` is how much larger than the input the image is.
    """

    image: Tensor
    mask: Tensor
    crops: list[tuple[Tensor, Tensor]] = field(default_factory=list[tuple[Tensor, Tensor]])
    faces: list[FaceReport] = field(default_factory=list[FaceReport])
    scale: float = 1.0
