"""Crops that already show one upright face each."""

from __future__ import annotations

import comfy.model_management as mm
import torch
import torch.nn.functional as F
from torch import Tensor

from .frames import Batch, Frames
from .host import FaceProgress, loaded, stop_if_interrupted
from .model import GpenModel
from .restoring import CROP_BYTES
from .sparing import SparingNetwork

MOST_AT_ONCE = 4
SHARE = 0.5  # of the free memory that a larger batch may take


def restore_crops(model: GpenModel, frames: Frames, strength: float) -> Tensor:
    """`frames` restored, (B, S, S, 3) at the network's size S; blended with the input by `strength`."""
    progress, restored = FaceProgress(len(frames)), Batch(len(frames))
    at_once = _at_once(model, len(frames))
    with (
        loaded([model.patcher], _memory_required(model, at_once)) as device,
        SparingNetwork(model, progress.show) as network,
    ):
        for first in range(0, len(frames), at_once):
            progress.frame(first)
            numbers = range(first, min(first + at_once, len(frames)))
            before = torch.stack([_sized(frames.picture(n, device).pixels, network.config.size) for n in numbers])
            after = network(before * 2 - 1, on_stage=stop_if_interrupted) / 2 + 0.5
            for number, crop in zip(numbers, torch.lerp(before, after.clamp(0, 1), strength)):
                restored.put(number, crop.movedim(0, -1))
    progress.frame(len(frames))
    return restored.frames


def _sized(pixels: Tensor, size: int) -> Tensor:
    return F.interpolate(pixels[None], size=(size, size), mode="bicubic", antialias=True)[0].clamp(0, 1)


def _memory_required(model: GpenModel, at_once: int) -> int:
    return model.network.memory_required(at_once) + at_once * CROP_BYTES * model.network.config.size**2


def _at_once(model: GpenModel, crops: int) -> int:
    """How many crops fit easily; on the CPU a batch gains nothing."""
    device = model.patcher.load_device
    if mm.is_device_cpu(device):
        return 1
    free = mm.get_free_memory(device) * SHARE
    fitting = [n for n in range(2, min(crops, MOST_AT_ONCE) + 1) if _memory_required(model, n) <= free]
    return max(fitting, default=1)
