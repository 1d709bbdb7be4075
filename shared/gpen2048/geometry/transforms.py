"""Similarities and affine maps between pixels, as (2, 3) matrices."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

Matrix = NDArray[np.float64]


def fit_similarity(source: NDArray[np.floating[Any]], target: NDArray[np.float64]) -> Matrix:
    """The (2, 3) rotation, scale and shift that brings points `source` (N, 2) nearest to `target` in least squares.

    Umeyama's solution (PAMI 1991) written with complex numbers, which leaves out mirror images.
    """
    middle = source.mean(axis=0)
    z, w = (source - middle) @ [1, 1j], target @ [1, 1j]
    z_mean, w_mean = complex(*middle.tolist()), complex(w.mean())
    spread = float(np.sum(np.abs(z) ** 2))
    turn = complex(np.sum(np.conj(z) * (w - w_mean))) / spread if spread > 0 else 0j
    if abs(turn) == 0:
        raise ValueError(f"no similarity fits landmarks {source.tolist()}: they do not spread out like a face")
    shift = w_mean - turn * z_mean
    return np.array([[turn.real, -turn.imag, shift.real], [turn.imag, turn.real, shift.imag]])


def invert(matrix: Matrix) -> Matrix:
    """The (2, 3) inverse of a (2, 3) affine transform."""
    linear = np.linalg.inv(matrix[:, :2]).astype(np.float64)
    return np.column_stack((linear, -linear @ matrix[:, 2]))


def moved(points: NDArray[np.float64], matrix: Matrix) -> NDArray[np.float64]:
    """`points` (…, 2) where `matrix` takes them."""
    return points @ matrix[:, :2].T + matrix[:, 2]


def positions(matrix: Matrix, size: tuple[int, int], device: torch.device) -> tuple[Tensor, Tensor]:
    """`matrix` @ (p, 1) of each pixel p of an image of `size` (h, w): x and y, (h, w) float32 on `device`."""
    rows = torch.arange(size[0], device=device, dtype=torch.float32)[:, None]
    columns = torch.arange(size[1], device=device, dtype=torch.float32)
    (a, b, tx), (c, d, ty) = matrix.tolist()
    return a * columns + (b * rows + tx), c * columns + (d * rows + ty)


def enlarged(matrix: Matrix, scale: float) -> Matrix:
    """The image-to-crop `matrix` for the same image enlarged by `scale`: its pixel p is at scale·(p + 0.5) − 0.5."""
    half_pixel = 0.5 / scale - 0.5
    return np.column_stack((matrix[:, :2] / scale, matrix[:, 2] + matrix[:, :2] @ [half_pixel, half_pixel]))


def density(matrix: Matrix) -> float:
    """How many of the pixels it leads to `matrix` makes of one that it comes from, along a line."""
    return float(np.sqrt(np.abs(np.linalg.det(matrix[:, :2]))))


def shift_origin(matrix: Matrix, origin: tuple[float, float]) -> Matrix:
    """`matrix` (2, 3) for inputs counted from `origin` (x, y)."""
    shifted = matrix.copy()
    shifted[:, 2] += matrix[:, :2] @ np.asarray(origin, np.float64)
    return shifted
