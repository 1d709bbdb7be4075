"""From five landmarks to the upright square that GPEN restores.

One similarity transform per face serves the crop and, inverted, the paste, so the two cannot disagree.
"""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from .geometry.resampling import warp
from .geometry.transforms import Matrix, fit_similarity, invert

TemplateKind = Literal["gpen", "ffhq"]

# Five landmarks of an upright 96x112 face: left eye, right eye, nose, left and right corner of the mouth
# (yangxy/GPEN align_faces.py, REFERENCE_FACIAL_POINTS).
_ARCFACE_96x112 = np.array(
    [
        [30.29459953, 51.69630051],
        [65.53179932, 51.50139999],
        [48.02519989, 71.73660278],
        [33.54930115, 92.3655014],
        [62.72990036, 92.20410156],
    ]
)
_GPEN_SQUARE = 112  # the 96x112 frame made square, points moved by half the difference (default_square)
_GPEN_PADDING = 0.25  # of the square, on each side (face_enhancement.py, inner_padding_factor)

# The same five points of FFHQ's alignment at 512 px (xinntao/facexlib, utils/face_restoration_helper.py).
_FFHQ_512 = np.array(
    [
        [192.98138, 239.94708],
        [318.90277, 240.1936],
        [256.63416, 314.01935],
        [201.26117, 371.41043],
        [313.08905, 371.15118],
    ]
)


def face_template(size: int, kind: TemplateKind = "gpen") -> NDArray[np.float64]:
    """Where the five landmarks lie in a crop of `size` pixels: (5, 2) x, y in pixels.

    "gpen" is the authors' own, which shows about 17 % more around the face than "ffhq".
    """
    if kind == "gpen":
        square = _ARCFACE_96x112 + [(_GPEN_SQUARE - 96) / 2, 0]
        padding = _GPEN_SQUARE * _GPEN_PADDING
        return (square + padding) * (size / (_GPEN_SQUARE + 2 * padding))
    if kind == "ffhq":
        return _FFHQ_512 * (size / 512)
    raise ValueError(f"template is {kind!r}; wanted 'gpen' or 'ffhq'")


def crop_transform(landmarks: ArrayLike, size: int, kind: TemplateKind = "gpen") -> Matrix:
    """The (2, 3) similarity from image pixels to the pixels of a `size` crop, fitted to `landmarks` (5, 2).

    Raises ValueError when the landmarks are not five finite points, or all one point.
    """
    points = np.asarray(landmarks, np.float32)  # as the authors' code, whose transforms this then gives to 1e-4 px
    if points.shape != (5, 2) or not np.isfinite(points).all():
        raise ValueError(f"landmarks are {points.shape} {points.tolist()}; wanted (5, 2) finite numbers")
    return fit_similarity(points, face_template(size, kind))


def crop_face(image: Tensor, matrix: Matrix, size: int) -> Tensor:
    """The (3, size, size) upright face of `image` (3, H, W), by the image-to-crop `matrix`, on its device.

    Both are float32 RGB in [0, 1].
    """
    return warp(image, invert(matrix), (size, size), limits=(0, 1))
