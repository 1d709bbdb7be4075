"""Faces that are tilted, of people lying down for instance: found in views of the image that are turned upright.

RetinaFace proposes few faces that are tilted by more than 30 degrees: of the group photo's 29, all are found at 20, 25
to 27 at 30, 17 at 40.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from ..faces import Face
from ..geometry.resampling import LENGTH, STRIP, warp
from ..geometry.splines import SPLINE_REACH
from ..geometry.transforms import Matrix, moved, positions, shift_origin
from .close_ups import swapped_sides
from .proposals import Proposals, drop_fragments, merge
from .retinaface import MEAN_BGR

STEP = 45  # degrees from one view to the next: no face is tilted by more than half of it in the nearest one

Detect = Callable[[Tensor], list[Face]]


@torch.inference_mode()
def tilted_faces(detect: Detect, image: Tensor, max_tilt: float) -> list[Face]:
    """What `detect` finds in `image` (3, H, W), float32 RGB in [0, 1], also turned by up to `max_tilt` degrees.

    Surest first, each once, as the view tells it in which it is surest. Its box stays upright, of the same area.
    """
    found = [_in_view(detect, image, angle) for angle in angles(max_tilt)]
    faces = drop_fragments(merge(found))
    return [Face(box.numpy(), points.numpy(), score.item()) for box, points, score in zip(*faces)]


def angles(max_tilt: float) -> list[int]:
    """By how many degrees, clockwise, the views are turned in which a face tilted by up to `max_tilt` is upright."""
    steps = math.ceil(max(0.0, max_tilt / STEP - 0.5))
    return [0, *(sign * step * STEP for step in range(1, steps + 1) for sign in (1, -1) if sign * step * STEP > -180)]


def view_size(height: int, width: int, angle: float) -> tuple[int, int]:
    """Height and width of the view that holds an image turned by `angle` degrees."""
    cos, sin = (abs(part(math.radians(angle))) for part in (math.cos, math.sin))
    return round(width * sin + height * cos), round(width * cos + height * sin)


def turning_bytes(height: int, width: int, angle: float) -> int:
    """What is needed beside the view while it is made, where PyTorch makes it: some copies of what a part is made of.

    The largest are the rows of the image that a part lies in, or five of the part's own.
    """
    whole = view_size(height, width, angle)
    rows, columns = view_size(min(whole[0], STRIP), min(whole[1], LENGTH), angle)
    part = (rows + 2 * SPLINE_REACH) * (columns + 2 * SPLINE_REACH)
    return 3 * torch.float32.itemsize * max(rows * width + 3 * part // 2, 5 * part)


def _in_view(detect: Detect, image: Tensor, angle: int) -> Proposals:
    height, width = image.shape[1:]
    size = view_size(height, width, angle)
    to_image = turned(angle, (height, width), size)
    found = detect(_view(image, to_image, size) if angle else image)
    boxes = np.array([face.box for face in found]).reshape(-1, 2, 2)
    middles, sides = moved(boxes.mean(axis=1), to_image), boxes[:, 1] - boxes[:, 0]
    sides = swapped_sides(sides, math.radians(angle))
    landmarks = moved(np.array([face.landmarks for face in found]).reshape(-1, 5, 2), to_image)
    corners, scores = np.hstack((middles - sides / 2, middles + sides / 2)), np.array([face.score for face in found])
    return Proposals(*(torch.from_numpy(part) for part in (corners, landmarks, scores)))


def _view(image: Tensor, to_image: Matrix, size: tuple[int, int]) -> Tensor:
    """The turned image, and RetinaFace's mean colour beyond it."""
    view = warp(image, to_image, size, limits=(0, 1))
    for top in range(0, size[0], STRIP):
        strip = view[:, top : top + STRIP]
        places = positions(shift_origin(to_image, (0, top)), (strip.shape[1], strip.shape[2]), image.device)
        for place, length in zip(places, image.shape[:0:-1]):
            beyond = place.sub_((length - 1) / 2).abs_() > length / 2
            for plane, mean in zip(strip, reversed(MEAN_BGR)):
                plane.masked_fill_(beyond, mean / 255)
    return view


def turned(angle: float, size: tuple[int, int], view: tuple[int, int]) -> Matrix:
    """From the pixels of a `view` (height, width) turned by `angle` to those of the image (height, width)."""
    cos, sin = (round(part(math.radians(angle)), 12) for part in (math.cos, math.sin))
    linear = np.array([[cos, sin], [-sin, cos]])
    middle, seen = (np.array([width - 1, height - 1]) / 2 for height, width in (size, view))
    return np.column_stack((linear, middle - linear @ seen))
