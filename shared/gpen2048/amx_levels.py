"""Levels on CPUs with matrix tiles (Intel AMX): each one walk over memory, and convolutions several times as fast.

Float32 comes from three products of bfloat16 halves; the error is 4e-6 of the result's spread, PyTorch's own is 1e-6.
"""

from __future__ import annotations

import ctypes
import platform
import sys
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from .amx_room import LINE, RECOMPUTED_ROWS, group_size, grow_bytes, shrink_bytes
from .amx_weights import halves, pack_convolution, pack_transposed
from .layers import Convolution
from .levels import Feature, Levels, Stored
from .network import NetworkConfig
from .numba_passes import FIR_SCALE, flat, thread_pool
from .passes import Passes
from .styles import DecoderLevel
from .workspace import Workspace

ARCH_PRCTL = 158  # the system call's number on x86-64
REQUEST_PERMISSION, TILE_DATA = 0x1023, 18  # ARCH_REQ_XCOMP_PERM, XFEATURE_XTILEDATA (Linux asm/prctl.h)
Array = NDArray[Any]


class TileLevels:
    """Float32 and bfloat16 on the CPU; levels too small for tiles are left to `others`.

    Raises ImportError or OSError where numba, the processor or the system has no tiles.
    """

    def __init__(self, others: Levels):
        _ask_permission()
        from . import amx_kernels
        from .amx_tiles import SHAPES

        self._kernels: Any = amx_kernels
        self._shapes = SHAPES
        self._others = others

    @property
    def passes(self) -> Passes:
        return self._others.passes

    def tile_threads(self, config: NetworkConfig) -> int:
        return torch.get_num_threads()

    def shrink(self, feature: Feature, layer: Convolution, out: Tensor, workspace: Workspace) -> Stored:
        config, size = workspace.schedule.config, out.shape[2]
        if not workspace.schedule.is_tiled(size):
            return self._others.shrink(feature, layer, out, workspace)
        exact = _exact(workspace)
        weights = halves(workspace.packed(layer.weight, pack_convolution))
        layout = (np.float32(FIR_SCALE), weights, layer.bias.float().numpy())
        walk = _Walk(workspace, shrink_bytes(config, size, exact=exact), group_size(size), exact, self._shapes)
        for n, rows, part in _parts(feature, 2, out):
            shape = (2 * size, 2 * size, config.channels(2 * size))
            walk(
                self._kernels.shrink,
                rows,
                _rows(feature, n, part),
                shape,
                part[0],
                *layout,
                flat(out[n]),
                config.channels(size),
            )
        return Stored(out)

    def grow(
        self,
        level: DecoderLevel,
        below: list[Tensor],
        feature: Feature,
        image_below: Tensor | None,
        out: Tensor | None,
        image: Tensor,
        workspace: Workspace,
    ) -> None:
        config, size = workspace.schedule.config, image.shape[2]
        if (
            level.up is None
            or level.up_constants is None
            or image_below is None
            or not workspace.schedule.is_tiled(size)
        ):
            self._others.grow(level, below, feature, image_below, out, image, workspace)
            return
        assert level.up is not None and level.up_constants is not None and image_below is not None  # so above 4x4
        exact = _exact(workspace)
        up = halves(workspace.packed(level.up.weight, pack_transposed))
        second = halves(workspace.packed(level.convolution.weight, pack_convolution))
        filtered = torch.cat((level.up_constants[:, :1] * FIR_SCALE, level.up_constants[:, 1:]), dim=1)
        colours, bias = level.rgb
        nothing = np.empty(0, np.float32 if exact else np.uint16)
        walk = _Walk(workspace, grow_bytes(config, size, exact=exact), group_size(size), exact, self._shapes)
        for n, rows, part in _parts(feature, 1, image):
            walk(
                self._kernels.grow,
                rows,
                flat(below[0][n]),
                below[0].shape[1],
                up,
                _line(filtered[n]),
                _rows(feature, n, part),
                part[0],
                second,
                _line(level.constants[n]),
                _line(colours[n]),
                bias.numpy(),
                flat(image_below[n]),
                flat(image[n]),
                nothing if out is None else flat(out[n]),
                size,
                config.channels(size),
            )


class _Walk:
    """Runs a kernel over rows on as many threads as PyTorch has, each in its own room."""

    def __init__(self, workspace: Workspace, sizes: tuple[int, int], group: int, exact: bool, shapes: Array):
        self._rooms = [_room(workspace.room(n), *sizes) for n in range(workspace.schedule.tile_threads)]
        self._settings = (group, exact, shapes)

    def __call__(self, kernel: Callable[..., None], rows: tuple[int, int], *arguments: Any) -> None:
        first, last = rows
        threads = len(self._rooms)
        edges = [first + (last - first) * number // threads for number in range(threads + 1)]
        tasks = [
            (kernel, *arguments, *room, *self._settings, a, b) for room, a, b in zip(self._rooms, edges, edges[1:])
        ]
        if threads == 1:
            kernel(*tasks[0][1:])
            return
        for done in [thread_pool(threads).submit(*task) for task in tasks]:
            done.result()


def _parts(feature: Feature, stride: int, out: Tensor) -> Iterator[tuple[int, tuple[int, int], tuple[int, int]]]:
    """(image, rows of `out`, the feature's rows that they need): all rows at once if the feature is stored."""
    height, margin = out.shape[2], 2
    step = height if isinstance(feature, Stored) else min(height, RECOMPUTED_ROWS // stride)
    for n in range(len(out)):
        for a in range(0, height, step):
            b = a + step
            yield n, (a, b), (max(stride * a - margin, 0), min(stride * b + margin, stride * height))


def _rows(feature: Feature, n: int, rows: tuple[int, int]) -> Array:
    return flat(feature.part(slice(n, n + 1), *rows)[0])


def _room(memory: Tensor, half_bytes: int, float_bytes: int) -> tuple[Array, Array]:
    """One thread's memory for halves and floats, either from a cache line on."""
    floats = -(-half_bytes // LINE) * LINE
    return halves(memory[:half_bytes]), memory[floats : floats + float_bytes].numpy().view(np.float32)


def _exact(workspace: Workspace) -> bool:
    return workspace.schedule.dtype == torch.float32


def _line(constants: Tensor) -> Array:
    return constants.float().contiguous().numpy().ravel()


def _ask_permission() -> None:
    """Linux lets a process use tiles when it has asked."""
    if sys.platform != "linux" or platform.machine() != "x86_64":
        raise OSError(f"no matrix tiles on {platform.machine()} {sys.platform}")
    from llvmlite import binding

    if not binding.get_host_cpu_features().get("amx-bf16"):
        raise OSError("this processor has no matrix tiles")
    if ctypes.CDLL(None, use_errno=True).syscall(ARCH_PRCTL, REQUEST_PERMISSION, TILE_DATA):
        raise OSError(ctypes.get_errno(), "the system does not permit matrix tiles")
