"""Levels as one walk over memory each, by compiled kernels on as many threads as PyTorch has.

Convolutions and the passes between them take turns over a few rows, so that what lies between two of them stays in the
processor's cache. How they are computed is an `Engine`'s business.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ..compiled.numba_passes import FIR_SCALE, flat
from ..compiled.threads import finish, thread_pool
from ..folded.layers import Convolution
from ..folded.levels import Below, Feature, Levels, Stored
from ..folded.passes import Passes
from ..folded.styles import DecoderLevel
from ..folded.walks import RECOMPUTED_ROWS, Walk
from ..folded.workspace import Workspace
from ..network import NetworkConfig

Array = NDArray[Any]
Kernel = Callable[..., None]


class Engine(Protocol):
    """One way to compute a walk: two kernels, and how they want their weights and memory.

    Kernels end with what `shrink_room` or `grow_room` gives, and the first and the last row to be computed.
    """

    @property
    def shrink(self) -> Kernel: ...

    @property
    def grow(self) -> Kernel: ...

    @property
    def together(self) -> int:
        """Rows that are computed at once: a thread's first row is a multiple of it."""
        ...

    def walk(self, config: NetworkConfig, *, frugal: bool) -> Walk: ...

    def strided(self, weight: Tensor, workspace: Workspace) -> Array:
        """The weights (O, I, 3, 3) of an encoder level, as `shrink` wants them."""
        ...

    def transposed(self, weight: Tensor, workspace: Workspace) -> Array:
        """The weights (I, O, 3, 3) of the convolution that doubles a decoder level, as `grow` wants them."""
        ...

    def plain(self, weight: Tensor, workspace: Workspace) -> Array:
        """The weights (O, I, 3, 3) of a decoder level's second convolution, as `grow` wants them."""
        ...

    def shrink_room(self, memory: Tensor, size: int, workspace: Workspace) -> Sequence[Any]:
        """The kernel's last arguments but two for the encoder level that gives `size`, in one thread's `memory`."""
        ...

    def grow_room(self, memory: Tensor, size: int, workspace: Workspace) -> Sequence[Any]:
        """The same for the decoder level of `size`."""
        ...


class WalkLevels:
    """Float32 and bfloat16 on the CPU; levels that the engine's walk does not cover are left to `others`."""

    is_fused = False

    def __init__(self, engine: Engine, others: Levels):
        self._engine = engine
        self._others = others

    @property
    def passes(self) -> Passes:
        return self._others.passes

    def walk(self, config: NetworkConfig, *, frugal: bool) -> Walk:
        return self._engine.walk(config, frugal=frugal)

    def shrink(self, feature: Feature, layer: Convolution, out: Tensor, workspace: Workspace) -> Stored:
        config, size = workspace.schedule.config, out.shape[2]
        if not workspace.schedule.is_walked(size):
            return self._others.shrink(feature, layer, out, workspace)
        weights, bias = self._engine.strided(layer.weight, workspace), layer.bias.float().numpy()
        shape = (2 * size, 2 * size, config.channels(2 * size))
        rooms = [self._engine.shrink_room(room, size, workspace) for room in _memories(workspace)]
        for n, rows, part in _parts(feature, 2, out):
            arguments = (_rows(feature, n, part), shape, part[0], np.float32(FIR_SCALE), weights, bias, flat(out[n]))
            self._run(self._engine.shrink, rows, rooms, *arguments, config.channels(size))
        return Stored(out)

    def grow(
        self, level: DecoderLevel, below: Below, feature: Feature, image: Tensor, workspace: Workspace
    ) -> Tensor | None:
        size = image.shape[2]
        if not workspace.schedule.is_walked(size):
            return self._others.grow(level, below, feature, image, workspace)
        out = workspace.output(size)
        assert level.up is not None and level.up_constants is not None  # so above 4x4
        assert below.output is not None and below.image is not None
        up = self._engine.transposed(level.up.weight, workspace)
        plain = self._engine.plain(level.convolution.weight, workspace)
        filtered = torch.cat((level.up_constants[:, :1] * FIR_SCALE, level.up_constants[:, 1:]), dim=1)
        colours, bias = level.rgb
        rooms = [self._engine.grow_room(room, size, workspace) for room in _memories(workspace)]
        for n, rows, part in _parts(feature, 1, image):
            self._run(
                self._engine.grow,
                rows,
                rooms,
                *_halves(below, n),
                level.up.energy.shape[1],
                up,
                _line(filtered[n]),
                _rows(feature, n, part),
                part[0],
                plain,
                _line(level.constants[n]),
                _line(colours[n]),
                bias.numpy(),
                flat(below.image[n]),
                flat(image[n]),
                *_outputs(workspace, out, n),
                size,
                workspace.schedule.config.channels(size),
            )
        return out

    def _run(self, kernel: Kernel, rows: tuple[int, int], rooms: Sequence[Sequence[Any]], *arguments: Any) -> None:
        """The kernel over `rows`, divided among threads."""
        first, last = rows
        steps = (last - first) // self._engine.together
        edges = [first + steps * n // len(rooms) * self._engine.together for n in range(len(rooms))] + [last]
        tasks = [(*arguments, *room, a, b) for room, a, b in zip(rooms, edges, edges[1:]) if a < b]
        if len(tasks) == 1:
            kernel(*tasks[0])
            return
        finish([thread_pool(len(rooms)).submit(kernel, *task) for task in tasks])


def _memories(workspace: Workspace) -> list[Tensor]:
    walk = workspace.schedule.walk
    return [] if walk is None else [workspace.room(number) for number in range(walk.threads)]


def _parts(feature: Feature, stride: int, out: Tensor) -> Iterator[tuple[int, tuple[int, int], tuple[int, int]]]:
    """(image, rows of `out`, the feature's rows that they need): all rows at once if the feature is stored."""
    height, margin = out.shape[2], 2
    step = height if isinstance(feature, Stored) else min(height, RECOMPUTED_ROWS // stride)
    for n in range(len(out)):
        for a in range(0, height, step):
            b = a + step
            yield n, (a, b), (max(stride * a - margin, 0), min(stride * b + margin, stride * height))


def _halves(below: Below, n: int) -> tuple[Array, Array, Array]:
    """The output below, and the feature and constants of its second half, empty where the output has both."""
    assert below.output is not None
    output = flat(below.output[n])
    if below.second is None:
        return output, np.empty(0, output.dtype), np.empty(0, np.float32)
    feature, constants = below.second
    return output, _rows(feature, n, (0, below.output.shape[2])), _line(constants[n])


def _outputs(workspace: Workspace, out: Tensor | None, n: int) -> tuple[Array, int]:
    """Where the level's output goes, empty for nowhere, and how many halves of it."""
    if out is None:
        return np.empty(0, np.float32 if workspace.schedule.dtype == torch.float32 else np.uint16), 0
    return flat(out[n]), 1 if workspace.schedule.is_halved(out.shape[2]) else 2


def _rows(feature: Feature, n: int, rows: tuple[int, int]) -> Array:
    return flat(feature.part(slice(n, n + 1), *rows)[0])


def _line(constants: Tensor) -> Array:
    return constants.float().contiguous().numpy().ravel()
