"""Resampling of images on their own device: Lanczos for changes of size, and a band-limited similarity warp.

Coordinates are pixels, x to the right, y down, pixel centres at integers.

A warp runs in two steps: a separable pass makes a grid, from which a cubic B-spline interpolates each output pixel.
Where the output is coarser than the source, the pass is a low-pass Lanczos filter onto a grid twice as dense as the
output: that prevents aliasing when a 2048 px crop is laid onto a 50 px face, and keeps the signal where a cubic
B-spline is exact to a few per mille. Elsewhere the grid is the source's own pixels, from which the B-spline
interpolates at least as well as Lanczos' kernel would.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ..compiled.pages import uninitialised
from ..samples import sent
from .filtering import filter_axes, inverse_spline, lanczos, reflect
from .splines import SPLINE_REACH, UNLIMITED, Limits, is_compiled, sample_spline, warp_by_spline
from .transforms import Matrix, density, shift_origin

GRID_DENSITY = 2.0  # samples of the intermediate grid per output pixel, where the output is coarser than the source
# Low-pass cut-off when shrinking, in units of the output's Nyquist frequency: high enough to give a photo back
# unblurred, low enough to leave nothing at twice that frequency (tests/unit/test_known_answers.py).
PASS_BAND = 1.35
# Output rows and columns warped at once where the grid, or what PyTorch keeps between two steps, takes memory: that of
# a strip turned by 45 degrees grows with the square of its length.
STRIP, LENGTH = 512, 2048


def lanczos_resize(image: Tensor, scale: float, size: tuple[int, int]) -> Tensor:
    """`image` (C, H, W) enlarged or shrunk by `scale` to `size` (H', W'), the same dtype and device.

    Pixel p of the input lies at scale·(p + 0.5) − 0.5 of the output. The filter is Pillow's LANCZOS, which renormalises
    at the border.
    """
    if scale == 1 and size == tuple(image.shape[-2:]):
        return image
    start, step = 0.5 / scale - 0.5, 1 / scale
    rows, columns = (lanczos(n, start, step, count, max(1.0, step)) for n, count in zip(image.shape[1:], size))
    return filter_axes(image, columns, rows)


def warp(source: Tensor, matrix: Matrix, size: tuple[int, int], *, limits: Limits = UNLIMITED) -> Tensor:
    """The (C, *size) float32 image whose pixel p shows `source` (C, H, W) at `matrix` @ (p, 1), on `source`'s device.

    `matrix` (2, 3) is a similarity from output to source pixels. Values are kept within `limits`. Beyond its border the
    source is continued by reflection, as FFHQ's alignment does it (NVlabs/ffhq-dataset, download_ffhq.py).
    """
    if in_tiles(source, matrix):
        out = uninitialised((len(source), *size), source.device)
        warp_by_spline(source, matrix, out, limits)
        return out
    if size[0] <= STRIP and size[1] <= LENGTH:
        return _warp_strip(source, matrix, size, limits)
    out = uninitialised((len(source), *size), source.device)
    for top in range(0, size[0], STRIP):
        for left in range(0, size[1], LENGTH):
            part = out[:, top : top + STRIP, left : left + LENGTH]
            shown = (part.shape[1], part.shape[2])
            part.copy_(_warp_strip(source, shift_origin(matrix, (left, top)), shown, limits))
    return out


def in_tiles(source: Tensor, matrix: Matrix) -> bool:
    """Whether `warp` reads the source's own pixels tile by tile, so that a part of its output costs only a part."""
    return density(matrix) <= PASS_BAND and is_compiled(source)


def _warp_strip(source: Tensor, matrix: Matrix, size: tuple[int, int], limits: Limits) -> Tensor:
    shrunk = density(matrix) > PASS_BAND
    step = density(matrix) / GRID_DENSITY if shrunk else 1.0
    corners = matrix @ np.array([[0, size[1] - 1, 0, size[1] - 1], [0, 0, size[0] - 1, size[0] - 1], [1, 1, 1, 1]])
    # The spline reads one sample before and two after each position, and its coefficients REACH more. Every strip's
    # grid is part of one lattice.
    low = np.floor(corners.min(axis=1) / step - 1) - SPLINE_REACH
    counts = np.ceil(corners.max(axis=1) / step + 2 - low).astype(np.int64) + 1 + SPLINE_REACH
    grid = _low_passed(source, low, counts, step) if shrunk else _mirrored(source, low, counts)
    to_grid = matrix / step
    to_grid[:, 2] -= low
    return _interpolated(grid, to_grid, size, limits)


def _low_passed(source: Tensor, low: NDArray[np.float64], counts: NDArray[np.int64], step: float) -> Tensor:
    """`source` every `step` pixels from `low` steps (x, y) on, without what would alias in the output."""
    stretch = step * GRID_DENSITY / PASS_BAND
    columns, rows = (
        lanczos(length, float(start) * step, step, int(count), stretch, reflected=True)
        for length, start, count in zip(source.shape[:0:-1], low, counts)
    )
    return filter_axes(source, columns, rows)


def _mirrored(source: Tensor, low: NDArray[np.float64], counts: NDArray[np.int64]) -> Tensor:
    """The pixels of `source` from `low` (x, y) on."""
    columns, rows = (
        sent(torch.from_numpy(reflect(int(start) + np.arange(count, dtype=np.int64), length)), source.device)
        for length, start, count in zip(source.shape[:0:-1], low, counts)
    )
    return source.index_select(1, rows).index_select(2, columns)


def _interpolated(grid: Tensor, matrix: Matrix, size: tuple[int, int], limits: Limits) -> Tensor:
    """The cubic B-spline through `grid`, of which SPLINE_REACH samples at either end serve its coefficients alone."""
    if is_compiled(grid):
        out = uninitialised((len(grid), *size), grid.device)
        warp_by_spline(grid, matrix, out, limits)
        return out
    coefficients = filter_axes(grid, *(inverse_spline(length) for length in grid.shape[:0:-1]))
    to_coefficients = matrix - np.array([[0, 0, SPLINE_REACH], [0, 0, SPLINE_REACH]])
    return sample_spline(coefficients, to_coefficients, size, limits)
