"""Winograd's convolutions: 4x4 outputs of a tile from fewer products than weights times outputs.

Lavin and Gray, "Fast Algorithms for Convolutional Neural Networks", CVPR 2016. Along an axis, a tile's samples and a
filter's taps are polynomials: they are evaluated at some points (the last at infinity), multiplied there, and
interpolated. How rounding grows depends on the points.

A 3x3 convolution takes 36 products instead of 144; its error is 1.9 times that of a plain sum, where the usual points
0, ±1, ±2 give 3.7 times. One of stride 2, plain or transposed, sees every second sample through two taps, and those
between through one: 5 and 4 products along an axis instead of 8 and 4. That makes 81 instead of 144, at 1.2 times the
error.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

TILE = 4  # outputs along an axis
NEAR, FAR = 0.5**0.5, 2**0.5
THREE_TAPS = (0.0, NEAR, -NEAR, FAR, -FAR)  # and infinity: 6 points
LOW, HIGH = 0.5, 1.5
TWO_TAPS = (LOW, -LOW, HIGH, -HIGH)  # and infinity: 5 points
KINDS = 6  # of weights along an axis: at the points, and the one tap alone
Matrix = NDArray[np.float64]


def evaluation(points: Sequence[float], taps: int) -> Matrix:
    """(points + 1, taps): what each point makes of a filter, divided by what interpolation owes it."""
    values = np.vander(np.array(points), taps, increasing=True)
    owed = [np.prod([p - q for q in points if q != p]) for p in points]
    infinity = np.eye(taps)[-1:]
    return np.vstack([values / np.array(owed)[:, None], infinity])


def plain() -> Matrix:
    """(6, 3) of a filter of stride 1."""
    return evaluation(THREE_TAPS, 3)


def strided() -> Matrix:
    """(6, 3) of one of stride 2: even samples meet the outer taps, odd ones the middle one."""
    return _apart([0, 2])


def transposed() -> Matrix:
    """(6, 3) of a transposed one: a sample at 2x sees x - 1 through the last tap and x through the first."""
    return _apart([2, 0])


def _apart(outer: list[int]) -> Matrix:
    matrix = np.zeros((KINDS, 3))
    matrix[:-1, outer] = evaluation(TWO_TAPS, 2)
    matrix[-1, 1] = 1
    return matrix


def transformed(weight: Tensor, matrix: Matrix) -> Tensor:
    """(3, 3, I, O) along both axes: (36, I, O) float32."""
    kinds = torch.from_numpy(matrix).to(weight.device, torch.float32)
    return torch.einsum("yr,rcio,xc->yxio", kinds, weight.float(), kinds).flatten(0, 1)
