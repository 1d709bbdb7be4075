"""Large tensors in large pages: a fresh one costs the CPU more in page faults than the pass that fills it.

NumPy asks Linux for pages of 2 MB, PyTorch does not; and its zeros cost nothing until they are touched.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from .numba_passes import in_rows

CPU = torch.device("cpu")
BLOCK = 1 << 18  # values copied at once


def uninitialised(shape: tuple[int, ...], device: torch.device) -> Tensor:
    """A float32 tensor of any values."""
    return torch.empty(shape, device=device) if device.type != "cpu" else torch.from_numpy(np.empty(shape, np.float32))


def zeros(shape: tuple[int, ...], device: torch.device) -> Tensor:
    """A float32 tensor of zeros."""
    return torch.zeros(shape, device=device) if device.type != "cpu" else torch.from_numpy(np.zeros(shape, np.float32))


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
