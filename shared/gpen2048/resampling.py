"""Resampling of images on their own device: Lanczos for changes of size, and a band-limited similarity warp.

Coordinates are pixels, x to the right, y down, pixel centres at integers.

A warp runs in two steps: a separable pass makes a grid, and each output pixel is interpolated there. Where the output
is coarser than the source, the pass is a low-pass Lanczos filter onto a grid twice as dense as the output: that
prevents aliasing when a 2048 px crop is laid onto a 50 px face, and keeps the signal where a cubic B-spline is exact to
a few per mille. Elsewhere the grid is the source's own pixels, from which the B-spline interpolates at least as well as
Lanczos' kernel would. Where the source is enlarged much, as the crop of a small face is, a Lanczos grid eight times as
dense costs next to nothing and is read linearly.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from .sampling import sample_linear, sample_spline

LANCZOS_LOBES = 3
GRID_DENSITY = 2.0  # samples of the intermediate grid per output pixel, where the output is coarser than the source
LINEAR_DENSITY = 8.0  # the same where the output is at least so much denser than the source, and the grid read linearly
# Low-pass cut-off when shrinking, in units of the output's Nyquist frequency: high enough to give a photo back
# unblurred, low enough to leave nothing at twice that frequency (tests/unit/test_known_answers.py).
PASS_BAND = 1.35
# The banded matrix is applied as a chain of dense blocks of so many source samples, but this many output samples.
BLOCK_SPAN, SMALLEST_BLOCK, LARGEST_BLOCK = 256, 8, 64
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
    rows, columns = (_bands(n, start, step, count, max(1.0, step)) for n, count in zip(image.shape[1:], size))
    return _filter(image, columns, rows)


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
    shrunk = pixel > PASS_BAND
    step = pixel / GRID_DENSITY if shrunk else 1 / LINEAR_DENSITY if linear else 1.0
    stretch = pixel / PASS_BAND if shrunk else 1.0
    corners = matrix @ np.array([[0, size[1] - 1, 0, size[1] - 1], [0, 0, size[0] - 1, size[0] - 1], [1, 1, 1, 1]])
    # The spline reads one grid sample before and two after each position. Every strip's grid is part of one lattice.
    low = np.floor(corners.min(axis=1) / step - 1) * step
    counts = np.ceil((corners.max(axis=1) + 2 * step - low) / step).astype(int) + 1
    bands = [
        _bands(length, float(start), step, int(count), stretch, spline=not linear, reflected=True)
        for length, start, count in zip(source.shape[:0:-1], low, counts)
    ]
    grid = _filter(source, *bands)
    to_grid = matrix / step
    to_grid[:, 2] -= low / step
    return sample_linear(grid, to_grid, size) if linear else sample_spline(grid, to_grid, size)


@dataclass(frozen=True)
class _Band:
    """The next output samples of an axis: `weights` (samples, N) of the N source samples from `first` on."""

    first: int
    weights: NDArray[np.float64]

    @property
    def end(self) -> int:
        return self.first + self.weights.shape[1]


def _bands(
    length: int, start: float, step: float, count: int, stretch: float, *, spline: bool = False, reflected: bool = False
) -> list[_Band]:
    """`count` Lanczos-filtered samples of an axis of `length`, at start, start + step, …

    `stretch` ≥ 1 widens the kernel into a low-pass. With `spline` the samples are B-spline coefficients. Beyond its
    border the source is `reflected`, or else the kernel is cut there and renormalised.
    """
    block = min(max(round(BLOCK_SPAN / step), SMALLEST_BLOCK), LARGEST_BLOCK)
    bands: list[_Band] = []
    for first in range(0, count, block):
        positions = start + step * np.arange(first, min(first + block, count), dtype=np.float64)
        index, weights = _spline_weights(positions, step, stretch) if spline else _weights(positions, stretch)
        bands.append(_folded(index, weights, length) if reflected else _cut(index, weights, length))
    return bands


def _folded(index: NDArray[np.int64], weights: NDArray[np.float64], length: int) -> _Band:
    """Weights of samples beyond the border added to those of the samples they mirror."""
    if index[0] >= 0 and index[-1] < length:
        return _Band(int(index[0]), weights)
    mirrored = reflect(index, length)
    first = int(mirrored.min())
    folded = np.zeros((int(mirrored.max()) + 1 - first, len(weights)))
    np.add.at(folded, mirrored - first, weights.T)
    return _Band(first, folded.T)


def _cut(index: NDArray[np.int64], weights: NDArray[np.float64], length: int) -> _Band:
    """Weights of the samples within the border, renormalised."""
    inside = (index >= 0) & (index < length)
    weights = weights[:, inside]
    return _Band(int(index[inside][0]), weights / weights.sum(axis=1, keepdims=True))


def _filter(image: Tensor, columns: Sequence[_Band], rows: Sequence[_Band]) -> Tensor:
    """`image` (C, H, W) filtered along both axes: (C, H', W'), of which only what the bands touch is read."""
    left, right = min(band.first for band in columns), max(band.end for band in columns)
    image = _filter_rows(image[:, :, left:right], rows)
    out = image.new_empty((*image.shape[:2], sum(len(band.weights) for band in columns)))
    done = 0
    for band in columns:
        count = len(band.weights)
        weights = torch.from_numpy(band.weights.T).to(image)
        out[:, :, done : done + count] = image[:, :, band.first - left : band.end - left] @ weights
        done += count
    return out


def _filter_rows(image: Tensor, rows: Sequence[_Band]) -> Tensor:
    """Filtered along the first of two axes only, and contiguous."""
    channels, _, width = image.shape
    interleaved = image.stride(0) == 1 and image.stride(2) == channels
    lines = image.permute(1, 2, 0).flatten(1) if interleaved else image  # [H(WC)] or [CHW]
    parts = [torch.from_numpy(band.weights).to(image) @ lines[..., band.first : band.end, :] for band in rows]
    filtered = torch.cat(parts, dim=-2)
    return filtered.view(-1, width, channels).permute(2, 0, 1).contiguous() if interleaved else filtered


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
