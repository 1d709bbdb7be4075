"""Faces found and shown, without restoring them."""

from __future__ import annotations

from torch import Tensor

from ..shared.gpen2048 import FaceRestorer, RestoreOptions
from ..shared.gpen2048.cancelling import cancellable
from ..shared.gpen2048.selection import ordered
from .boxes import Box, bounding_boxes, mask_of_boxes, numbered
from .frames import Batch, Frames
from .host import loaded, stop_if_interrupted
from .model import GpenModel
from .progress import FaceProgress


@cancellable(stop_if_interrupted)
def detect(model: GpenModel, frames: Frames, options: RestoreOptions) -> tuple[list[list[Box]], Tensor, Tensor]:
    """The boxes of each frame, frames with numbered boxes (B, H, W, 3), and the boxes' insides (B, H, W).

    Of `options` those that say what is looked for count, and the order, which is that of the numbers and of the boxes.
    """
    detector = model.require_detector()
    restorer = FaceRestorer(model.network, detector)
    progress = FaceProgress(len(frames))
    memory = detector.memory_required(*frames.size, max_tilt=options.max_tilt) + frames.pixels_bytes
    boxes: list[list[Box]] = []
    previews, masks = Batch(len(frames)), Batch(len(frames))
    with loaded([model.others["detector"]], memory) as device:
        for number in range(len(frames)):
            progress.frame(number)
            pixels = frames.picture(number, device).pixels
            found = restorer.find_faces(pixels, options)
            faces = [found[place] for place in ordered(found, options.order)]
            boxes.append(bounding_boxes(faces))
            previews.put(number, numbered(pixels, faces))
            masks.put(number, mask_of_boxes(boxes[-1], frames.size))
    progress.frame(len(frames))
    return boxes, previews.frames, masks.frames
