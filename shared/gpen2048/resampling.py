"""Resampling of images on their own device: Lanczos for changes of size, and a band-limited similarity warp.

Coordinates are pixels, x to the right, y down, pixel centres at integers.

A warp runs in two steps. First a separable Lanczos pass brings the source to a grid about twice as dense as the coarser
of source and output, low-pass filtered when the output is coarser; then each output pixel is interpolated there with a
cubic B-spline. The dense grid keeps the signal in the range of frequencies where the spline is exact to a few per
mille, and the low-pass is what prevents aliasing when a 2048 px crop is laid onto a 50 px face. Where the source is
enlarged much, as the crop of a small face is, a grid eight times as dense costs next to nothing and is read linearly.
"""

from __future__ import annotations

import math

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

LANCZOS_LOBES = 3
GRID_DENSITY = 2.0  # samples of the intermediate grid per pixel of the coarser of source and output
LINEAR_DENSITY = 8.0  # the same where the output is at least so much denser than the source, and the grid read linearly
# Low-pass cut-off when shrinking, in units of the output's Nyquist frequency: high enough to give a photo back
# unblurred, low enough to leave nothing at twice that frequency (tests/unit/test_known_answers.py).
PASS_BAND = 1.35
BLOCK = 64  # output samples per matrix product: the banded matrix is applied as a chain of dense blocks
STRIP = 512  # output rows warped at once, which bounds the intermediate grid's memory
SPLINE_POLE = math.sqrt(3) - 2  # of the cubic B-spline's inverse filter (Unser, "Splines: a perfect fit", 1999)
SPLINE_REACH = 12  # taps each side: |pole|^12 < 2e-7


def lanczos_resize(image: Tensor, scale: float, size: tuple[int, int]) -> Tensor:
    """`image` (C, H, W) enlarged or shrunk by `scale` to `size` (H', W'), the same dtype and device.

    Pixel p of the input lies at scale·(p + 0.5) − 0.5 of the output. The filter is Pillow's LANCZOS, which renormalises
    at the border.
    """
    if scale == 1 and size == tuple(image.shape[-2:]):
        return image
    start, step = 0.5 / scale - 0.5, 1 / scale
    for axis, count in ((-2, size[0]), (-1, size[1])):
        image = _resample_axis(image, axis, start, step, count, stretch=max(1.0, step))
    return image


def warp(source: Tensor, matrix: NDArray[np.float64], size: tuple[int, int]) -> Tensor:
    """The (C, *size) float32 image whose pixel p shows `source` (C, H, W) at `matrix` @ (p, 1), on `source`'s device.

    `matrix` (2, 3) is a similarity from output to source pixels. Beyond its border the source is continued by
    reflection, as FFHQ's alignment does it (NVlabs/ffhq-dataset, download_ffhq.py).
    """
    strips = [
        _warp_strip(source, shift_origin(matrix, (0, top)), (min(STRIP, size[0] - top), size[1]))
        for top in range(0, size[0], STRIP)
    ]
    return strips[0] if len(strips) == 1 else torch.cat(strips, dim=1)


def shift_origin(matrix: NDArray[np.float64], origin: tuple[int, int]) -> NDArray[np.float64]:
    """`matrix` (2, 3) for inputs counted from `origin` (x, y)."""
    shifted = matrix.copy()
    shifted[:, 2] += matrix[:, :2] @ np.asarray(origin, np.float64)
    return shifted


def _warp_strip(source: Tensor, matrix: NDArray[np.float64], size: tuple[int, int]) -> Tensor:
    pixel = math.sqrt(abs(np.linalg.det(matrix[:, :2])))  # source pixels per output pixel
    linear = pixel * LINEAR_DENSITY <= 1
    step = max(1.0, pixel) / (LINEAR_DENSITY if linear else GRID_DENSITY)
    stretch = max(1.0, pixel / PASS_BAND)
    corners = matrix @ np.array([[0, size[1] - 1, 0, size[1] - 1], [0, 0, size[0] - 1, size[0] - 1], [1, 1, 1, 1]])
    # The spline reads one grid sample before and two after each position. Every strip's grid is part of one lattice.
    low = np.floor(corners.min(axis=1) / step - 1) * step
    counts = np.ceil((corners.max(axis=1) + 2 * step - low) / step).astype(int) + 1
    grid = source
    for axis, start, count in ((-2, low[1], counts[1]), (-1, low[0], counts[0])):
        grid = _resample_axis(grid, axis, float(start), step, int(count), stretch, spline=not linear, reflected=True)
    to_grid = matrix / step
    to_grid[:, 2] -= low / step
    return _linear_sample(grid, to_grid, size) if linear else _spline_sample(grid, to_grid, size)


def _resample_axis(
    x: Tensor,
    axis: int,
    start: float,
    step: float,
    count: int,
    stretch: float,
    *,
    spline: bool = False,
    reflected: bool = False,
) -> Tensor:
    """`count` Lanczos-filtered samples of `x` (C, H, W) along `axis`, at start, start + step, …

    `stretch` ≥ 1 widens the kernel into a low-pass. With `spline` the samples are B-spline coefficients. Beyond its
    border the source is `reflected`, or else the kernel is cut there and renormalised.
    """
    length = x.shape[axis]
    pieces: list[Tensor] = []
    for first in range(0, count, BLOCK):
        positions = start + step * np.arange(first, min(first + BLOCK, count), dtype=np.float64)
        index, weights = _spline_weights(positions, step, stretch) if spline else _weights(positions, stretch)
        if reflected:
            chosen = reflect(index, length)
        else:
            inside = (index >= 0) & (index < length)
            chosen, weights = index[inside], weights[:, inside]
            weights /= weights.sum(axis=1, keepdims=True)
        part = x.index_select(axis, torch.from_numpy(chosen).to(x.device))
        matrix = torch.from_numpy(weights).to(x)
        pieces.append(matrix @ part if axis == -2 else part @ matrix.T)
    return torch.cat(pieces, dim=axis)


def _weights(positions: NDArray[np.float64], stretch: float) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Source indices that `positions` touch, and the (positions, indices) Lanczos weights, each row summing to one."""
    reach = LANCZOS_LOBES * stretch
    first, last = math.ceil(positions[0] - reach), math.floor(positions[-1] + reach)
    index = np.arange(first, last + 1, dtype=np.int64)
    distance = (positions[:, None] - index) / stretch
    weights = np.where(np.abs(distance) < LANCZOS_LOBES, np.sinc(distance) * np.sinc(distance / LANCZOS_LOBES), 0.0)
    return index, weights / weights.sum(axis=1, keepdims=True)


def _spline_weights(
    positions: NDArray[np.float64], step: float, stretch: float
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """As `_weights`, followed by the inverse of the B-spline's own smoothing over neighbouring samples."""
    taps = np.arange(-SPLINE_REACH, SPLINE_REACH + 1)
    inverse = math.sqrt(3) * SPLINE_POLE ** np.abs(taps)
    inverse /= inverse.sum()
    wide = positions[0] + step * np.arange(-SPLINE_REACH, len(positions) + SPLINE_REACH)
    index, weights = _weights(wide, stretch)
    filtered = sum(tap * weights[k : k + len(positions)] for k, tap in enumerate(inverse))
    return index, np.asarray(filtered)


def reflect(index: NDArray[np.int64], length: int) -> NDArray[np.int64]:
    """`index` folded into 0 … `length` − 1 by reflection about the outer edges of the border pixels."""
    folded = index % (2 * length)
    return np.minimum(folded, 2 * length - 1 - folded)


def _positions(matrix: NDArray[np.float64], size: tuple[int, int], device: torch.device) -> tuple[Tensor, Tensor]:
    """`matrix` @ (p, 1) of each pixel p of an image of `size`: x and y, each broadcastable to (*size)."""
    rows = torch.arange(size[0], device=device, dtype=torch.float32)[:, None]
    columns = torch.arange(size[1], device=device, dtype=torch.float32)
    (a, b, tx), (c, d, ty) = matrix.tolist()
    return a * columns + (b * rows + tx), c * columns + (d * rows + ty)


def _linear_sample(grid: Tensor, matrix: NDArray[np.float64], size: tuple[int, int]) -> Tensor:
    """`grid` (C, H, W) read linearly at `matrix` @ (p, 1) of each output pixel p: (C, *size)."""
    x, y = _positions(matrix, size, grid.device)
    return _read(grid, x * _unit(grid.shape[2]) - 1, y * _unit(grid.shape[1]) - 1)


def _read(grid: Tensor, x: Tensor, y: Tensor) -> Tensor:
    """Linear interpolation of `grid` (C, H, W) at `x`, `y` (h, w), in grid_sample's [-1, 1]."""
    at = torch.stack((x, y), dim=-1)[None]
    return F.grid_sample(grid[None], at, mode="bilinear", padding_mode="border", align_corners=True)[0]


def _unit(length: int) -> float:
    """One pixel in grid_sample's coordinates, which run from -1 to 1 over `length` pixel centres."""
    return 2 / max(length - 1, 1)


def _spline_sample(grid: Tensor, matrix: NDArray[np.float64], size: tuple[int, int]) -> Tensor:
    """Cubic B-spline with coefficients `grid` (C, H, W) at `matrix` @ (p, 1) of each output pixel p: (C, *size).

    Sixteen taps as four bilinear reads: two neighbouring weights of one sign are one linear interpolation
    (Sigg and Hadwiger, GPU Gems 2, chapter 20).
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
