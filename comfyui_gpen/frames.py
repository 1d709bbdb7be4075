"""ComfyUI's IMAGE and MASK batches, frame by frame, as the runtime's tensors and back."""

from __future__ import annotations

import logging
from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import dataclass, field

import comfy.model_management as mm
import torch
from torch import Tensor

from ..shared.gpen2048 import GpenError, Picture, UnsupportedImageError
from .host import intermediate_dtype

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Frames:
    """An IMAGE (B, H, W, C) in [0, 1] of any floating dtype on any device; C is 1 (grey), 3 or 4 (alpha)."""

    image: Tensor
    _told: set[int] = field(default_factory=set[int], compare=False, repr=False)  # frames that were complained of

    def __post_init__(self) -> None:
        if not isinstance(self.image, Tensor):  # pyright: ignore[reportUnnecessaryIsInstance]  a wire of any type
            raise UnsupportedImageError(f"image is of type {type(self.image).__name__}; wanted an IMAGE")
        if not self.image.is_floating_point():
            raise UnsupportedImageError(f"image has numbers of {self.image.dtype}; wanted floating ones in [0, 1]")
        shape = tuple(self.image.shape)
        if len(shape) != 4 or shape[3] not in (1, 3, 4) or 0 in shape:
            raise UnsupportedImageError(f"image is {shape}; wanted (frames, height, width, 1, 3 or 4)")

    def __len__(self) -> int:
        return self.image.shape[0]

    @property
    def size(self) -> tuple[int, int]:
        """Height and width in pixels."""
        return self.image.shape[1], self.image.shape[2]

    @property
    def pixels_bytes(self) -> int:
        """Bytes of one frame as float32 RGB."""
        return self.size[0] * self.size[1] * 3 * 4

    def picture(self, number: int, device: torch.device) -> Picture:
        """Frame `number` as (3, H, W) float32 RGB on `device`, alpha apart; a copy, which may be changed.

        What is no number, as a VAE in half precision may give it, becomes 0, and infinity 1: it would spread.
        """
        frame = self.image[number].to(device).float().movedim(-1, 0)
        if not bool(frame.sum().isfinite()):
            self._tell_once(number, "some pixels are no numbers; they are taken as 0, infinite ones as 1")
            frame = frame.nan_to_num(0, 1, 0)
        colours = frame[:3] if len(frame) >= 3 else frame[:1].expand(3, -1, -1)
        own = colours.contiguous()  # no copy, if some node has made planes into an image
        own = own.clone() if own.data_ptr() == self.image[number].data_ptr() else own
        return Picture(own, frame[3] if len(frame) == 4 else None)

    def image_with(self, number: int, pixels: Tensor) -> Tensor:
        """(H', W', C) showing `pixels` (3, H', W'), with the alpha of frame `number` when there is one."""
        if self.image.shape[3] < 4:
            return pixels.movedim(0, -1)
        picture = self.picture(number, pixels.device).with_pixels(pixels)
        assert picture.alpha is not None
        return torch.cat((pixels, picture.alpha[None])).movedim(0, -1)

    @contextmanager
    def blamed(self, latest: Callable[[], int]) -> Generator[None]:
        """Errors tell the frame that `latest` gives; those that the host must know by their type, in the log only."""
        try:
            yield
        except (GpenError, ValueError) as error:
            kind = type(error) if isinstance(error, GpenError) else ValueError
            raise kind(f"{self._name(latest())}{error}") from error
        except Exception as error:
            if not isinstance(error, mm.InterruptProcessingException):
                log.warning("GPEN: %sthe work stopped", self._name(latest()))
            raise

    def _tell_once(self, number: int, what: str) -> None:
        if number not in self._told:
            log.warning("GPEN: %s%s", self._name(number), what)
        self._told.add(number)

    def _name(self, number: int) -> str:
        return f"frame {number} of {len(self)} (the first is 0): " if len(self) > 1 else ""


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


def crop_image(crop: Tensor) -> Tensor:
    """A crop (3, S, S) as an IMAGE of one frame."""
    return crop.movedim(0, -1)[None].to(device=mm.intermediate_device(), dtype=intermediate_dtype())
