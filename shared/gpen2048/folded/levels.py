"""Levels of the encoder and decoder, whole or in strips of rows with the margins their filters need.

Rows are those of the level's output; `a` and `b` bound a strip. Margins are computed twice, once per strip.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from ..network import NetworkConfig
from .layers import Convolution, StyledConvolution
from .passes import Passes
from .styles import DecoderLevel
from .walks import Walk
from .workspace import Schedule, Workspace


class Feature(Protocol):
    """An encoder feature (N, C, H, W), stored or computed when asked for."""

    def part(self, images: slice, a: int, b: int) -> Tensor:
        """Rows a to b of some images."""
        ...


@dataclass(frozen=True)
class Stored:
    """A feature in memory."""

    tensor: Tensor

    def part(self, images: slice, a: int, b: int) -> Tensor:
        return self.tensor[images, :, a:b]


@dataclass(frozen=True)
class Recomputed:
    """The first encoder layer: a 1x1 convolution of the input `image`, so cheap that it need not be stored."""

    image: Tensor
    layer: Convolution
    dtype: torch.dtype

    passes: Passes

    def part(self, images: slice, a: int, b: int) -> Tensor:
        n, _, height, width = self.image[images, :, a:b].shape
        out = torch.empty((n, height, width, len(self.layer.weight)), dtype=self.dtype, device=self.image.device)
        self._compute(images, a, b, out.permute(0, 3, 1, 2))
        return out.permute(0, 3, 1, 2)

    def store(self, out: Tensor, schedule: Schedule) -> Stored:
        """Writes the whole feature to `out`."""
        for images, a, b in strips(schedule, out.shape[2]):
            self._compute(images, a, b, out[images, :, a:b])
        return Stored(out)

    def _compute(self, images: slice, a: int, b: int, out: Tensor) -> None:
        self.passes.colour(self.image[images, :, a:b], self.layer.weight, self.layer.bias, out)


def strips(schedule: Schedule, resolution: int) -> Iterator[tuple[slice, int, int]]:
    """(images, a, b): all at once, or image by image in strips."""
    if not schedule.in_strips(resolution):
        yield slice(None), 0, resolution
        return
    for n in range(schedule.batch):
        for a in range(0, resolution, schedule.rows):  # both are powers of two
            yield slice(n, n + 1), a, a + schedule.rows


@dataclass
class Below:
    """What a decoder level leaves to the next one: its `output` (N, 2C, H, W) and its `image` (N, 3, H, W).

    With `second`, the output is the first half only; the other one is made of that feature and those constants. The
    next level forgets the output as soon as it can, so that its memory can serve again.
    """

    output: Tensor | None
    image: Tensor | None = None
    second: tuple[Feature, Tensor] | None = None


class Levels(Protocol):
    """One way to compute a level; all agree within rounding."""

    @property
    def passes(self) -> Passes:
        """What is done between convolutions where levels are not one walk."""
        ...

    @property
    def is_fused(self) -> bool:
        """Whether levels of few channels are done in fewer kernels: one, and two with one strip stored between them."""
        ...

    def walk(self, config: NetworkConfig, *, frugal: bool) -> Walk | None:
        """What walks over levels of this network take, `frugal` where memory is short; None if there are none."""
        ...

    def shrink(self, feature: Feature, layer: Convolution, out: Tensor, workspace: Workspace) -> Stored:
        """An encoder level: FIR filter, strided convolution, activation."""
        ...

    def grow(
        self, level: DecoderLevel, below: Below, feature: Feature, image: Tensor, workspace: Workspace
    ) -> Tensor | None:
        """A decoder level: what the next one starts from, if there is one; `image` gets all there is of the image."""
        ...


class StripLevels:
    """PyTorch's convolutions with `passes` between them, for any device and precision."""

    is_fused = False

    def __init__(self, passes: Passes):
        self.passes = passes

    def walk(self, config: NetworkConfig, *, frugal: bool) -> Walk | None:
        return None

    def convolve(self, layer: Convolution | StyledConvolution, x: Tensor, padding: int = 0) -> Tensor:
        """The layer's convolution alone, with `padding` rows of zeros on either side."""
        return layer(x, padding)

    def shrink(self, feature: Feature, layer: Convolution, out: Tensor, workspace: Workspace) -> Stored:
        size = 2 * out.shape[2]
        for images, a, b in strips(workspace.schedule, out.shape[2]):
            first = max(2 * a - 2, 0)
            part = feature.part(images, first, min(2 * b + 2, size))
            blurred = workspace.scratch(workspace.schedule.filtered_shape(out.shape[2]))
            self.passes.blur(part, 2 * a - 2 - first, blurred)
            del part
            self.passes.activate(self.convolve(layer, blurred), layer.bias, out[images, :, a:b])
        return Stored(out)

    def grow(
        self, level: DecoderLevel, below: Below, feature: Feature, image: Tensor, workspace: Workspace
    ) -> Tensor | None:
        out: Tensor | None = None
        for images, a, b in strips(workspace.schedule, image.shape[2]):
            first, last = max(a - 1, 0), min(b + 1, image.shape[2])
            part = feature.part(images, first, last)
            joined = _joined(level, below, images, part, (a, b), workspace, self.passes)
            y = self.convolve(level.convolution, joined, 1 if b - a == image.shape[2] else 0)
            del joined
            out = out if out is not None else workspace.output(image.shape[2])  # now that most is let go
            weight, bias = level.rgb
            self.passes.paint(
                y,
                part[:, :, a - first : b - first],
                level.constants[images],
                (weight[images], bias),
                None if below.image is None else below.image[images],
                a,
                image[images, :, a:b],
                None if out is None else out[images, :, a:b],
            )
            del y, part
        return out


def _joined(
    level: DecoderLevel,
    below: Below,
    images: slice,
    feature: Tensor,
    rows: tuple[int, int],
    workspace: Workspace,
    passes: Passes,
) -> Tensor:
    """The second convolution's input: all of it, or from one row above the strip to one below, zero outside."""
    a, b = rows
    size = feature.shape[3]
    whole = b - a == size
    assert below.output is not None
    if level.up is None or level.up_constants is None:
        return below.output.contiguous(memory_format=torch.channels_last)
    source = max(a // 2 - 2, 0)
    x = level.up(below.output[images, :, source : b // 2 + 2])
    if whole:
        below.output = None
    joined = workspace.scratch(workspace.schedule.joined_shape(size))
    first, last = max(a - 1, 0), min(b + 1, size)
    if not whole and first == a:
        joined[:, :, 0] = 0
    if not whole and last == b:
        joined[:, :, -1] = 0
    inside = joined if whole else joined[:, :, first - a + 1 : last - a + 1]
    passes.join(x, first - 1 - 2 * source, feature, level.up_constants[images], inside)
    return joined
