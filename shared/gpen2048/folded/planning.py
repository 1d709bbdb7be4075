"""How a forward pass is divided for the device at hand: what it keeps, and how many rows of a level it does at once."""

from __future__ import annotations

from dataclasses import replace

import torch

from ..network import NetworkConfig
from .convolution import copies_convolutions, lowers_convolutions
from .levels import Levels
from .workspace import Schedule

STRIP_ROWS = 128  # of a level's output: temporaries of about 16 MB in float32 at every level
LOW_MEMORY_ROWS = 64
# On GPUs, where larger strips save launches; PyTorch's passes have large temporaries of their own.
GPU_ROWS, GPU_PLAIN_ROWS, GPU_LOW_MEMORY_ROWS = 1024, 512, 256


def planned(
    config: NetworkConfig, batch: int, dtype: torch.dtype, device: torch.device, levels: Levels, *, frugal: bool
) -> Schedule:
    """The schedule for `batch` images in `dtype` on `device`, where `levels` are used; `frugal` with memory."""
    walk = levels.walk(config, frugal=frugal)
    rows = _rows(device, dtype, levels, frugal)
    schedule = Schedule(config, batch, dtype, rows, not frugal, walk, levels.is_fused, keep_packed=not frugal)
    # Strips of a fused level take so little that the whole feature would be a quarter of all; a walk makes the rows
    # that it is at in the cache, in less time than it takes to store and read them.
    again = schedule.is_fused(config.size) and schedule.in_strips(config.size)
    again = again or (schedule.is_walked(config.size) and schedule.is_walked(config.size // 2))
    return replace(schedule, keep_first=False) if again else schedule


def _rows(device: torch.device, dtype: torch.dtype, levels: Levels, frugal: bool) -> int:
    """Rows of a level that are computed at once: as few as cost little time."""
    if device.type == "cpu" or lowers_convolutions(device):
        return LOW_MEMORY_ROWS if frugal else STRIP_ROWS
    if frugal:
        return GPU_LOW_MEMORY_ROWS
    copies = not levels.is_fused and copies_convolutions(device, dtype)
    return GPU_PLAIN_ROWS if levels.passes.is_plain or copies else GPU_ROWS
