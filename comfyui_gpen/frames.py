"""ComfyUI's IMAGE and MASK batches, frame by frame, as the runtime's tensors and back."""

from __future__ import annotations

from dataclasses import dataclass

import comfy.model_management as mm
import torch
from torch import Tensor

from ..shared.gpen2048 import Picture, UnsupportedImageError
from .host import intermediate_dtype


@dataclass(frozen=True)
class Frames:
    """An IMAGE (B, H, W, C) in [0, 1] of any floating dtype on any device; C is 1 (grey), 3 or 4 (alpha)."""

    image: Tensor

    def __post_init__(self) -> None:
        shape = tuple(self.image.shape)
        if len(shape) != 4 or shape[3] not in (1, 3, 4) or 0 in shape:
            raise UnsupportedImageError(f"image is {shape}; wanted (frames, height, width, 1, 3 or 4)")

    def __len__(self) -> int:
        return self.image.shape[0]

    @property
    def size(self) -> tuple[int, int]:
        """Height and width in pixels."""
        return self.image.shape[1], self.image.shape[2]

    def picture(self, number: int, device: torch.device) -> Picture:
        """Frame `number` as (3, H, W) float32 RGB on `device`, alpha apart."""
        frame = self.image[number].to(device).float().movedim(-1, 0)
        colours = frame[:3] if len(frame) >= 3 else frame[:1].expand(3, -1, -1)
        return Picture(colours.contiguous(), frame[3] if len(frame) == 4 else None)


class Batch:
    """Frames of one size, put one by one into one tensor that is allocated once, where ComfyUI wants its images."""

    def __init__(self, count: int):
        self._count = count
        self._frames: Tensor | None = None

    def put(self, number: int, frame: Tensor) -> None:
        """Stores `frame`, (H, W) or (H, W, C), clamped to [0, 1]."""
        if self._frames is None:
            place, dtype = mm.intermediate_device(), intermediate_dtype()
            self._frames = torch.empty((self._count, *frame.shape), device=place, dtype=dtype)
        self._frames[number].copy_(frame.clamp(0, 1))

    @property
    def frames(self) -> Tensor:
        """(B, H, W) or (B, H, W, C); ValueError before the first frame."""
        if self._frames is None:
            raise ValueError("no frame was put into the batch")
        return self._frames


def as_image(picture: Picture) -> Tensor:
    """(H, W, C) of a picture, with alpha when there is one."""
    alpha = () if picture.alpha is None else (picture.alpha[None].to(picture.pixels),)
    return torch.cat((picture.pixels, *alpha)).movedim(0, -1)


def crop_image(crop: Tensor) -> Tensor:
    """A crop (3, S, S) as an IMAGE of one frame."""
    return crop.movedim(0, -1)[None].to(device=mm.intermediate_device(), dtype=intermediate_dtype())
