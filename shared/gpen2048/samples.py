"""Samples of 8 or 16 bits, as files, films and hosts have them, to the runtime's float32 and back.

A picture goes to a device and comes back as the bytes it has, a quarter of its floats', on CUDA through pinned memory.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

DEEPEST = {8: 255, 16: 65535}
CPU = torch.device("cpu")


def to_planes(samples: NDArray[Any], device: torch.device = CPU) -> Tensor:
    """(C, H, W) float32 in [0, 1] on `device`, of (H, W, C) uint8 or uint16; copied."""
    wide = samples.dtype == np.uint16
    array = np.require(samples, requirements=["C", "W"])
    moved = sent(torch.from_numpy(array.view(np.int16) if wide else array), device).permute(2, 0, 1)
    # PyTorch has no uint16 before 2.3, and multiplies by the inverse on CUDA when it divides by a number.
    values = moved.to(torch.int32).bitwise_and_(0xFFFF) if wide else moved
    deepest = torch.tensor(float(DEEPEST[16 if wide else 8]), device=device, dtype=torch.float32)
    return values.to(torch.float32, memory_format=torch.contiguous_format).div_(deepest)


def to_samples(planes: Tensor, bits: int = 8) -> NDArray[Any]:
    """(H, W, C) uint8 or uint16 (`bits` 8 or 16) of (C, H, W) on any device; clamped, rounded half to even."""
    scaled = planes.clamp(0, 1).mul_(DEEPEST[bits]).round_()
    whole = scaled.to(torch.uint8 if bits == 8 else torch.int32).permute(1, 2, 0).contiguous()
    array = _fetched(whole).numpy()
    return array if bits == 8 else array.astype(np.uint16)


def sent(tensor: Tensor, device: torch.device) -> Tensor:
    """A tensor of the CPU on `device`; CUDA gets it without the CPU's waiting for what was launched before."""
    if device.type != "cuda":
        return tensor.to(device)
    return tensor.pin_memory().to(device, non_blocking=True)  # its memory is not reused before the copy is done


def _fetched(tensor: Tensor) -> Tensor:
    if tensor.device.type != "cuda":
        return tensor.cpu()
    pinned = torch.empty(tensor.shape, dtype=tensor.dtype, device="cpu", pin_memory=True)
    pinned.copy_(tensor, non_blocking=True)
    torch.cuda.current_stream(tensor.device).synchronize()
    return pinned
