"""A face detector without weights of its own: scikit-image's frontal LBP cascade with the template's mean landmarks.

It finds upright frontal faces only, mistakes other things for faces now and then, and knows where a face is but not how
it is turned. It serves the demo; RetinaFace serves photos.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..alignment import face_template
from ..errors import WeightsNotFoundError
from ..faces import Face

SMALLEST, LARGEST = 24, 1024  # px; the cascade was trained on 24 px faces
NEIGHBOURS = 8  # hits near each other that make a face: on the group photo 27 faces and nothing else; 4 let in a wall
# Where the middle between the eyes lies in the cascade's box, and the size of GPEN's crop in boxes: the mean over the
# 28 faces it finds of tests/golden/alignment.json.
EYES_IN_BOX = np.array([0.495, 0.378])
BOX_TO_CROP = 1.61


class LbpDetector:
    """Called like FaceDetector; `threshold` is ignored, since the cascade has no score."""

    kind = "lbp"

    def __init__(self) -> None:
        try:
            import skimage.data
            import skimage.feature
        except ImportError as error:
            raise WeightsNotFoundError("the lbp detector needs scikit-image: pip install scikit-image") from error
        feature: Any = skimage.feature
        self._cascade: Any = feature.Cascade(skimage.data.lbp_frontal_face_cascade_filename())

    def __call__(self, image: Tensor, threshold: float = 0.0, *, smallest: float = SMALLEST) -> list[Face]:
        """The faces from `smallest` px in `image` (3, H, W) float32 RGB in [0, 1], with score 1."""
        pixels = (image * 255).round().to("cpu", torch.uint8).permute(1, 2, 0).contiguous().numpy()
        longest = min(LARGEST, *pixels.shape[:2])
        shortest = max(SMALLEST, round(smallest))
        if longest < shortest:
            return []
        found = self._cascade.detect_multi_scale(
            img=pixels,
            scale_factor=1.1,
            step_ratio=1,
            min_size=(shortest, shortest),
            max_size=(longest, longest),
            min_neighbor_number=NEIGHBOURS,
        )
        return [_face(box["c"], box["r"], box["width"]) for box in found]


def _face(left: float, top: float, width: float) -> Face:
    template = face_template(1)
    eyes = template[:2].mean(axis=0)
    landmarks = (template - eyes) * BOX_TO_CROP + EYES_IN_BOX
    corner = np.array([left, top], np.float64)
    box = np.concatenate((corner, corner + width))
    return Face(box=box, landmarks=corner + landmarks * width, score=1.0)
