"""Close-ups of possible faces: each the same size, and turned so that it is upright.

RetinaFace's landmarks wander by 0.05 of the eye distance when a head is tilted by 10 degrees, by 0.11 at 25 (means over
the group photo). In close-ups turned by the landmarks found before they wander by 0.02, whatever the tilt.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from ..geometry.transforms import moved, positions, shift_origin
from .halving import Halvings
from .retinaface import network_input

SURROUNDED = 2  # side of a close-up, in face sizes

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class CloseUp:
    """A square view of the face in `box` (4,) with `landmarks` (5, 2), in px of the image; the face is `face` px large.

    Pixels of the view are counted from its corner, as RetinaFace does.
    """

    box: Floats
    landmarks: Floats
    face: int

    @property
    def side(self) -> int:
        return SURROUNDED * self.face

    @property
    def scale(self) -> float:
        """Pixels of the view per pixel of the image."""
        return self.face / math.sqrt(float(np.prod(self.box[2:] - self.box[:2])))

    @property
    def tilt(self) -> float:
        """Radians, clockwise, by which eyes and mouth are tilted; 0 where the landmarks cannot tell."""
        if not np.isfinite(self.landmarks).all():
            return 0.0
        x, y = self.landmarks[1] - self.landmarks[0] + self.landmarks[4] - self.landmarks[3]
        return math.atan2(y, x)

    def pixels(self, image: Halvings) -> Tensor:
        """What the network is shown (3, side, side): of the halved copy nearest in size, zero beyond the image."""
        halved = max(0, round(-math.log2(self.scale)))
        copy = image.copy(halved)
        to_copy = self._to_image() / 2**halved
        edges = np.array([[0, self.side, 0, self.side], [0, 0, self.side, self.side], [1, 1, 1, 1]])
        corners, limits = to_copy @ edges, np.array(copy.shape[:0:-1])
        low = np.clip(np.floor(corners.min(axis=1)) - 1, 0, limits - 1).astype(int)
        high = np.clip(np.ceil(corners.max(axis=1)) + 1, low + 1, limits).astype(int)
        part = network_input(copy[:, low[1] : high[1], low[0] : high[0]])
        to_copy[:, 2] -= low
        return _read(part, to_copy, self.side)

    def expected(self) -> Floats:
        """The face's box (4,) in the view."""
        half = swapped_sides(self.box[2:] - self.box[:2], self.tilt) * self.scale / 2
        return np.concatenate((self.side / 2 - half, self.side / 2 + half))

    def to_image(self, box: Floats, landmarks: Floats) -> tuple[Floats, Floats]:
        """A box (4,) and landmarks (5, 2) of the view in px of the image, pixel centres at integers."""
        matrix = self._to_image()
        middle, half = (box[:2] + box[2:]) / 2, swapped_sides(box[2:] - box[:2], self.tilt) / self.scale / 2
        middle = moved(middle, matrix) - 0.5
        return np.concatenate((middle - half, middle + half)), moved(landmarks, matrix) - 0.5

    def _to_image(self) -> Floats:
        """(2, 3), both sides counted from the corner."""
        cos, sin = math.cos(self.tilt) / self.scale, math.sin(self.tilt) / self.scale
        linear = np.array([[cos, -sin], [sin, cos]])
        middle = (self.box[:2] + self.box[2:] + 1) / 2
        return np.column_stack((linear, middle - linear @ [self.side / 2, self.side / 2]))


def swapped_sides(sides: Floats, tilt: float) -> Floats:
    """Width and height (…, 2) of upright boxes around what is turned by `tilt` radians: at a right angle, swapped."""
    share = math.cos(tilt) ** 2
    return sides * share + sides[..., ::-1] * (1 - share)


def _read(part: Tensor, matrix: Floats, side: int) -> Tensor:
    """`part` (C, h, w) at `matrix` @ (p, 1) of each p of a square, in pixels counted from the corner; zero beyond."""
    lengths = np.array([[part.shape[2]], [part.shape[1]]])
    unit = shift_origin(matrix, (0.5, 0.5)) * 2 / lengths - [[0, 0, 1], [0, 0, 1]]  # in grid_sample's -1 … 1
    places = torch.stack(positions(unit, (side, side), part.device), dim=-1)
    return F.grid_sample(part[None], places[None], mode="bilinear", padding_mode="zeros", align_corners=False)[0]
