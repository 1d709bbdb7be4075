"""Levels on CPUs with matrix tiles (Intel AMX): each one walk over memory, and convolutions several times as fast.

Float32 comes from three products of bfloat16 halves; the error is 4e-6 of the result's spread, PyTorch's own is 1e-6.
"""

from __future__ import annotations

import ctypes
import platform
import sys
from functools import partial
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ..compiled.pages import LINE
from ..folded.walks import Walk
from ..folded.workspace import Workspace
from ..network import NetworkConfig
from .amx_room import MissingTilesError, TileWalk, group_size, grow_bytes, shrink_bytes
from .amx_weights import halves, pack_convolution, pack_transposed
from .walking import Array

ARCH_PRCTL = 158  # the system call's number on x86-64
REQUEST_PERMISSION, TILE_DATA = 0x1023, 18  # ARCH_REQ_XCOMP_PERM, XFEATURE_XTILEDATA (Linux asm/prctl.h)


class TileEngine:
    """See `walking.Engine`. Raises ImportError or OSError where numba, the processor or the system has no tiles."""

    def __init__(self) -> None:
        _ask_permission()
        from . import amx_kernels
        from .amx_tiles import SHAPES

        self.shrink: Any = amx_kernels.shrink
        self.grow: Any = amx_kernels.grow
        self.together = 1
        self._shapes = SHAPES

    def walk(self, config: NetworkConfig, *, frugal: bool) -> Walk:
        return TileWalk(torch.get_num_threads())

    def strided(self, weight: Tensor, workspace: Workspace) -> Array:
        return self.plain(weight, workspace)

    def transposed(self, weight: Tensor, workspace: Workspace) -> Array:
        return halves(workspace.packed(weight, partial(pack_transposed, exact=_exact(workspace))))

    def plain(self, weight: Tensor, workspace: Workspace) -> Array:
        return halves(workspace.packed(weight, partial(pack_convolution, exact=_exact(workspace))))

    def shrink_room(self, memory: Tensor, size: int, workspace: Workspace) -> tuple[Any, ...]:
        exact = _exact(workspace)
        sizes = shrink_bytes(workspace.schedule.config, size, exact=exact)
        return (*_room(memory, *sizes), group_size(size), exact, self._shapes)

    def grow_room(self, memory: Tensor, size: int, workspace: Workspace) -> tuple[Any, ...]:
        exact = _exact(workspace)
        sizes = grow_bytes(workspace.schedule.config, size, exact=exact)
        return (*_room(memory, *sizes), group_size(size), exact, self._shapes)


def _room(memory: Tensor, half_bytes: int, float_bytes: int) -> tuple[Array, NDArray[np.float32]]:
    """One thread's memory for halves and floats, either from a cache line on."""
    floats = -(-half_bytes // LINE) * LINE
    return halves(memory[:half_bytes]), memory[floats : floats + float_bytes].numpy().view(np.float32)


def _exact(workspace: Workspace) -> bool:
    return workspace.schedule.dtype == torch.float32


def _ask_permission() -> None:
    """Linux lets a process use tiles when it has asked."""
    if sys.platform != "linux" or platform.machine() != "x86_64":
        raise MissingTilesError(f"no matrix tiles on {platform.machine()} {sys.platform}")
    from llvmlite import binding

    if not binding.get_host_cpu_features().get("amx-bf16"):
        raise MissingTilesError("this processor has no matrix tiles")
    if ctypes.CDLL(None, use_errno=True).syscall(ARCH_PRCTL, REQUEST_PERMISSION, TILE_DATA):
        raise OSError(ctypes.get_errno(), "the system does not permit matrix tiles")
