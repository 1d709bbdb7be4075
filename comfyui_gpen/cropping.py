"""Crops that already show one upright face each."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from ..shared.gpen2048.cancelling import cancellable
from .batching import faces_at_once, network_bytes
from .frames import Batch, Frames
from .host import loaded, stop_if_interrupted
from .model import GpenModel
from .progress import FaceProgress, stages_of_face
from .sparing import SparingNetwork

COPIES = 3  # of a frame while it is brought to the network's size


@cancellable(stop_if_interrupted)
def restore_crops(model: GpenModel, frames: Frames, strength: float) -> Tensor:
    """`frames` restored, (B, S, S, 3) at the network's size S; blended with the input by `strength`."""
    progress, restored = FaceProgress(len(frames), stages_of_face(model.network.config)), Batch(len(frames))
    progress.frame(0)
    at_once = faces_at_once(model, len(frames))
    with (
        loaded([model.patcher], max(network_bytes(model, at_once), COPIES * frames.pixels_bytes)) as device,
        SparingNetwork(model, progress.show) as network,
    ):
        for first in range(0, len(frames), at_once):
            progress.frame(first)
            numbers = range(first, min(first + at_once, len(frames)))
            before = torch.stack([_sized(frames.picture(n, device).pixels, network.config.size) for n in numbers])
            after = network(before * 2 - 1, on_stage=_told(progress, numbers)) / 2 + 0.5
            for number, crop in zip(numbers, torch.lerp(before, after.clamp(0, 1), strength)):
                restored.put(number, crop.movedim(0, -1))
    progress.frame(len(frames))
    return restored.frames


def _told(progress: FaceProgress, frames: Sequence[int]) -> Callable[[], None]:
    """The network's on_stage for the crops of `frames`."""
    tellers = [progress.of_frame(number) for number in frames]

    def on_stage() -> None:
        for tell in tellers:
            tell(0, 1, "restoring")

    return on_stage


def _sized(pixels: Tensor, size: int) -> Tensor:
    return F.interpolate(pixels[None], size=(size, size), mode="bicubic", antialias=True)[0].clamp(0, 1)
