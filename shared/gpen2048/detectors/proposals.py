"""Possible faces as tensors, and the rules by which several for one face become one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

SAME_FACE = 0.4  # boxes that overlap (intersection over union) by more are one face (face_enhancement.py of GPEN)
INSIDE = 0.8  # of two faces, one with this part of its area in the other's box, only the surer is a face
AT_ONCE = 64  # boxes compared with others: a crowd has ten thousands of either, which all at once would take gigabytes


class Proposals(NamedTuple):
    """N possible faces: boxes (N, 4) x0, y0, x1, y1 and landmarks (N, 5, 2) in px, scores (N,) in [0, 1]."""

    boxes: Tensor
    landmarks: Tensor
    scores: Tensor

    def take(self, index: Tensor | slice) -> Proposals:
        """Those that `index` selects, in its order."""
        return Proposals(self.boxes[index], self.landmarks[index], self.scores[index])


def together(parts: Sequence[Proposals]) -> Proposals:
    """All parts as one, float64 on the CPU."""
    empty = Proposals(*(torch.empty(shape, dtype=torch.float64, device="cpu") for shape in ((0, 4), (0, 5, 2), (0,))))
    return Proposals(*(torch.cat(tensors) for tensors in zip(empty, *parts)))


def hinted(found: Proposals, hints: Proposals, size: float) -> Proposals:
    """Those of `found` that are smaller than `size` px, or the same face as one of `hints`."""
    kept = _areas(found.boxes).sqrt() < size
    large = (~kept).nonzero()[:, 0]
    for start in range(0, len(large), AT_ONCE):
        part = large[start : start + AT_ONCE]
        kept[part] = _are_among(found.boxes[part], hints.boxes)
    return found.take(kept)


def merge(parts: Sequence[Proposals]) -> Proposals:
    """All parts, float64 on the CPU, as one: each face once, surest first."""
    from torchvision.ops import nms

    found = together(parts)
    return found.take(nms(found.boxes, found.scores, SAME_FACE))


def drop_fragments(found: Proposals) -> Proposals:
    """`found`, surest first, without boxes that lie within a surer box, or around one."""
    kept: list[int] = []
    for number, box in enumerate(found.boxes):
        others = found.boxes[kept]
        shared = torch.minimum(box[2:], others[:, 2:]) - torch.maximum(box[:2], others[:, :2])
        smaller = torch.minimum(_areas(box[None]), _areas(others))
        if not bool((shared.clamp(min=0).prod(dim=1) > INSIDE * smaller).any()):
            kept.append(number)
    return found.take(torch.tensor(kept, dtype=torch.long, device="cpu"))


def vote(seen: Proposals, expected: Tensor, threshold: float) -> Proposals:
    """For each of N expected boxes (N, 4), the mean of the A boxes seen that are the same face, weighted by score.

    `seen` holds (N, A) possible faces. RetinaFace says the same face from many anchors, each a little different; their
    mean varies far less with the face's size and place than the surest one. A score below `threshold` has no vote; the
    mean's score is the highest of its voters, zero without any.
    """
    from torchvision.ops import box_iou

    overlaps = torch.stack([box_iou(boxes, box[None])[:, 0] for boxes, box in zip(seen.boxes, expected)])
    votes = torch.where((overlaps > SAME_FACE) & (seen.scores >= threshold), seen.scores, 0.0)
    total = votes.sum(dim=1)[:, None, None]
    mask = votes[:, :, None] > 0  # boxes without a vote may be infinite
    points = torch.cat((seen.boxes.reshape(*votes.shape, 2, 2), seen.landmarks), dim=2)  # [NA72]
    weighted = torch.where(mask[..., None], points * votes[:, :, None, None], 0.0).sum(dim=1)  # [N72]
    mean = weighted / torch.where(total > 0, total, 1.0)
    return Proposals(mean[:, :2].reshape(-1, 4), mean[:, 2:], votes.amax(dim=1))


def _are_among(boxes: Tensor, others: Tensor) -> Tensor:
    """Which of `boxes` (N, 4) are the same face as one of `others` (M, 4): (N,) bool. N is at least 1."""
    from torchvision.ops import box_iou

    low, high = boxes[:, :2].amin(dim=0), boxes[:, 2:].amax(dim=0)
    near = ((others[:, 2:] > low) & (others[:, :2] < high)).all(dim=1)
    return (box_iou(boxes, others[near]) > SAME_FACE).any(dim=1)


def _areas(boxes: Tensor) -> Tensor:
    return (boxes[:, 2:] - boxes[:, :2]).prod(dim=1)
