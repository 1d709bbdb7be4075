"""A face in an image: where it is, its five landmarks, and how sure the detector was."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

FARTHEST = 200_000  # px: a larger face would take more memory than there is
# Left and right are those of the image, where the face is upright in it.
LANDMARKS = ("left eye", "right eye", "nose", "left mouth corner", "right mouth corner")


@dataclass(frozen=True, eq=False)
class Face:
    """One face, in pixels of the image: x to the right, y down, pixel centres at integers.

    box        (4,) float64: x0, y0, x1, y1 with x0 < x1 and y0 < y1; may reach beyond the image
    landmarks  (5, 2) float64 x, y in the order of LANDMARKS
    score      how sure the detector was, from 0 to 1

    Takes anything numpy turns into such arrays; keeps copies. Raises ValueError for other shapes, values that are not
    finite or beyond FARTHEST, or an empty box.
    """

    box: NDArray[np.float64]
    landmarks: NDArray[np.float64]
    score: float = 1.0

    def __post_init__(self) -> None:
        object.__setattr__(self, "box", _finite_array(self.box, (4,), "box"))
        object.__setattr__(self, "landmarks", _finite_array(self.landmarks, (5, 2), "landmarks"))
        object.__setattr__(self, "score", float(self.score))
        if not (self.box[0] < self.box[2] and self.box[1] < self.box[3]):
            raise ValueError(f"face box {self.box.tolist()} is empty; wanted x0 < x1 and y0 < y1")
        if not math.isfinite(self.score):
            raise ValueError(f"face score {self.score} is not finite")

    @property
    def size(self) -> float:
        """Side in pixels of the square with the box's area."""
        x0, y0, x1, y1 = self.box.tolist()
        return math.sqrt((x1 - x0) * (y1 - y0))


def _finite_array(values: object, shape: tuple[int, ...], name: str) -> NDArray[np.float64]:
    array = np.array(values, dtype=np.float64)
    if array.shape != shape:
        raise ValueError(f"face {name} of shape {array.shape}; wanted {shape}")
    if not np.isfinite(array).all():
        raise ValueError(f"face {name} {array.tolist()} is not finite")
    if np.abs(array).max() > FARTHEST:
        raise ValueError(f"face {name} {array.tolist()} is no place in a picture; wanted at most {FARTHEST} px")
    return array
