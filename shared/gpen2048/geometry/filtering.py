"""Separable Lanczos filters as chains of dense blocks: matrix products, which every device does well."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ..samples import sent
from .splines import SPLINE_POLE, SPLINE_REACH

LANCZOS_LOBES = 3
# A block has as many output samples as span so many source samples, but within these limits.
BLOCK_SPAN, SMALLEST_BLOCK, LARGEST_BLOCK = 256, 8, 64


@dataclass(frozen=True)
class Band:
    """The next output samples of an axis: `weights` (samples, N) of the N source samples from `first` on."""

    first: int
    weights: NDArray[np.float64]

    @property
    def end(self) -> int:
        return self.first + self.weights.shape[1]


def bands(
    length: int, start: float, step: float, count: int, stretch: float, *, spline: bool = False, reflected: bool = False
) -> list[Band]:
    """`count` Lanczos-filtered samples of an axis of `length`, at start, start + step, …

    `stretch` ≥ 1 widens the kernel into a low-pass. With `spline` the samples are B-spline coefficients. Beyond its
    border the source is `reflected`, or else the kernel is cut there and renormalised.
    """
    block = min(max(round(BLOCK_SPAN / step), SMALLEST_BLOCK), LARGEST_BLOCK)
    found: list[Band] = []
    for first in range(0, count, block):
        positions = start + step * np.arange(first, min(first + block, count), dtype=np.float64)
        if not reflected:  # farther out the kernel, cut at the border, would hold nothing
            positions = positions.clip(-stretch / 2, length - 1 + stretch / 2)
        index, weights = _spline_weights(positions, step, stretch) if spline else _weights(positions, stretch)
        found.append(_folded(index, weights, length) if reflected else _cut(index, weights, length))
    return found


def _folded(index: NDArray[np.int64], weights: NDArray[np.float64], length: int) -> Band:
    """Weights of samples beyond the border added to those of the samples they mirror."""
    if index[0] >= 0 and index[-1] < length:
        return Band(int(index[0]), weights)
    mirrored = reflect(index, length)
    first = int(mirrored.min())
    folded = np.zeros((int(mirrored.max()) + 1 - first, len(weights)))
    np.add.at(folded, mirrored - first, weights.T)
    return Band(first, folded.T)


def _cut(index: NDArray[np.int64], weights: NDArray[np.float64], length: int) -> Band:
    """Weights of the samples within the border, renormalised."""
    inside = (index >= 0) & (index < length)
    weights = weights[:, inside]
    return Band(int(index[inside][0]), weights / weights.sum(axis=1, keepdims=True))


def filter_axes(image: Tensor, columns: Sequence[Band], rows: Sequence[Band]) -> Tensor:
    """`image` (C, H, W) filtered along both axes: (C, H', W'), of which only what the bands touch is read."""
    left, right = min(band.first for band in columns), max(band.end for band in columns)
    image = _filter_rows(image[:, :, left:right], rows)
    out = image.new_empty((*image.shape[:2], sum(len(band.weights) for band in columns)))
    done = 0
    for band, weights in zip(columns, _weights_on(columns, image)):
        count = len(weights)
        out[:, :, done : done + count] = image[:, :, band.first - left : band.end - left] @ weights.t()
        done += count
    return out


def _weights_on(bands: Sequence[Band], image: Tensor) -> tuple[Tensor, ...]:
    """The weights of all bands in `image`'s precision and on its device, brought there at once."""
    flat = np.concatenate([band.weights.ravel() for band in bands])
    moved = sent(torch.from_numpy(flat).to(image.dtype), image.device)
    parts = torch.split(moved, [band.weights.size for band in bands])
    return tuple(part.view(band.weights.shape) for band, part in zip(bands, parts))


def _filter_rows(image: Tensor, rows: Sequence[Band]) -> Tensor:
    """Filtered along the first of two axes only, and contiguous."""
    channels, _, width = image.shape
    interleaved = image.stride(0) == 1 and image.stride(2) == channels
    lines = image.permute(1, 2, 0).flatten(1) if interleaved else image  # [H(WC)] or [CHW]
    placed = zip(rows, _weights_on(rows, image))
    parts = [weights @ lines[..., band.first : band.end, :] for band, weights in placed]
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
