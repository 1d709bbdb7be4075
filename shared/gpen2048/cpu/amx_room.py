"""How much memory a level on matrix tiles takes for the few rows it works on, in elements and bytes."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from ..compiled.pages import LINE
from ..folded.walks import LARGEST_UNWALKED, ROWS_AT_ONCE, Walk, covered
from ..network import NetworkConfig

HALF, FLOAT = 2, 4  # bytes of a bfloat16, of a float32


class MissingTilesError(OSError):
    """The processor has no matrix tiles, as most have none."""


def group_size(resolution: int) -> int:
    """Rows of a level's output that are computed at once: even, and a power of two."""
    return max(2, ROWS_AT_ONCE // resolution)


def shrink_room(width: int, inputs: int, outputs: int, group: int) -> tuple[int, int, int]:
    """Line of the ring, its rows, and the float32 elements that an encoder level of `width` inputs needs."""
    line = ((width + 1) * inputs + 31) // 32 * 32
    return line, 2 * group + 2, (width + 5) * inputs + group * (width // 2) * outputs


def grow_room(width: int, channels: int, below_channels: int, group: int) -> tuple[int, int, int]:
    """Lines of the two rings of halves, and the float32 elements that a decoder level needs.

    The rings have group // 2 + 1 rows of the level below and group + 2 rows of the level.
    """
    below_line, line = (width // 2 + 2) * below_channels, (width + 2) * 2 * channels
    raised = (width + 1) * channels
    return below_line, line, (group + 4) * raised + raised + 2 * channels + group * width * channels


def shrink_bytes(config: NetworkConfig, resolution: int, *, exact: bool) -> tuple[int, int]:
    """Bytes of halves and of floats for the encoder level that gives `resolution`."""
    inputs, outputs = config.channels(2 * resolution), config.channels(resolution)
    line, ring, floats = shrink_room(2 * resolution, inputs, outputs, group_size(resolution))
    return (ring * line + 32) * HALF * (2 if exact else 1), floats * FLOAT


def grow_bytes(config: NetworkConfig, resolution: int, *, exact: bool) -> tuple[int, int]:
    """Bytes of halves and of floats for the decoder level of `resolution`."""
    group = group_size(resolution)
    below, channels = 2 * config.channels(resolution // 2), config.channels(resolution)
    below_line, line, floats = grow_room(resolution, channels, below, group)
    return ((group // 2 + 1) * below_line + (group + 2) * line) * HALF * (2 if exact else 1), floats * FLOAT


@dataclass(frozen=True)
class TileWalk(Walk):
    """See `walks.Walk`."""

    def covers(self, resolution: int) -> bool:
        return resolution > LARGEST_UNWALKED

    def group(self, resolution: int) -> int:
        return group_size(resolution)

    def room(self, config: NetworkConfig, dtype: torch.dtype) -> int:
        exact, levels = dtype == torch.float32, covered(self, config)
        rooms = [grow_bytes(config, r, exact=exact) for r in levels]
        rooms += [shrink_bytes(config, r, exact=exact) for r in levels if r < config.size]
        return max((_lines(halves) + _lines(floats) for halves, floats in rooms), default=0)

    def packed(self, config: NetworkConfig, dtype: torch.dtype) -> list[int]:
        levels, channels = covered(self, config), config.channels
        decoder = [9 * channels(r) * 2 * (channels(r // 2) + channels(r)) for r in levels]
        encoder = [3 * (-(-3 * channels(2 * r) // 32) * 32) * channels(r) for r in levels if r < config.size]
        return [elements * HALF * (2 if dtype == torch.float32 else 1) for elements in decoder + encoder]


def tileable(config: NetworkConfig) -> bool:
    """Whether a network's levels are of whole tiles: all released ones are."""
    tiled = [r for r in config.resolutions if r > LARGEST_UNWALKED]
    channels = [config.channels(r) for r in tiled]
    wide = all(c % 32 == 0 for c in channels[:-1]) and all(c % 16 == 0 for c in channels[-1:])
    return bool(tiled) and wide and (channels[-1] % 32 == 0 or config.size >= 128)


def _lines(size: int) -> int:
    return -(-size // LINE) * LINE
