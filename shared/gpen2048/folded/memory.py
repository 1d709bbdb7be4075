"""How much memory a forward pass needs, by walking through what is alive at each of its moments."""

from __future__ import annotations

from collections.abc import Iterator

import torch

from .convolution import copies_convolutions, lowers_convolutions, widens_convolutions
from .workspace import Block, Schedule

RGB = 3
SCRATCH = 2  # oneDNN's transposed convolution takes about twice its result for itself (measured, torch 2.15, AVX-512)


def peak_bytes(schedule: Schedule, device: torch.device, *, plain: bool) -> int:
    """Bytes of activations on `device` at the worst moment, output included.

    `plain`: the passes are PyTorch's, with their temporaries. Of the convolutions' own scratch memory only the CPU's
    largest is included, and what PyTorch takes where it has no library to convolve or one of another order of memory.
    """
    walk = _Walk(schedule, device, plain)
    size = schedule.config.size
    output = schedule.batch * RGB * size**2 * torch.float32.itemsize
    block = Block(schedule).total if device.type == "cpu" else 0
    return block + _packed(schedule) + output + max((*walk.encoder(), *walk.decoder()))


def _packed(schedule: Schedule) -> int:
    """Weights as walks want them: of all levels where they are kept, else of one at a time."""
    levels = [] if schedule.walk is None else schedule.walk.packed(schedule.config, schedule.dtype)
    return sum(levels) if schedule.keep_packed else max(levels, default=0)


class _Walk:
    """What is alive besides output and block."""

    def __init__(self, schedule: Schedule, device: torch.device, plain: bool):
        self._schedule = schedule
        self._planned = device.type == "cpu"  # whole levels and strips lie in one `Block`
        self._plain = plain
        self._lowers, self._copies = lowers_convolutions(device), copies_convolutions(device, schedule.dtype)
        self._widens = widens_convolutions(device, schedule.dtype)

    def encoder(self) -> Iterator[int]:
        config, size_of = self._schedule.config, self._schedule.size_of
        if self._schedule.keep_first:
            images, rows = self._schedule.strip(config.size)
            first = (images, config.channels(config.size), rows, config.size)
            made = (first,) if self._plain else ()  # PyTorch convolves the first layer before it activates it
            yield self._features(config.size) + size_of(*made, (images, RGB, rows, config.size))
        for resolution in reversed(config.resolutions[:-1]):
            images, rows = self._schedule.strip(resolution)
            filtered = self._schedule.filtered_shape(resolution)
            if self._schedule.is_walked(resolution):
                yield self._features(resolution)
                continue
            part = self._recomputed(2 * resolution, min(2 * rows + 4, 2 * resolution), images)
            if self._schedule.is_fused(2 * resolution):
                yield self._features(resolution) + part
                continue
            stored = self._features(resolution) + self._unplanned(filtered)
            copies = 2 if self._plain else 0  # padded input and result of PyTorch's filter
            yield stored + part + copies * size_of(filtered)
            made = (images, config.channels(resolution), rows, resolution)
            seen = (images, config.channels(2 * resolution), rows, resolution)
            yield stored + size_of(made) + self._convolving(filtered, made, seen)

    def decoder(self) -> Iterator[int]:
        config, size_of = self._schedule.config, self._schedule.size_of
        for resolution in config.resolutions[1:]:
            channels = config.channels(resolution)
            images, rows = self._schedule.strip(resolution)
            joined = self._schedule.joined_shape(resolution)
            raised = (images, channels, min(rows + 9, resolution + 1), resolution + 1)
            half = (images, channels, rows + 2, resolution)
            stored = self._features(resolution) + self._images(resolution)
            if self._schedule.is_walked(resolution):
                yield stored
                continue
            stored += self._recomputed(resolution, min(rows + 2, resolution), images)
            below = self._unplanned(self._schedule.output_shape(resolution // 2))
            made = self._unplanned(self._schedule.output_shape(resolution)) if resolution < config.size else 0
            if self._schedule.in_strips(resolution):
                stored, made, kept = stored + made, 0, below
            else:
                kept = 0
            if self._schedule.is_fused(resolution):
                yield stored + below + size_of(joined)
                yield stored + kept + size_of(joined) + made
                continue
            scratch = SCRATCH * size_of(raised) if self._planned and self._schedule.in_strips(resolution) else 0
            source = (images, 2 * config.channels(resolution // 2), raised[2] // 2 + 1, resolution // 2)
            yield (
                stored
                + below
                + size_of(raised)
                + scratch
                + self._convolving(source, raised, (images, channels, *source[2:]), doubling=True)
            )
            yield stored + kept + size_of(raised) + self._unplanned(joined) + self._activations(half, filtering=True)
            yield stored + kept + size_of(half) + self._unplanned(joined) + self._convolving(joined, half, joined)
            yield stored + kept + size_of(half) + made + self._activations(half, filtering=False)

    def _features(self, resolution: int) -> int:
        """The encoder features from the full size down to this resolution."""
        shapes = [self._schedule.feature_shape(r) for r in self._schedule.config.resolutions if r >= resolution]
        return self._unplanned(*(shapes if self._schedule.keep_first else shapes[:-1]))

    def _recomputed(self, resolution: int, rows: int, images: int) -> int:
        if resolution < self._schedule.config.size or self._schedule.keep_first:
            return 0
        channels = self._schedule.config.channels(resolution) * (2 if self._plain else 1) + RGB
        return self._schedule.size_of((images, channels, rows, resolution))

    def _images(self, resolution: int) -> int:
        """The image of the level below, and that of this one, unless it is the output."""
        own = resolution**2 if resolution < self._schedule.config.size else 0
        return self._schedule.batch * RGB * ((resolution // 2) ** 2 + own) * torch.float32.itemsize

    def _convolving(
        self, source: tuple[int, ...], result: tuple[int, ...], lowered: tuple[int, ...], *, doubling: bool = False
    ) -> int:
        """Copies of a convolution's input, result and weights, and its matrix of nine taps, one image at a time.

        Where levels are fused, the library does the doubling ones of many channels and those of small levels only.
        """
        copied = self._lowers or (self._copies and (doubling or not self._schedule.fused))
        copies = self._schedule.size_of(source, result) if copied else 0
        if self._widens:  # before there is a result to be rounded
            floats = sum(torch.Size(shape).numel() for shape in (source, result, (9, source[1], result[1])))
            copies += floats * torch.float32.itemsize - self._schedule.size_of(result)
        return copies + (9 * self._schedule.size_of(lowered[1:]) if self._lowers else 0)

    def _activations(self, half: tuple[int, ...], filtering: bool) -> int:
        """Temporaries of PyTorch's passes: one half in float32, or both and a copy; the filter's result."""
        if not self._plain:
            return 0
        narrow = self._schedule.dtype != torch.float32
        floats = torch.Size(half).numel() * torch.float32.itemsize
        return floats * (3 if narrow else 1) + (self._schedule.size_of(half) if filtering else 0)

    def _unplanned(self, *shapes: tuple[int, ...]) -> int:
        return 0 if self._planned else self._schedule.size_of(*shapes)
