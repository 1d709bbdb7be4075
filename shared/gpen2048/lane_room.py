"""How much memory a level takes for the few rows that `lane_kernels` works on, in float32 elements and in bytes.

The functions without types are compiled, too.
"""

# pyright: basic
from __future__ import annotations

from dataclasses import dataclass

import torch

from .network import NetworkConfig
from .walks import LARGEST_UNWALKED, ROWS_AT_ONCE, Walk, covered
from .winograd import POINTS, TILE

FLOAT = 4  # bytes
ROWS_OF_A_THREAD = 16  # at least: some rows above and below a thread's own are computed by two
LARGEST_FRUGAL = 64  # px; up to it, weights at all points take 75 MB a level
TILES_AT_ONCE = 64  # their values stay in the cache, and weights are read once for all of them
SEGMENT = 8  # tiles whose columns wait between two steps in the innermost cache


def group_size(resolution: int) -> int:
    """Rows of a level's output that are computed at once: whole tiles, and a power of two."""
    return max(TILE, ROWS_AT_ONCE // resolution)


def apart(channels, tiles):
    """Elements from one pair of points to the next: not a power of two, for which caches have few places."""
    return channels * tiles + 16


def shrink_room(width, inputs, outputs, group):
    """Where the lines and the result begin after the ring, and where they end, at an encoder level of `width` inputs.

    The ring has 2 group + 2 rows, each of its even pixels and then its odd ones.
    """
    lines = (2 * group + 2) * (width + 2) * inputs
    result = lines + (width + 5) * inputs
    return lines, result, result + group * (width // 2) * outputs


def grow_room(width, channels, below_channels, group, tiles):
    """Where everything begins after the ring of the level below, and where it ends, at a decoder level.

    Rings of the joined and of the raised rows, sums, result, the tiles' values, products and columns. The rings have
    group / 2 + 1, group + 2 and group + 4 rows.
    """
    joined = (group // 2 + 1) * (width // 2 + 2) * below_channels
    raised = joined + (group + 2) * (width + 2) * 2 * channels
    sums = raised + (group + 4) * (width + 1) * channels
    result = sums + (width + 3) * channels
    values = result + group * width * channels
    products = values + POINTS * POINTS * (2 * channels * tiles + 16)  # as `apart` says
    columns = products + POINTS * POINTS * (channels * tiles + 16)
    return joined, raised, sums, result, values, products, columns, columns + POINTS * (TILE * SEGMENT + 2) * 16


@dataclass(frozen=True)
class LaneWalk(Walk):
    """See `walks.Walk`; `frugal` where memory is short."""

    frugal: bool

    def covers(self, resolution: int) -> bool:
        smallest = LARGEST_FRUGAL if self.frugal else LARGEST_UNWALKED
        return resolution > smallest and resolution >= ROWS_OF_A_THREAD * self.threads

    def room(self, config: NetworkConfig, dtype: torch.dtype) -> int:
        levels = covered(self, config)
        rooms = [grown(config, r)[-1] for r in levels] + [shrunk(config, r)[-1] for r in levels if r < config.size]
        return max(rooms, default=0) * FLOAT

    def packed(self, config: NetworkConfig, dtype: torch.dtype) -> list[int]:
        levels, channels = covered(self, config), config.channels
        grown = [channels(r) * (18 * channels(r // 2) + 2 * POINTS**2 * channels(r)) for r in levels]
        shrunk = [9 * channels(2 * r) * channels(r) for r in levels if r < config.size]
        return [elements * FLOAT for elements in grown + shrunk]


def shrunk(config: NetworkConfig, resolution: int) -> tuple[int, ...]:
    """`shrink_room` of the encoder level that gives `resolution`."""
    inputs, outputs = config.channels(2 * resolution), config.channels(resolution)
    return shrink_room(2 * resolution, inputs, outputs, group_size(resolution))


def grown(config: NetworkConfig, resolution: int) -> tuple[int, ...]:
    """`grow_room` of the decoder level of `resolution`."""
    channels, below = config.channels(resolution), 2 * config.channels(resolution // 2)
    return grow_room(resolution, channels, below, group_size(resolution), TILES_AT_ONCE)
