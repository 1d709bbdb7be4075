"""The FIR filter of every change of resolution in plain PyTorch, by whichever way is faster on a device.

Its taps 1, 3, 3, 1 are three times 1, 1. PyTorch's way for one filter per channel is fast on the CPU, but known to be
slow on GPUs in half precision (pytorch#18631, #170138), where three means of neighbouring pixels may be faster.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import lru_cache

import torch
import torch.nn.functional as F
from torch import Tensor

from ..network import fir_kernel
from .convolution import convolve
from .trials import waves

TRIAL = (1, 16, 130, 1025)  # a strip of a large level
RUNS = 3
Filter = Callable[[Tensor, int, int], Tensor]


def filtered(x: Tensor, top: int, rows: int, columns: int) -> Tensor:
    """The filter on `rows` rows of x (N, C, H, W) from `top` on, zeros outside, and `columns` zeros on either side."""
    above, below = max(-top, 0), max(top + rows + 3 - x.shape[2], 0)
    x = x[:, :, max(top, 0) : top + rows + 3]
    if above != below:
        x = F.pad(x, (0, 0, above, below))
        above = 0
    return _fastest(x.device, x.dtype)(x, above, columns)


def by_convolution(x: Tensor, rows: int, columns: int) -> Tensor:
    """So many zeros on either side of rows and columns."""
    kernel = _kernel(x.device, x.dtype).expand(x.shape[1], 1, 4, 4)
    return convolve(x, kernel, padding=(rows, columns), groups=x.shape[1])


def by_means(x: Tensor, rows: int, columns: int) -> Tensor:
    """The same; zeros are added as they are needed, at most one at a time."""
    for _ in range(3):
        padding = (min(rows, 1), min(columns, 1))
        x, rows, columns = F.avg_pool2d(x, 2, 1, padding), rows - padding[0], columns - padding[1]
    return x.contiguous(memory_format=torch.channels_last)


@lru_cache
def _fastest(device: torch.device, dtype: torch.dtype) -> Filter:
    """Tried once on a device, and means only taken where they are right; on the CPU it is known."""
    if device.type == "cpu":
        return by_convolution
    x = waves(TRIAL, device, dtype)
    rounding = 16 * torch.finfo(dtype).eps
    if not torch.allclose(by_means(x, 0, 1), by_convolution(x, 0, 1), rtol=rounding, atol=rounding):
        return by_convolution
    return min((by_means, by_convolution), key=lambda way: _seconds(way, x))


def _seconds(way: Filter, x: Tensor) -> float:
    """Of some runs after one that compiles and chooses."""
    float(way(x, 0, 1).amax())  # reading a value waits for the device
    start = time.perf_counter()
    for _ in range(RUNS - 1):
        way(x, 0, 1)
    float(way(x, 0, 1).amax())
    return time.perf_counter() - start


@lru_cache
def _kernel(device: torch.device, dtype: torch.dtype) -> Tensor:
    """(4, 4). Kept, since bringing it to a GPU would make the CPU wait for all that was launched before."""
    with torch.inference_mode(False):
        return fir_kernel().to(device, dtype)
