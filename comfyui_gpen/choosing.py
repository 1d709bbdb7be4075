"""Which faces of a frame are to be restored, before the options choose among them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch.nn.functional as F
from torch import Tensor

from ..shared.gpen2048 import Face, FaceReport
from .boxes import Box, boxes_of_frame, faces_of_boxes, in_boxes, mask_of_boxes, mask_of_frame
from .frames import Frames


@dataclass(frozen=True)
class Choice:
    """What the wires `mask` and `bboxes` say of `frames`."""

    frames: Frames
    mask: Tensor | None = None
    bboxes: Any = None

    def __post_init__(self) -> None:
        """InvalidOptionError when a wire is for another number of frames."""
        if self.mask is not None:
            mask_of_frame(self.mask, 0, len(self.frames))
        if self.bboxes is not None:
            boxes_of_frame(self.bboxes, 0, len(self.frames))

    @property
    def needs_detector(self) -> bool:
        """False when every box brings its landmarks along."""
        return not all(self._are_described)

    @property
    def describes_faces(self) -> bool:
        """Whether boxes bring their landmarks along; those of a frame without any do not say."""
        return not self.needs_detector or any(there and self._boxes(n) for n, there in enumerate(self._are_described))

    @cached_property
    def _are_described(self) -> list[bool]:
        number, described = 0, [False] * len(self.frames)
        with self.frames.blamed(lambda: number):
            for number in range(len(self.frames)):
                described[number] = self.bboxes is not None and self._described(number) is not None
        return described

    def faces(self, number: int, find: Callable[[], list[Face]]) -> list[Face]:
        """The faces of frame `number`: those of the boxes as they are, or what `find` gives."""
        described = self._described(number) if self.bboxes is not None else None
        return find() if described is None else described

    def region(self, number: int) -> Tensor | None:
        """(h, w) in [0, 1], of any size: where the middle of a face of the frame must lie; None for anywhere."""
        mask = self._mask(number)
        if self.bboxes is None or (self.describes_faces and self._described(number) is not None):
            return mask  # boxes that are the faces limit nothing
        inside = mask_of_boxes(self._boxes(number), self.frames.size)
        return inside if mask is None else inside * _sized(mask, self.frames.size).to(inside)

    def reason(self, number: int, face: Face | FaceReport) -> str:
        """What `face` of frame `number`, which is not in the region, or in a film not for long, lies outside of."""
        outside = self.bboxes is not None and (self.mask is None or not in_boxes(face, self._boxes(number)))
        return "outside the bounding boxes" if outside else "outside the mask"

    def _described(self, number: int) -> list[Face] | None:
        return faces_of_boxes(self._boxes(number))

    def _boxes(self, number: int) -> list[Box]:
        return boxes_of_frame(self.bboxes, number, len(self.frames))

    def _mask(self, number: int) -> Tensor | None:
        return None if self.mask is None else mask_of_frame(self.mask, number, len(self.frames))


def _sized(mask: Tensor, size: tuple[int, int]) -> Tensor:
    return F.interpolate(mask[None, None].float(), size=size, mode="nearest-exact")[0, 0]
