"""The engine for processors with vectors but without matrix tiles: float32 arithmetic, whatever is stored."""

from __future__ import annotations

import platform
from typing import Any

import torch
from torch import Tensor

from ..folded.walks import Walk
from ..folded.workspace import Workspace
from ..network import NetworkConfig
from . import lane_kernels, lane_products
from .lane_room import STRIDED_TILES, TILES_AT_ONCE, LaneWalk, group_size, raised_size
from .lane_weights import pack
from .walking import Array
from .winograd import TILE, plain, strided, transposed

X86, AVX2 = ("x86_64", "AMD64", "i386"), "+avx2"


class LaneEngine:
    """See `walking.Engine`. Raises ImportError, or numba's own errors, where numba does not work.

    And OSError where there are too few registers for what is summed in them: x86 without AVX2, or where numba takes a
    processor to be without.
    """

    def __init__(self) -> None:
        if platform.machine() in X86 and AVX2 not in lane_products.features():
            raise OSError("this processor has no AVX2")
        self.shrink: Any = lane_kernels.shrink
        self.grow: Any = lane_kernels.grow
        self.together = TILE

    def walk(self, config: NetworkConfig, *, frugal: bool) -> Walk:
        return LaneWalk(torch.get_num_threads(), frugal)

    def strided(self, weight: Tensor, workspace: Workspace) -> Array:
        return workspace.packed(weight, lambda w: pack(w.permute(2, 3, 1, 0), strided())).numpy()

    def transposed(self, weight: Tensor, workspace: Workspace) -> Array:
        return workspace.packed(weight, lambda w: pack(w.permute(2, 3, 0, 1), transposed())).numpy()

    def plain(self, weight: Tensor, workspace: Workspace) -> Array:
        return workspace.packed(weight, lambda w: pack(w.permute(2, 3, 1, 0), plain())).numpy()

    def shrink_room(self, memory: Tensor, size: int, workspace: Workspace) -> tuple[Any, ...]:
        return memory.view(torch.float32).numpy(), group_size(size), STRIDED_TILES

    def grow_room(self, memory: Tensor, size: int, workspace: Workspace) -> tuple[Any, ...]:
        room = memory.view(torch.float32).numpy()
        return room, group_size(size), raised_size(size), TILES_AT_ONCE, STRIDED_TILES
