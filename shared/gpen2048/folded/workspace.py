"""Where whole levels lie: at planned places in one block on the CPU, in the device's own allocator elsewhere.

The block is kept between calls. A fresh large allocation costs the CPU more in page faults than the pass that fills it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from ..compiled.pages import LINE, aligned
from ..network import SMALLEST, NetworkConfig
from .walks import Walk
from .window_weights import CHANNELS


@dataclass(frozen=True)
class Schedule:
    """What is stored, and in what strips it is computed.

    `rows` bounds the rows of a level's output that are computed at once; without `keep_first` the full-size encoder
    feature is computed again where it is needed, which costs 0.1 % of the arithmetic. Levels that `walk` covers are
    computed without strips; without `keep_packed` their weights are packed anew for each. Where levels are `fused`,
    those of few channels keep one strip.
    """

    config: NetworkConfig
    batch: int
    dtype: torch.dtype
    rows: int
    keep_first: bool
    walk: Walk | None = None
    fused: bool = False
    keep_packed: bool = True

    def in_strips(self, resolution: int) -> bool:
        """Levels in strips go image by image, so that temporaries do not grow with the batch."""
        return resolution > self.rows

    def feature_shape(self, resolution: int) -> tuple[int, int, int, int]:
        return self.batch, self.config.channels(resolution), resolution, resolution

    def output_shape(self, resolution: int) -> tuple[int, int, int, int]:
        """What a decoder level leaves to the next one."""
        halves = 1 if self.is_halved(resolution) else 2
        return self.batch, halves * self.config.channels(resolution), resolution, resolution

    def is_halved(self, resolution: int) -> bool:
        """Whether a decoder level leaves the first half of its output; the next walk makes the other of its feature."""
        return self.is_walked(resolution) and 2 * resolution <= self.config.size

    def strip(self, resolution: int) -> tuple[int, int]:
        """Images and rows of a level's output that are computed at once."""
        return (1, self.rows) if self.in_strips(resolution) else (self.batch, resolution)

    def filtered_shape(self, resolution: int) -> tuple[int, int, int, int]:
        """The encoder's strip between filter and convolution, by the resolution that comes out."""
        images, rows = self.strip(resolution)
        source = 2 * resolution
        return images, self.config.channels(source), 2 * rows + 1, source + 1

    def joined_shape(self, resolution: int) -> tuple[int, int, int, int]:
        """The decoder's level between its two convolutions, or a strip with a row on either side."""
        images, rows = self.strip(resolution)
        margin = 2 if self.in_strips(resolution) else 0
        return images, 2 * self.config.channels(resolution), rows + margin, resolution

    def is_walked(self, resolution: int) -> bool:
        """Whether the level that gives `resolution` is computed in one walk."""
        return self.walk is not None and self.walk.covers(resolution)

    def is_fused(self, resolution: int) -> bool:
        """Whether the level that gives `resolution`, or halves it, is fused."""
        return self.fused and self.config.channels(resolution) in CHANNELS

    @property
    def ring(self) -> tuple[int, int]:
        """Rows of the full-size encoder feature that a walk computes again, and bytes for them."""
        if self.walk is None or self.keep_first or not self.is_walked(self.config.size):
            return 0, 0
        rows = self.walk.group(self.config.size) + 2
        return rows, self.size_of((rows, self.config.channels(self.config.size), self.config.size))

    @property
    def room(self) -> int:
        """Bytes of one thread's room for the walked levels, in whole cache lines: the ring, then the walk's own."""
        return 0 if self.walk is None else self.ring[1] + _in_lines(self.walk.room(self.config, self.dtype))

    def size_of(self, *shapes: tuple[int, ...]) -> int:
        """Bytes of all these tensors, each rounded up to whole cache lines."""
        sizes = (torch.Size(shape).numel() * self.dtype.itemsize for shape in shapes)
        return sum(_in_lines(size) for size in sizes)


def _in_lines(size: int) -> int:
    """Bytes in whole cache lines."""
    return -(-size // LINE) * LINE


class Block:
    """Offsets of one block of memory.

    Encoder features are stacked from its start; the decoder takes them from the top. Its levels' outputs, two of which
    are alive at a time, lie alternately right above the remaining features and at the end.
    """

    def __init__(self, schedule: Schedule):
        self.schedule = schedule
        self.features: dict[int, int] = {}
        self.outputs: dict[int, int] = {}
        end = 0
        above: dict[int, int] = {}
        for resolution in reversed(schedule.config.resolutions):
            self.features[resolution] = end
            if resolution < schedule.config.size or schedule.keep_first:
                end += schedule.size_of(schedule.feature_shape(resolution))
            above[resolution] = end
        for resolution in reversed(schedule.config.resolutions[1:]):
            if schedule.is_halved(resolution // 2):
                above[resolution] = above[resolution // 2]
        self._place_outputs(above)

    def _place_outputs(self, above: dict[int, int]) -> None:
        """`above` says where the features end that a level needs."""
        schedule = self.schedule
        inner = schedule.config.resolutions[:-1]  # the last level's output is the image
        sizes = {r: schedule.size_of(schedule.output_shape(r)) for r in inner}
        pairs = [above[r] + sizes[r] + sizes.get(r // 2, 0) for r in inner]
        end = max([above[SMALLEST], *pairs])
        for distance, resolution in enumerate(reversed(inner)):
            self.outputs[resolution] = above[resolution] if distance % 2 == 0 else end - sizes[resolution]
        self.scratch = end
        strips = [schedule.joined_shape(r) for r in schedule.config.resolutions[1:] if not schedule.is_walked(r)]
        strips += [schedule.filtered_shape(r) for r in inner if not schedule.is_walked(r)]
        rooms = 0 if schedule.walk is None else schedule.walk.threads * schedule.room
        self.total = end + max([rooms, *(schedule.size_of(shape) for shape in strips)])


class Workspace:
    """Uninitialised channels_last tensors for one schedule on one device, and weights packed for it."""

    def __init__(self, schedule: Schedule, device: torch.device):
        self.schedule = schedule
        self.device = device
        self._packed: dict[int, tuple[Tensor, int, Tensor]] = {}
        self._block = Block(schedule) if device.type == "cpu" else None
        if self._block is not None:
            self._memory = aligned(self._block.total)

    def feature(self, resolution: int) -> Tensor:
        """An encoder feature."""
        offset = None if self._block is None else self._block.features[resolution]
        return self._tensor(self.schedule.feature_shape(resolution), offset)

    def output(self, resolution: int) -> Tensor | None:
        """What a decoder level leaves to the next one, if there is one."""
        if resolution == self.schedule.config.size:
            return None
        offset = None if self._block is None else self._block.outputs[resolution]
        return self._tensor(self.schedule.output_shape(resolution), offset)

    def scratch(self, shape: tuple[int, int, int, int]) -> Tensor:
        """A strip between two convolutions; the previous one is overwritten."""
        return self._tensor(shape, None if self._block is None else self._block.scratch)

    def room(self, thread: int) -> Tensor:
        """A thread's memory for walked levels: bytes, from a cache line on."""
        assert self._block is not None
        first = self._block.scratch + thread * self.schedule.room
        return self._memory[first : first + self.schedule.room]

    def packed(self, weight: Tensor, pack: Callable[[Tensor], Tensor]) -> Tensor:
        """What `pack` makes of a layer's `weight`; kept, if memory is not short, until that is moved or written to.

        What is written through `weight.data` is not seen: PyTorch keeps no count of it.
        """
        version = -1 if weight.is_inference() else weight._version
        known, seen, made = self._packed.get(weight.data_ptr(), (None, 0, weight))
        if known is not None and seen == version:
            return made
        made = pack(weight)
        if self.schedule.keep_packed and not weight.is_inference():  # in which nobody could tell that it was written to
            # What holds the memory keeps its place from becoming another weight's; a parameter would not, once moved.
            self._packed[weight.data_ptr()] = weight.detach(), version, made
        return made

    def _tensor(self, shape: tuple[int, int, int, int], offset: int | None) -> Tensor:
        n, c, h, w = shape
        if offset is None:
            return torch.empty((n, h, w, c), dtype=self.schedule.dtype, device=self.device).permute(0, 3, 1, 2)
        part = self._memory[offset : offset + n * c * h * w * self.schedule.dtype.itemsize]
        return part.view(self.schedule.dtype).view(n, h, w, c).permute(0, 3, 1, 2)
