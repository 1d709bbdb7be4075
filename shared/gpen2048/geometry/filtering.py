"""Separable filters whose taps change from sample to sample: by compiled loops on the CPU, else by matrix products."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ..compiled.pages import uninitialised
from ..compiled.threads import in_rows
from ..compiled.views import as_it_lies
from ..samples import sent
from .splines import SPLINE_POLE, SPLINE_REACH, compiled_kernels

LANCZOS_LOBES = 3
# For matrix products: a block has as many output samples as span so many source samples, but within these limits.
BLOCK_SPAN, SMALLEST_BLOCK, LARGEST_BLOCK = 256, 8, 64


@dataclass(frozen=True)
class Taps:
    """What makes samples n of an axis: the source samples from `first[n]` on, times `weights[n]`."""

    first: NDArray[np.int64]
    weights: NDArray[np.float64]

    @property
    def seen(self) -> tuple[int, int]:
        """The first source sample, and the one after the last."""
        return int(self.first.min()), int(self.first.max()) + self.weights.shape[1]


def lanczos(length: int, start: float, step: float, count: int, stretch: float, *, reflected: bool = False) -> Taps:
    """Those of `count` Lanczos-filtered samples of an axis of `length`, at start, start + step, …

    `stretch` ≥ 1 widens the kernel into a low-pass. Beyond its border the source is `reflected`, or else the kernel is
    cut there and renormalised.
    """
    positions = start + step * np.arange(count, dtype=np.float64)
    if not reflected:  # farther out the kernel, cut at the border, would hold nothing
        positions = positions.clip(-stretch / 2, length - 1 + stretch / 2)
    reach = LANCZOS_LOBES * stretch
    index = np.ceil(positions - reach).astype(np.int64)[:, None] + np.arange(math.floor(2 * reach) + 1)
    distance = (positions[:, None] - index) / stretch
    weights = np.where(np.abs(distance) < LANCZOS_LOBES, np.sinc(distance) * np.sinc(distance / LANCZOS_LOBES), 0.0)
    if not reflected:
        weights = np.where((index >= 0) & (index < length), weights, 0.0)
    return _inside(index, weights / weights.sum(axis=1, keepdims=True), length)


def inverse_spline(count: int) -> Taps:
    """Those of the coefficients of the B-spline through `count` samples, but for SPLINE_REACH at either end."""
    taps = math.sqrt(3) * SPLINE_POLE ** np.abs(np.arange(-SPLINE_REACH, SPLINE_REACH + 1))
    inner = count - 2 * SPLINE_REACH
    return Taps(np.arange(inner), np.broadcast_to(taps / taps.sum(), (inner, len(taps))))


def reflect(index: NDArray[np.int64], length: int) -> NDArray[np.int64]:
    """`index` folded into 0 … `length` − 1 by reflection about the outer edges of the border pixels."""
    folded = index % (2 * length)
    return np.minimum(folded, 2 * length - 1 - folded)


def _inside(index: NDArray[np.int64], weights: NDArray[np.float64], length: int) -> Taps:
    """Weights (N, K) of neighbours `index`, those beyond the border added to what they mirror."""
    mirrored = reflect(index, length)
    count = min(index.shape[1], length)
    first = np.minimum(mirrored.min(axis=1), length - count)
    inner = (index[:, 0] == first) & (index[:, -1] < length)
    placed = np.zeros((len(index), count))
    placed[inner] = weights[inner, :count]
    outer = np.flatnonzero(~inner)
    np.add.at(placed, (outer[:, None], (mirrored - first[:, None])[outer]), weights[outer])
    return Taps(first, placed)


def filter_axes(image: Tensor, columns: Taps, rows: Taps) -> Tensor:
    """`image` (C, H, W) filtered along both axes: (C, H', W'), of which only what the taps touch is read.

    Gradients are not kept.
    """
    seen = columns.seen
    columns = Taps(columns.first - seen[0], columns.weights)
    kernels = compiled_kernels() if image.device.type == "cpu" and image.dtype == torch.float32 else None
    if kernels is None:
        return _filter_columns(_filter_rows(image[:, :, slice(*seen)], rows), columns)
    source = as_it_lies(image).numpy(), image.stride()
    out = uninitialised((len(image), len(rows.first), len(columns.first)), image.device)
    groups = len(image) * -(-len(rows.first) // kernels.GROUP)
    in_rows(groups, kernels.filter_groups, *source, seen, *_floats(rows), *_floats(columns), out.numpy())
    return out


def _floats(taps: Taps) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    return taps.first, np.ascontiguousarray(taps.weights, np.float32)


def _filter_rows(image: Tensor, rows: Taps) -> Tensor:
    """Filtered along the first of two axes only, and contiguous."""
    channels, _, width = image.shape
    interleaved = image.stride(0) == 1 and image.stride(2) == channels
    lines = image.permute(1, 2, 0).flatten(1) if interleaved else image  # [H(WC)] or [CHW]
    parts = [weights @ lines[..., first : first + weights.shape[1], :] for first, weights in _blocks(rows, image)]
    filtered = torch.cat(parts, dim=-2)
    return filtered.view(-1, width, channels).permute(2, 0, 1).contiguous() if interleaved else filtered


def _filter_columns(image: Tensor, columns: Taps) -> Tensor:
    out = image.new_empty((*image.shape[:2], len(columns.first)))
    done = 0
    for first, weights in _blocks(columns, image):
        count, seen = weights.shape
        out[:, :, done : done + count] = image[:, :, first : first + seen] @ weights.t()
        done += count
    return out


def _blocks(taps: Taps, image: Tensor) -> Iterator[tuple[int, Tensor]]:
    """Dense (samples, N) weights of N source samples from a first one on, block by block.

    In `image`'s precision and on its device, brought there at once.
    """
    first, weights = taps.first, taps.weights
    count, step = len(first), max(1.0, (first[-1] - first[0]) / len(first))
    size = min(max(round(BLOCK_SPAN / step), SMALLEST_BLOCK), LARGEST_BLOCK)
    found = [_block(first[n : n + size], weights[n : n + size]) for n in range(0, count, size)]
    flat = torch.from_numpy(np.concatenate([block.ravel() for block in found])).to(image.dtype)
    parts = torch.split(sent(flat, image.device), [block.size for block in found])
    for n, block, part in zip(range(0, count, size), found, parts):
        yield int(first[n : n + size].min()), part.view(block.shape)


def _block(first: NDArray[np.int64], weights: NDArray[np.float64]) -> NDArray[np.float64]:
    start, taps = first.min(), weights.shape[1]
    dense = np.zeros((len(first), int(first.max() - start) + taps))
    places: NDArray[np.int64] = (first - start)[:, None] + np.arange(taps, dtype=np.int64)
    np.put_along_axis(dense, places, weights, axis=1)
    return dense
