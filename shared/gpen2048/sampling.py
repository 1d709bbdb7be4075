"""Reading a grid at the positions of a similarity: by compiled loops on the CPU, else by PyTorch's grid_sample."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable
from functools import cache
from types import ModuleType

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from .numba_passes import in_rows

logger = logging.getLogger(__name__)
SPLINE_POLE = math.sqrt(3) - 2  # of the cubic B-spline's inverse filter (Unser, "Splines: a perfect fit", 1999)
SPLINE_REACH = 12  # samples: |pole|^12 < 2e-7
Matrix = NDArray[np.float64]
Index = NDArray[np.int64]
Kernel = Callable[..., None]


def sample_linear(grid: Tensor, matrix: Matrix, size: tuple[int, int]) -> Tensor:
    """`grid` (C, H, W) float32 read linearly at `matrix` @ (p, 1) of each output pixel p: (C, *size)."""
    kernels = compiled_kernels() if _suits(grid, 2) else None
    if kernels is not None:
        return _by_kernel(kernels.read_linear, grid, matrix, size)
    x, y = _positions(matrix, size, grid.device)
    return _read(grid, x * _unit(grid.shape[2]) - 1, y * _unit(grid.shape[1]) - 1)


def sample_spline(grid: Tensor, matrix: Matrix, size: tuple[int, int]) -> Tensor:
    """Cubic B-spline of the coefficients `grid` (C, H, W) float32 at `matrix` @ (p, 1) of each pixel p: (C, *size).

    A position needs one sample of the grid before it and two behind.
    """
    kernels = compiled_kernels() if _suits(grid, 4) else None
    if kernels is not None:
        return _by_kernel(kernels.read_spline, grid, matrix, size)
    return _spline_by_reads(grid, matrix, size)


def spline_coefficients(image: Tensor, rows: Index, columns: Index) -> Tensor | None:
    """The B-spline's coefficients (C, h, w) for the samples of `image` (C, H, W) at `rows` (h,) and `columns` (w,).

    Those within SPLINE_REACH of the ends are not exact. None where no compiled loop does it.
    """
    kernels = compiled_kernels() if _suits(image, 1) else None
    if kernels is None:
        return None
    grid = image.new_empty((len(rows), len(columns), image.shape[0]))
    pixels = image.permute(1, 2, 0).numpy()
    in_rows(len(rows), kernels.prefilter_rows, pixels, rows, columns, grid.numpy())
    lines = grid.flatten(1)
    in_rows(lines.shape[1], kernels.prefilter_columns, lines.numpy())
    return grid.permute(2, 0, 1)


def is_compiled(image: Tensor) -> bool:
    """Whether compiled loops read grids made from `image`."""
    return _suits(image, 1) and compiled_kernels() is not None


def _suits(grid: Tensor, taps: int) -> bool:
    return grid.device.type == "cpu" and grid.dtype == torch.float32 and min(grid.shape[1:]) >= taps


def _by_kernel(kernel: Kernel, grid: Tensor, matrix: Matrix, size: tuple[int, int]) -> Tensor:
    out = grid.new_empty((grid.shape[0], *size))
    pixels: NDArray[np.float32] = grid.permute(1, 2, 0).contiguous().numpy()
    shape = (grid.shape[1], grid.shape[2], grid.shape[0])
    in_rows(size[0], kernel, pixels.ravel(), shape, np.ascontiguousarray(matrix), out.numpy())
    return out


@cache
def compiled_kernels() -> ModuleType | None:
    """`sampling_kernels`, if they give PyTorch's results on a trial; says in the log, once, why not."""
    try:
        from . import sampling_kernels as kernels

        _prove(kernels.read_linear, kernels.read_spline)
        return kernels
    except Exception as error:  # whatever a compiler raises, PyTorch can do the work
        logger.info("GPEN resamples by plain PyTorch: %s: %s", type(error).__name__, error)
        return None


def _prove(linear: Kernel, spline: Kernel) -> None:
    """Compiles the kernels by using them once; raises ArithmeticError if they differ from PyTorch's reads."""
    grid = torch.sin(torch.arange(3 * 9 * 10, dtype=torch.float32) * 0.7).view(3, 9, 10)
    matrix, size = np.array([[0.7, 0.3, 1.2], [-0.3, 0.7, 3.1]]), (6, 7)
    x, y = _positions(matrix, size, grid.device)
    for kernel, wanted in (
        (linear, _read(grid, x * _unit(10) - 1, y * _unit(9) - 1)),
        (spline, _spline_by_reads(grid, matrix, size)),
    ):
        error = float((_by_kernel(kernel, grid, matrix, size) - wanted).abs().max())
        if not error < 1e-4:
            raise ArithmeticError(f"{kernel} differs from PyTorch's by {error:.3g}")


def _positions(matrix: Matrix, size: tuple[int, int], device: torch.device) -> tuple[Tensor, Tensor]:
    """`matrix` @ (p, 1) of each pixel p of an image of `size`: x and y, each broadcastable to (*size)."""
    rows = torch.arange(size[0], device=device, dtype=torch.float32)[:, None]
    columns = torch.arange(size[1], device=device, dtype=torch.float32)
    (a, b, tx), (c, d, ty) = matrix.tolist()
    return a * columns + (b * rows + tx), c * columns + (d * rows + ty)


def _read(grid: Tensor, x: Tensor, y: Tensor) -> Tensor:
    """Linear interpolation of `grid` (C, H, W) at `x`, `y` (h, w), in grid_sample's [-1, 1]."""
    at = torch.stack((x, y), dim=-1)[None]
    return F.grid_sample(grid[None], at, mode="bilinear", padding_mode="border", align_corners=True)[0]


def _unit(length: int) -> float:
    """One pixel in grid_sample's coordinates, which run from -1 to 1 over `length` pixel centres."""
    return 2 / max(length - 1, 1)


def _spline_by_reads(grid: Tensor, matrix: Matrix, size: tuple[int, int]) -> Tensor:
    """Sixteen taps as four bilinear reads: two neighbouring weights of one sign are one linear interpolation.

    Sigg and Hadwiger, GPU Gems 2, chapter 20.
    """
    x, y = _positions(matrix, size, grid.device)
    x_reads, y_reads = _linear_reads(x, grid.shape[2]), _linear_reads(y, grid.shape[1])
    out = grid.new_zeros((grid.shape[0], *size))
    for y, y_weight in y_reads:
        for x, x_weight in x_reads:
            out.addcmul_(_read(grid, x, y), x_weight * y_weight)
    return out


def _linear_reads(position: Tensor, length: int) -> list[tuple[Tensor, Tensor]]:
    """Places, in grid_sample's [-1, 1], and weights of two linear reads for the four B-spline taps about `position`."""
    floor = position.floor()
    t = position - floor
    w0, w3 = (1 - t) ** 3 / 6, t**3 / 6
    right = w3 + (1 + 3 * t + 3 * t**2 - 3 * t**3) / 6
    left = 1 - right
    places = ((floor - w0 / left, left), (floor + 1 + w3 / right, right))
    return [(place * _unit(length) - 1, weight) for place, weight in places]
