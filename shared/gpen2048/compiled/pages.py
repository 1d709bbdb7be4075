"""Large tensors in large pages: a fresh one costs the CPU more in page faults than the pass that fills it.

NumPy asks Linux for pages of 2 MB, PyTorch does not; and its zeros cost nothing until they are touched.
"""

from __future__ import annotations

import ctypes
import math
import mmap
import sys

import numpy as np
import torch
from torch import Tensor

from .threads import in_rows

CPU = torch.device("cpu")
BLOCK = 1 << 18  # values copied at once
LINE = 64  # bytes of a cache line; a register or a matrix tile across two takes several times as long to load
LARGE = 4 << 20  # bytes from which NumPy asks for large pages; less would split the heap for nothing
MADV_HUGEPAGE = 14  # Linux, asm-generic/mman-common.h


def uninitialised(shape: tuple[int, ...], device: torch.device) -> Tensor:
    """A float32 tensor of any values."""
    if device.type != "cpu":
        return torch.empty(shape, device=device, dtype=torch.float32)
    return aligned(math.prod(shape) * torch.float32.itemsize).view(torch.float32).view(shape)


def zeros(shape: tuple[int, ...], device: torch.device) -> Tensor:
    """A float32 tensor of zeros."""
    if device.type != "cpu":
        return torch.zeros(shape, device=device, dtype=torch.float32)
    return torch.from_numpy(np.zeros(shape, np.float32))


def copied(image: Tensor) -> Tensor:
    """`image` (C, H, W) float32 anew, in the same order of memory."""
    interleaved = image.permute(1, 2, 0).is_contiguous()
    source = image.permute(1, 2, 0) if interleaved else image
    if image.device.type != "cpu" or not source.is_contiguous():
        return image.clone()
    copy = uninitialised(tuple(source.shape), CPU)
    old, new = source.detach().reshape(-1).numpy(), copy.reshape(-1).numpy()

    def copy_blocks(start: int, stop: int) -> None:
        np.copyto(new[start * BLOCK : stop * BLOCK], old[start * BLOCK : stop * BLOCK])

    in_rows(-(-len(old) // BLOCK), copy_blocks)
    return copy.permute(2, 0, 1) if interleaved else copy


def aligned(size: int) -> Tensor:
    """Bytes of PyTorch's on the CPU, of any values, from a cache line on; in large pages where they are many."""
    room = torch.empty(size + LINE, dtype=torch.uint8, device=CPU)
    first = -room.data_ptr() % LINE
    memory = room[first : first + size]
    if sys.platform == "linux" and size >= LARGE:
        start = -(-memory.data_ptr() // mmap.PAGESIZE) * mmap.PAGESIZE
        length = max(0, memory.data_ptr() + size - start)
        ctypes.CDLL(None).madvise(ctypes.c_void_p(start), ctypes.c_size_t(length), MADV_HUGEPAGE)
    return memory


def give_back() -> None:
    """Returns memory that is free to the system, where its C library can: it keeps most of it for later."""
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None) if sys.platform == "linux" else None
    if trim is not None:
        trim(0)
