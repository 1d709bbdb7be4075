"""Which faces are meant: ComfyUI's MASK and BOUNDING_BOX, and back from faces to boxes and a numbered picture."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

from ..shared.gpen2048 import Face, FaceReport, InvalidOptionError

Box = dict[str, Any]
COLOUR = (255, 220, 0)
FACE_POINTS = 5


def bounding_boxes(faces: Sequence[Face]) -> list[Box]:
    """One frame's faces as ComfyUI's boxes, with the landmarks beside so that nothing has to be found again."""
    boxes: list[Box] = []
    for face in faces:
        x0, y0, x1, y1 = face.box.tolist()
        place = {"x": x0, "y": y0, "width": x1 - x0, "height": y1 - y0}
        boxes.append({**place, "label": "face", "score": face.score, "landmarks": face.landmarks.tolist()})
    return boxes


def boxes_of_frame(bboxes: Any, number: int, frames: int) -> list[Box]:
    """The boxes for one frame: of a list for each frame, of one list for all frames, or of a single box."""
    if isinstance(bboxes, dict):
        return [bboxes]
    if not isinstance(bboxes, (list, tuple)):
        raise InvalidOptionError(f"bboxes is {type(bboxes).__name__}; wanted boxes or one list of boxes per frame")
    if all(isinstance(box, dict) for box in bboxes):  # an empty list: a detector that found nothing
        return list(bboxes)
    if len(bboxes) not in (1, frames):
        raise InvalidOptionError(f"bboxes are for {len(bboxes)} frames; the image has {frames}")
    boxes = bboxes[number if len(bboxes) == frames else 0]
    if not isinstance(boxes, (list, tuple)) or not all(isinstance(box, dict) for box in boxes):
        raise InvalidOptionError(f"bboxes of a frame are {boxes!r:.80}; wanted boxes with x, y, width and height")
    return list(boxes)


def faces_of_boxes(boxes: Sequence[Box]) -> list[Face] | None:
    """The faces that the boxes describe, or None when a box has no landmarks and faces must be looked for."""
    landmarks = [_landmarks(box) for box in boxes]
    known = [points for points in landmarks if points is not None]
    if len(known) < len(boxes):
        return None
    return [Face(_corners(box), points, _score(box)) for box, points in zip(boxes, known)]


def in_boxes(face: Face | FaceReport, boxes: Sequence[Box]) -> bool:
    """Whether the face's centre lies in one of the boxes."""
    x, y = centre(face)
    corners = [_corners(box) for box in boxes]
    return any(x0 <= x <= x1 and y0 <= y <= y1 for x0, y0, x1, y1 in corners)


def mask_of_frame(mask: Tensor, number: int, frames: int) -> Tensor:
    """(h, w) for one frame of a MASK (B, h, w) or (h, w); one mask serves all frames."""
    if mask.ndim < 2 or not mask.numel():
        raise InvalidOptionError(f"mask is of shape {tuple(mask.shape)}; wanted (B, height, width), none of them 0")
    masks = mask.reshape(-1, *mask.shape[-2:])
    if len(masks) not in (1, frames):
        raise InvalidOptionError(f"mask is for {len(masks)} frames; the image has {frames}")
    return masks[number if len(masks) == frames else 0]


def centre(face: Face | FaceReport) -> tuple[float, float]:
    x0, y0, x1, y1 = face.box.tolist()
    return (x0 + x1) / 2, (y0 + y1) / 2


def mask_of_boxes(boxes: Sequence[Box], size: tuple[int, int]) -> Tensor:
    """(H, W): 1 in the boxes."""
    mask = torch.zeros(size, dtype=torch.float32, device="cpu")
    for box in boxes:
        x0, y0, x1, y1 = (round(edge) for edge in _corners(box))
        mask[max(0, y0) : max(0, y1 + 1), max(0, x0) : max(0, x1 + 1)] = 1
    return mask


def numbered(pixels: Tensor, faces: Sequence[Face]) -> Tensor:
    """`pixels` (3, H, W) with a box and a number at each face: (H, W, 3) on the CPU."""
    picture = Image.fromarray(pixels.clamp(0, 1).mul(255).byte().movedim(0, -1).cpu().numpy())
    draw = ImageDraw.Draw(picture)
    line = max(1, round(max(picture.size) / 600))
    font = _font(max(12, round(max(picture.size) / 60)))
    for number, face in enumerate(faces):
        x0, y0, x1, y1 = face.box.tolist()
        draw.rectangle((x0, y0, x1, y1), outline=COLOUR, width=line)
        _label(draw, (x0, y1), str(number), font, line, picture.size)
    return torch.from_numpy(np.asarray(picture).copy()).float() / 255


def _label(draw: Any, place: tuple[float, float], text: str, font: Any, margin: int, size: tuple[int, int]) -> None:
    """`text` below and right of `place`, or as near to that as all of it lies in the picture of `size` (W, H)."""
    left, top, right, bottom = draw.textbbox(place, text, font=font)
    x = place[0] + max(margin - left, min(0, size[0] - 1 - margin - right))
    y = place[1] + max(margin - top, min(0, size[1] - 1 - margin - bottom))
    left, top, right, bottom = draw.textbbox((x, y), text, font=font)
    draw.rectangle((left - margin, top - margin, right + margin, bottom + margin), fill=COLOUR)
    draw.text((x, y), text, fill=(0, 0, 0), font=font)


def _font(size: int) -> Any:
    try:
        return ImageFont.load_default(size)
    except TypeError:  # Pillow before 10.1 has one size only
        return ImageFont.load_default()


def _landmarks(box: Box) -> NDArray[np.float64] | None:
    """None where the box has none, or other ones than five points, as detectors of other packages give them."""
    landmarks = box.get("landmarks")
    try:
        if landmarks is None or len(landmarks) != FACE_POINTS:
            return None
        return np.asarray(landmarks.cpu() if isinstance(landmarks, Tensor) else landmarks, dtype=np.float64)
    except (TypeError, ValueError) as error:
        seen = f"{landmarks!r:.80}"
        raise InvalidOptionError(f"a bounding box has landmarks {seen}; wanted five points x, y") from error


def _score(box: Box) -> float:
    """1 where the box has none, as those of other packages."""
    score = box.get("score")
    try:
        if isinstance(score, bool):
            raise TypeError("no number")
        return 1.0 if score is None else float(score)  # NumPy's numbers as well
    except (TypeError, ValueError) as error:
        raise InvalidOptionError(f"a bounding box has score {score!r:.80}; wanted a number") from error


def _corners(box: Box) -> list[float]:
    try:
        x, y, width, height = (float(box[key]) for key in ("x", "y", "width", "height"))
        if not math.isfinite(x + y + width + height):
            raise ValueError("not finite")
    except (KeyError, TypeError, ValueError) as error:
        raise InvalidOptionError(f"a bounding box is {box}; wanted numbers x, y, width and height") from error
    return [x, y, x + width, y + height]
