"""Levels as one walk over memory each, by compiled kernels on as many threads as PyTorch has.

Convolutions and the passes between them take turns over a few rows, so that what lies between two of them stays in the
processor's cache. How they are computed is an `Engine`'s business.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ..compiled.numba_passes import FIR_SCALE, elements, flat, layer_of
from ..compiled.pieces import Pieces
from ..compiled.threads import finish, thread_pool
from ..folded.layers import Convolution
from ..folded.levels import Below, Feature, Levels, Recomputed, Stored
from ..folded.passes import Passes
from ..folded.styles import DecoderLevel
from ..folded.walks import Walk, piece_rows
from ..folded.workspace import Workspace
from ..network import NetworkConfig

Array = NDArray[Any]
Kernel = Callable[..., None]
Room = Callable[[Tensor, int, Workspace], Sequence[Any]]
REACHED = 3  # numbers of which kernels keep where they stopped: the row, and how far what it is made of has come


class Engine(Protocol):
    """One way to compute a walk: two kernels, and how they want their weights and memory.

    Kernels end with a thread's own: the encoder's feature or a ring of its rows, and how many rows that has; where its
    last call stopped; what `shrink_room` or `grow_room` gives; the first row to be computed and the one after the last.
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
        for n in range(len(out)):
            rooms = _rooms(feature, n, self._engine.shrink_room, size, workspace)
            arguments = (_layer(feature, n), shape, np.float32(FIR_SCALE), weights, bias, flat(out[n]))
            self._run(self._engine.shrink, size, rooms, *arguments, config.channels(size))
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
        for n in range(len(image)):
            self._run(
                self._engine.grow,
                size,
                _rooms(feature, n, self._engine.grow_room, size, workspace),
                *_halves(below, n),
                level.up.energy.shape[1],
                up,
                _line(filtered[n]),
                _layer(feature, n),
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

    def _run(self, kernel: Kernel, size: int, rooms: Sequence[Sequence[Any]], *arguments: Any) -> None:
        """The kernel over `size` rows, divided among threads."""
        workers = len(rooms)
        if workers == 1:
            kernel(*arguments, *rooms[0], 0, size)
            return
        pieces, pool = Pieces(size, workers, piece_rows(size, workers), self._engine.together), thread_pool(workers)
        finish([pool.submit(pieces.work, n, partial(kernel, *arguments, *room)) for n, room in enumerate(rooms)])


def _rooms(feature: Feature, n: int, room_of: Room, size: int, workspace: Workspace) -> list[tuple[Any, ...]]:
    """Each thread's own arguments of a kernel, but for the rows that it is to compute."""
    schedule = workspace.schedule
    assert schedule.walk is not None
    rows, ring = schedule.ring
    rooms: list[tuple[Any, ...]] = []
    for number in range(schedule.walk.threads):
        memory = workspace.room(number)
        own = elements(memory[:ring].view(schedule.dtype)), rows
        seen = own if isinstance(feature, Recomputed) else _stored(feature, n)
        rooms.append((*seen, np.full(REACHED, -1, np.int64), *room_of(memory[ring:], size, workspace)))
    return rooms


def _layer(feature: Feature, n: int) -> tuple[Array, int, int, Array]:
    """What kernels make rows of the feature of; without pixels where it is stored."""
    if isinstance(feature, Recomputed):
        return layer_of(feature.image[n], feature.layer.weight, feature.layer.bias)
    return np.empty(0, np.float32), 0, 0, np.empty(0, np.float32)


def _halves(below: Below, n: int) -> tuple[Array, Array, Array]:
    """The output below, and the feature and constants of its second half, empty where the output has both."""
    assert below.output is not None
    output = flat(below.output[n])
    if below.second is None:
        return output, np.empty(0, output.dtype), np.empty(0, np.float32)
    feature, constants = below.second
    return output, _stored(feature, n)[0], _line(constants[n])


def _outputs(workspace: Workspace, out: Tensor | None, n: int) -> tuple[Array, int]:
    """Where the level's output goes, empty for nowhere, and how many halves of it."""
    if out is None:
        return np.empty(0, np.float32 if workspace.schedule.dtype == torch.float32 else np.uint16), 0
    return flat(out[n]), 1 if workspace.schedule.is_halved(out.shape[2]) else 2


def _stored(feature: Feature, n: int) -> tuple[Array, int]:
    """All of a feature of one image, and its rows."""
    assert isinstance(feature, Stored)
    return flat(feature.tensor[n]), feature.tensor.shape[2]


def _line(constants: Tensor) -> Array:
    return constants.float().contiguous().numpy().ravel()
