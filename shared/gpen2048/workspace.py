"""Where whole levels lie: at planned places in one block on the CPU, in the device's own allocator elsewhere.

The block is kept between calls. A fresh large allocation costs the CPU more in page faults than the pass that fills it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from .amx_room import LARGEST_UNTILED, room_bytes
from .network import SMALLEST, NetworkConfig

ALIGNMENT = 64  # bytes of a cache line


@dataclass(frozen=True)
class Schedule:
    """What is stored, and in what strips it is computed.

    `rows` bounds the rows of a level's output that are computed at once; without `keep_first` the full-size encoder
    feature is computed again where it is needed, which costs 0.1 % of the arithmetic. With `tile_threads` > 0 that many
    threads compute the larger levels on matrix tiles, each in a room of its own, without strips.
    """

    config: NetworkConfig
    batch: int
    dtype: torch.dtype
    rows: int
    keep_first: bool
    tile_threads: int = 0

    def in_strips(self, resolution: int) -> bool:
        """Levels in strips go image by image, so that temporaries do not grow with the batch."""
        return resolution > self.rows

    def feature_shape(self, resolution: int) -> tuple[int, int, int, int]:
        return self.batch, self.config.channels(resolution), resolution, resolution

    def joined_shape(self, resolution: int) -> tuple[int, int, int, int]:
        """A level's output, which is the next level's input."""
        return self.batch, 2 * self.config.channels(resolution), resolution, resolution

    def strip(self, resolution: int) -> tuple[int, int]:
        """Images and rows of a level's output that are computed at once."""
        return (1, self.rows) if self.in_strips(resolution) else (self.batch, resolution)

    def filtered_shape(self, resolution: int) -> tuple[int, int, int, int]:
        """The encoder's strip between filter and convolution, by the resolution that comes out."""
        images, rows = self.strip(resolution)
        source = 2 * resolution
        return images, self.config.channels(source), 2 * rows + 1, source + 1

    def padded_shape(self, resolution: int) -> tuple[int, int, int, int]:
        """The decoder's strip between its two convolutions."""
        images, rows = self.strip(resolution)
        return images, 2 * self.config.channels(resolution), rows + 2, resolution

    def is_tiled(self, resolution: int) -> bool:
        """Whether the level that gives `resolution` is computed on matrix tiles."""
        return self.tile_threads > 0 and resolution > LARGEST_UNTILED

    @property
    def room(self) -> int:
        """Bytes of one thread's room for the tiled levels."""
        return room_bytes(self.config, exact=self.dtype == torch.float32) if self.tile_threads else 0

    def size_of(self, *shapes: tuple[int, ...]) -> int:
        """Bytes of all these tensors, each rounded up to whole cache lines."""
        sizes = (torch.Size(shape).numel() * self.dtype.itemsize for shape in shapes)
        return sum(-(-size // ALIGNMENT) * ALIGNMENT for size in sizes)


class Block:
    """Offsets of one block of memory.

    Encoder features are stacked from its start; the decoder takes them from the top. Its level outputs, two of which
    are alive at a time, lie alternately right above the remaining features and at the end.
    """

    def __init__(self, schedule: Schedule):
        self.schedule = schedule
        self.features: dict[int, int] = {}
        self.joined: dict[int, int] = {}
        end = 0
        above: dict[int, int] = {}
        for resolution in reversed(schedule.config.resolutions):
            self.features[resolution] = end
            if resolution < schedule.config.size or schedule.keep_first:
                end += schedule.size_of(schedule.feature_shape(resolution))
            above[resolution] = end
        self._place_joined(above)

    def _place_joined(self, above: dict[int, int]) -> None:
        schedule = self.schedule
        inner = schedule.config.resolutions[:-1]  # the last level's output is the image
        sizes = {r: schedule.size_of(schedule.joined_shape(r)) for r in inner}
        pairs = [above[r] + sizes[r] + sizes.get(r // 2, 0) for r in inner]
        end = max([above[SMALLEST], *pairs])
        for distance, resolution in enumerate(reversed(inner)):
            self.joined[resolution] = above[resolution] if distance % 2 == 0 else end - sizes[resolution]
        self.scratch = end
        strips = [schedule.padded_shape(r) for r in schedule.config.resolutions[1:] if not schedule.is_tiled(r)]
        strips += [schedule.filtered_shape(r) for r in inner if not schedule.is_tiled(r)]
        rooms = schedule.tile_threads * schedule.room
        self.total = end + max([rooms, *(schedule.size_of(shape) for shape in strips)])


class Workspace:
    """Uninitialised channels_last tensors for one schedule on one device, and weights packed for it."""

    def __init__(self, schedule: Schedule, device: torch.device):
        self.schedule = schedule
        self.device = device
        self._packed: dict[int, tuple[Tensor, Tensor]] = {}
        self._block = Block(schedule) if device.type == "cpu" else None
        if self._block is not None:
            self._memory = torch.empty(self._block.total, dtype=torch.uint8)

    def feature(self, resolution: int) -> Tensor:
        """An encoder feature."""
        offset = None if self._block is None else self._block.features[resolution]
        return self._tensor(self.schedule.feature_shape(resolution), offset)

    def joined(self, resolution: int) -> Tensor:
        """A decoder level's output."""
        offset = None if self._block is None else self._block.joined[resolution]
        return self._tensor(self.schedule.joined_shape(resolution), offset)

    def scratch(self, shape: tuple[int, int, int, int]) -> Tensor:
        """A strip between two convolutions; the previous one is overwritten."""
        return self._tensor(shape, None if self._block is None else self._block.scratch)

    def room(self, thread: int) -> Tensor:
        """A thread's memory for tiled levels: bytes, from a cache line on."""
        assert self._block is not None
        first = self._block.scratch + thread * self.schedule.room
        return self._memory[first : first + self.schedule.room]

    def packed(self, weight: Tensor, pack: Callable[[Tensor, bool], Tensor]) -> Tensor:
        """What `pack` makes of a layer's `weight`; kept, if memory is not short, as long as that stays where it is."""
        kept = self._packed.get(weight.data_ptr())
        if kept is not None:
            return kept[1]
        made = pack(weight, self.schedule.dtype == torch.float32)
        if self.schedule.keep_first:
            self._packed[weight.data_ptr()] = weight, made  # holding the weight keeps its place from being another's
        return made

    def _tensor(self, shape: tuple[int, int, int, int], offset: int | None) -> Tensor:
        n, c, h, w = shape
        if offset is None:
            return torch.empty((n, h, w, c), dtype=self.schedule.dtype, device=self.device).permute(0, 3, 1, 2)
        part = self._memory[offset : offset + n * c * h * w * self.schedule.dtype.itemsize]
        return part.view(self.schedule.dtype).view(n, h, w, c).permute(0, 3, 1, 2)
