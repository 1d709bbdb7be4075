"""Which faces of a frame are to be restored, before the options choose among them."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

from torch import Tensor

from ..shared.gpen2048 import Face, FaceDetector
from .boxes import boxes_of_frame, faces_of_boxes, in_boxes, in_mask, mask_of_frame
from .frames import Frames


@dataclass(frozen=True)
class Chosen:
    """The faces of one frame, and those left out with the reason."""

    faces: list[Face]
    refused: list[tuple[Face, str]]


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
    def is_made(self) -> bool:
        """Whether a wire says anything."""
        return self.mask is not None or self.bboxes is not None

    @cached_property
    def needs_detector(self) -> bool:
        """False when every box brings its landmarks along."""
        if self.bboxes is None:
            return True
        number = 0
        with self.frames.blamed(lambda: number):
            for number in range(len(self.frames)):
                if self._described(number) is None:
                    return True
        return False

    def of_frame(self, number: int, pixels: Tensor, detector: FaceDetector | None, threshold: float) -> Chosen:
        """The faces meant in `pixels` (3, H, W): those of the boxes as they are, or those found."""
        found = self._described(number) if self.bboxes is not None else None
        if found is None:
            assert detector is not None
            found = detector(pixels, threshold)
        reasons = [self._reason(face, number) for face in found]
        faces = [face for face, reason in zip(found, reasons) if not reason]
        return Chosen(faces, [(face, reason) for face, reason in zip(found, reasons) if reason])

    def _described(self, number: int) -> list[Face] | None:
        return faces_of_boxes(boxes_of_frame(self.bboxes, number, len(self.frames)))

    def _reason(self, face: Face, number: int) -> str:
        if self.bboxes is not None and not in_boxes(face, boxes_of_frame(self.bboxes, number, len(self.frames))):
            return "outside the bounding boxes"
        if self.mask is not None and not in_mask(
            face, mask_of_frame(self.mask, number, len(self.frames)), self.frames.size
        ):
            return "outside the mask"
        return ""
