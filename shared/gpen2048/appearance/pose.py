"""How far a face is turned aside, from its five landmarks."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike, NDArray

# The five landmarks of the mean face of the Basel Face Model: x to the right, y up, z towards the viewer, in units of
# about 10 cm (microsoft/Deep3DFaceReconstruction, similarity_Lm3D_all.mat, reduced to five points by its preprocess).
MEAN_FACE = np.array(
    [
        [-0.31148657, 0.29036078, 0.13377953],
        [0.30979887, 0.28972036, 0.13179526],
        [0.0032535, -0.04617932, 0.55244243],
        [-0.25216928, -0.38133916, 0.22405732],
        [0.2484662, -0.38128236, 0.22235769],
    ]
)
NO_LIMIT = 90  # degrees; no face with two eyes is turned further


def turn(landmarks: ArrayLike) -> float:
    """Degrees by which a face with `landmarks` (5, 2) in pixels, y down, is turned to either side: 0 to 90.

    Tilting the head to a shoulder does not count, nor does nodding. Taken from the affine camera that best shows the
    mean face at these landmarks; heads differ, so it is good to about ten degrees.
    """
    points = np.asarray(landmarks, np.float64) * [1, -1]
    shape = MEAN_FACE - MEAN_FACE.mean(axis=0)
    fit: NDArray[np.float64] = np.asarray(np.linalg.pinv(shape), np.float64)  # in least squares
    across, up = (fit @ (points - points.mean(axis=0))).T
    towards_viewer = np.cross(across, up)  # in the face's own coordinates
    return math.degrees(math.atan2(abs(float(towards_viewer[0])), abs(float(towards_viewer[2]))))
