"""What a device is called, and the most memory that was in use on it."""

from __future__ import annotations

import platform
from pathlib import Path

import torch

from ..compiled.pages import give_back

STATUS, RESET = Path("/proc/self/status"), Path("/proc/self/clear_refs")
FORGET_PEAK = "5"  # written to clear_refs, makes VmHWM start anew (Linux, proc(5))


class Peak:
    """The most memory taken since it was made: of the allocator on CUDA, of the process on the CPU."""

    def __init__(self, device: torch.device):
        self._device = device
        if device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(device)
            self._before = torch.cuda.memory_allocated(device)
            return
        give_back()  # so that taking it again shows
        try:
            RESET.write_text(FORGET_PEAK)
        except OSError:
            self._before = None
            return
        self._before = _status("VmRSS")

    def bytes(self) -> int | None:
        """Beyond what was in use at first; None where the system does not say."""
        if self._before is None:
            return None
        if self._device.type == "cuda":
            return torch.cuda.max_memory_allocated(self._device) - self._before
        peak = _status("VmHWM") if self._device.type == "cpu" else None
        return None if peak is None else peak - self._before


def _status(field: str) -> int | None:
    try:
        lines = STATUS.read_text().splitlines()
    except OSError:
        return None
    return next((int(line.split()[1]) * 1024 for line in lines if line.startswith(field)), None)


def device_name(device: torch.device) -> str:
    """As its maker calls it, where that is known."""
    if device.type == "cuda":
        return f"{torch.cuda.get_device_name(device)} ({device})"
    if device.type != "cpu":
        return str(device)
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        lines = []
    models = (line.split(":", 1)[1].strip() for line in lines if line.startswith("model name"))
    return next(models, platform.processor() or platform.machine())
