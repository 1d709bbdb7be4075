"""How much memory a level takes for the few rows that `lane_kernels` works on, in float32 elements and in bytes.

The functions without types are compiled, too.
"""

# pyright: basic
from __future__ import annotations

from dataclasses import dataclass

import torch

from ..folded.walks import LARGEST_UNWALKED, ROWS_AT_ONCE, Walk, covered
from ..network import NetworkConfig
from .winograd import KINDS, TILE

FLOAT = 4  # bytes
ROWS_OF_A_THREAD = 16  # at least: some rows above and below a thread's own are computed by two
LARGEST_FRUGAL = 64  # px; up to it, weights at all points take 75 MB a convolution
TILES_AT_ONCE = 64  # their values stay in the cache, and weights are read once for all of them
STRIDED_TILES = 56  # the same of a convolution of stride 2
RAISED_AT_ONCE = 384  # as ROWS_AT_ONCE, in rows of tiles


def group_size(resolution: int) -> int:
    """Rows of a level's output that are computed at once: whole tiles, and a power of two."""
    return max(TILE, ROWS_AT_ONCE // resolution)


def raised_size(resolution: int) -> int:
    """Rows of tiles, 8 rows each, that the convolution that doubles a level gives at once."""
    return max(1, RAISED_AT_ONCE // resolution)


def apart(channels, tiles):
    """Elements from one kind to the next: not a power of two, for which caches have few places."""
    return channels * tiles + 16


def shrink_room(width, inputs, outputs, group, tiles):
    """Where sums, columns, values and products begin after the ring, and where they end, at an encoder level.

    `width` is that of its inputs. The ring has 2 group + 2 rows.
    """
    sums = (2 * group + 2) * (width + 2) * inputs
    columns = sums + (width + 5) * inputs
    values = columns + 9 * (inputs * (8 * tiles + group // 4) + 16)
    products = values + 9 * (inputs * tiles + 16)
    return sums, columns, values, products, products + 81 * (outputs * tiles + 16)


def grow_room(width, channels, below_channels, group, raising, plain_tiles, strided_tiles):
    """Where everything begins after the ring of the level below, and where it ends, at a decoder level.

    Rings of the joined and of the raised rows, sums, result, the tiles' columns, values and products. The rings have
    4 raising + 1, group + 2 and, in whole tiles, group + 8 raising + 4 rows.
    """
    joined = (4 * raising + 1) * (width // 2 + 8) * below_channels
    raised = joined + (group + 2) * (width + 2) * 2 * channels
    sums = raised + (group + 8 * raising + 8) // 8 * 8 * (width + 1) * channels
    result = sums + (width + 3) * channels
    columns = result + group * width * channels
    plain, strided = 2 * channels * plain_tiles, below_channels * strided_tiles
    values = columns + max(
        6 * (2 * channels * (4 * plain_tiles + group // 2) + 16),
        9 * (below_channels * (4 * strided_tiles + raising) + 16),
    )
    products = values + max(6 * (plain + 16), 9 * (strided + 16))
    end = products + max(36 * (channels * plain_tiles + 16), 81 * (channels * strided_tiles + 16))
    return joined, raised, sums, result, columns, values, products, end


@dataclass(frozen=True)
class LaneWalk(Walk):
    """See `walks.Walk`; `frugal` where memory is short."""

    frugal: bool

    def covers(self, resolution: int) -> bool:
        smallest = LARGEST_FRUGAL if self.frugal else LARGEST_UNWALKED
        return resolution > smallest and resolution >= ROWS_OF_A_THREAD * self.threads

    def group(self, resolution: int) -> int:
        return group_size(resolution)

    def room(self, config: NetworkConfig, dtype: torch.dtype) -> int:
        levels = covered(self, config)
        rooms = [grown(config, r)[-1] for r in levels] + [shrunk(config, r)[-1] for r in levels if r < config.size]
        return max(rooms, default=0) * FLOAT

    def packed(self, config: NetworkConfig, dtype: torch.dtype) -> list[int]:
        levels, channels = covered(self, config), config.channels
        grown = [channels(r) * 2 * (channels(r // 2) + channels(r)) for r in levels]
        shrunk = [channels(2 * r) * channels(r) for r in levels if r < config.size]
        return [KINDS**2 * elements * FLOAT for elements in grown + shrunk]


def shrunk(config: NetworkConfig, resolution: int) -> tuple[int, ...]:
    """`shrink_room` of the encoder level that gives `resolution`."""
    inputs, outputs = config.channels(2 * resolution), config.channels(resolution)
    return shrink_room(2 * resolution, inputs, outputs, group_size(resolution), STRIDED_TILES)


def grown(config: NetworkConfig, resolution: int) -> tuple[int, ...]:
    """`grow_room` of the decoder level of `resolution`."""
    channels, below = config.channels(resolution), 2 * config.channels(resolution // 2)
    return grow_room(
        resolution, channels, below, group_size(resolution), raised_size(resolution), TILES_AT_ONCE, STRIDED_TILES
    )
