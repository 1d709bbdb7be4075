"""Finding faces of any size: RetinaFace over a pyramid of the image, then a close-up of each face it proposes.

RetinaFace is sure only of faces from about 30 to 500 px, and its landmarks wander by a tenth of the eye distance with
the face's size and tilt. So every proposal is looked at again with the face upright and at fixed sizes: what is no face
is not found again, and the landmarks come out the same whatever size and tilt the face has in the photo.

A large photo is seen whole only in small. At half the size at which a face is found, RetinaFace has at least an inkling
of it; so only tiles with such a hint are looked at closer, and, for the smallest faces, tiles with fine detail. And
what looks like a large enough face without a hint at half the size is none, but a pattern in the grain.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import cast

import numpy as np
import torch
from torch import Tensor, nn

from .cancelling import check_cancelled
from .defaults import no_autocast, ordinary_tensors
from .detectors.close_ups import SURROUNDED, CloseUp
from .detectors.halving import Halvings, detail_bytes
from .detectors.memory import activation_bytes
from .detectors.proposals import Proposals, drop_fragments, hinted, merge, together, vote
from .detectors.retinaface import (
    anchor_boxes,
    build_network,
    decode_boxes,
    decode_landmarks,
    fold_batch_norms,
    load_weights,
    network_input,
    network_kind,
)
from .detectors.tilting import angles, turning_bytes, view_size
from .detectors.windows import EASY, Window, scales, tiles
from .errors import WeightsNotFoundError
from .faces import Face
from .weight_files.state_dicts import read_state_dict

THRESHOLD = 0.9  # of the score, as in GPEN's own code (face_enhancement.py)
PROPOSAL_THRESHOLD = 0.1  # a proposal costs only a close-up; at 20 px, 0.9 would lose two faces of three
OVERVIEW_PIXELS = 1.2e6  # the image is seen whole at all scales up to this area
# Every face of 11 px in the group photo scores at least 0.025; most pictures without faces hold no hint, a crowd many.
HINT_THRESHOLD = 0.02
HINT_SIZE = 40.0  # px, at most: what hints of a larger face shows it well enough already
HINTING = 2 / 3  # faces from EASY times this size, in px as seen, have given a hint at half the scale
# px as seen: at half the scale 1591 faces in degraded group photos gave hints of 0.056 or more, and none of 9 patterns
# of grain that looked like one.
HINTED = 40.0
# Each face of the group photo shows 5 to 14 levels at 10 to 20 px; a photo enlarged 8 times 2.5, with strong grain 3.
DETAIL = 3 / 255
CLOSE_UP_SIZES = (96, 128)  # px; a chance pattern seldom looks like a face at both. The last one gives the landmarks
CLOSE_UP_BATCH = 16
SMALLEST = 20.0  # px


@ordinary_tensors()
def load_detector(path: str | Path | None = None, *, device: torch.device | str = "cpu") -> FaceDetector:
    """The RetinaFace detector in a .pth, .pt or .safetensors file, on `device`; its kind is read from the file's keys.

    Nothing is searched for or downloaded: without a path it raises WeightsNotFoundError naming the files to look for.
    Raises CheckpointError saying what the file is when it is not a sound RetinaFace detector.
    """
    if path is None:
        files = "detection_Resnet50_Final.pth or detection_mobilenet0.25_Final.pth"
        raise WeightsNotFoundError(f"no path to a face detector given; wanted that of {files}")
    state = read_state_dict(path)
    state = {key.removeprefix("module."): tensor for key, tensor in state.items()}
    kind = network_kind(state, path)
    network = build_network(kind)
    load_weights(network, state, path)
    fold_batch_norms(network)
    return FaceDetector(network.to(device), kind)


class FaceDetector:
    """Finds faces with a RetinaFace `network`, which a host may wrap, move or offload. Holds no state between calls."""

    def __init__(self, network: nn.Module, kind: str):
        self.network = network
        self.kind = kind

    @torch.inference_mode()
    def __call__(self, image: Tensor, threshold: float = THRESHOLD, *, smallest: float = SMALLEST) -> list[Face]:
        """The faces in `image`, surest first, each once.

        `image` is (3, H, W) float32 RGB in [0, 1]; the work is done on its device, where the network must be too. A
        face's score, in [0, 1], is at least `threshold`. Faces below `smallest` px are not looked for, though some may
        be found; on a large image the time grows with 1 / smallest². Raises ValueError for other arguments.
        """
        _check_arguments(image, threshold, smallest)
        copies = Halvings(image)
        found = merge(self._search(copies, smallest))
        for size in CLOSE_UP_SIZES:
            starts = range(0, len(found.scores), CLOSE_UP_BATCH)
            batches = [found.take(slice(start, start + CLOSE_UP_BATCH)) for start in starts]
            found = merge([self._look_closely(copies, batch, size, threshold) for batch in batches])
        found = drop_fragments(found)
        return [Face(box.numpy(), points.numpy(), score.item()) for box, points, score in zip(*found)]

    def _search(self, image: Halvings, smallest: float) -> list[Proposals]:
        """What may be a face, from the smallest scale up to the largest."""
        height, width = image.copy(0).shape[1:]
        found: list[Proposals] = []
        coarser: Proposals | None = None
        for scale, windows, whole in _levels(height, width, smallest):
            if not whole and coarser is not None:
                unhinted, hints = _is_unhinted(scale, smallest), _middles(coarser, 2 * HINT_SIZE / scale)
                windows = [w for w in windows if w.holds(hints) or (unhinted and w.detail(image) > DETAIL)]
            seen = together([self._propose(image, window) for window in windows])
            likely = seen.take(seen.scores >= PROPOSAL_THRESHOLD)
            found.append(likely if coarser is None else hinted(likely, coarser, HINTED / scale))
            coarser = seen
        return found

    def memory_required(self, height: int, width: int, *, smallest: float = SMALLEST, max_tilt: float = 0) -> int:
        """Bytes used during a search of an image (3, height, width), which is not counted itself.

        With `max_tilt` also of `tilted_faces`, by which faces tilted by up to so many degrees are found.
        """
        upright, *others = angles(max_tilt)
        turned = [self._turned_bytes(height, width, angle, smallest) for angle in others]
        return max([self._memory_required(*view_size(height, width, upright), smallest), *turned])

    def _turned_bytes(self, height: int, width: int, angle: int, smallest: float) -> int:
        """Of the turned view, and of what it is made of or searched in, one after the other."""
        size = view_size(height, width, angle)
        view = 3 * math.prod(size) * torch.float32.itemsize
        return view + max(turning_bytes(height, width, angle), self._memory_required(*size, smallest))

    def _memory_required(self, height: int, width: int, smallest: float) -> int:
        levels = _levels(height, width, smallest)
        views = [math.prod(window.shape) for _, windows, _ in levels for window in windows]
        close_ups = CLOSE_UP_BATCH * (SURROUNDED * max(CLOSE_UP_SIZES)) ** 2
        detailed = [seen[0].halved for scale, seen, whole in levels[1:] if not whole and _is_unhinted(scale, smallest)]
        detail = max((detail_bytes(height, width, number) for number in detailed), default=0)
        copies = 3 * height * width * torch.float32.itemsize // 3  # halved: a quarter, a sixteenth, …
        return copies + max(detail, activation_bytes(self.kind, max(close_ups, *views)))

    def _propose(self, image: Halvings, window: Window) -> Proposals:
        offsets, anchors = self._predict(network_input(window.view(image))[None])
        seen = Proposals(*(part[0] for part in offsets))
        likely = seen.scores >= HINT_THRESHOLD
        found = _decoded(seen.take(likely), anchors[likely])
        found = _in_image(found.take(found.boxes.isfinite().all(dim=1)), window)
        sides = found.boxes[:, 2:] - found.boxes[:, :2]
        largest = window.largest * 2**window.halved
        return found.take((sides.amin(dim=1) > 0) & (sides.prod(dim=1).sqrt() <= largest))

    def _look_closely(self, image: Halvings, proposed: Proposals, size: int, threshold: float) -> Proposals:
        """The proposed faces as seen in close-ups `size` px large, without those that score below `threshold` there."""
        parts = zip(proposed.boxes.numpy(), proposed.landmarks.numpy())
        close_ups = [CloseUp(box, landmarks, size) for box, landmarks in parts]
        seen = _decoded(*self._predict(torch.stack([close_up.pixels(image) for close_up in close_ups])))
        expected = torch.from_numpy(np.stack([close_up.expected() for close_up in close_ups]))
        found = vote(seen, expected.float().to(seen.scores.device), threshold)
        boxes, landmarks, scores = (part.cpu().double() for part in found)
        seen_there = zip(close_ups, boxes.numpy(), landmarks.numpy())
        moved = [close_up.to_image(box, points) for close_up, box, points in seen_there]
        boxes, landmarks = (torch.from_numpy(np.stack(part)) for part in zip(*moved))
        return Proposals(boxes, landmarks, scores).take(scores >= threshold)

    def _predict(self, views: Tensor) -> tuple[Proposals, Tensor]:
        """What the network says to views (N, 3, h, w): of (N, A) possible faces, and the anchors (A, 4) it means."""
        check_cancelled("finding faces")
        views = views.contiguous(memory_format=torch.channels_last)  # 1.5 to 1.8 times as fast on the CPU
        with no_autocast(views.device):
            boxes, scores, landmarks = cast("tuple[Tensor, Tensor, Tensor]", self.network(views))
        return Proposals(boxes, landmarks, scores[..., 1]), anchor_boxes(*views.shape[2:]).to(views.device)


def _decoded(seen: Proposals, anchors: Tensor) -> Proposals:
    """(…, A) faces as the network tells them by (A, 4) anchors, in px of the view."""
    return Proposals(decode_boxes(seen.boxes, anchors), decode_landmarks(seen.landmarks, anchors), seen.scores)


def _check_arguments(image: Tensor, threshold: float, smallest: float) -> None:
    if image.ndim != 3 or image.shape[0] != 3 or 0 in image.shape or image.dtype != torch.float32:
        raise ValueError(f"image of shape {tuple(image.shape)}, {image.dtype}; wanted (3, H, W) RGB, torch.float32")
    if not 0 < threshold <= 1:
        raise ValueError(f"threshold {threshold}; wanted more than 0 and at most 1")
    if not 0 < smallest < math.inf:
        raise ValueError(f"smallest face {smallest} px; wanted more than 0, and a number")


def _levels(height: int, width: int, smallest: float) -> list[tuple[float, list[Window], bool]]:
    """Scales, rising; the windows that cover an image there; and whether all of them are looked at."""
    levels: list[tuple[float, list[Window], bool]] = []
    for scale in scales(height, width, smallest):
        whole = height * width * scale**2 <= OVERVIEW_PIXELS
        levels.append((scale, tiles(height, width, scale, small=not whole, all_sizes=not levels), whole))
    return levels


def _is_unhinted(scale: float, smallest: float) -> bool:
    """Whether faces may be found at `scale` that gave no hint at half of it, so that detail tells where to look."""
    return smallest * scale < HINTING * EASY


def _middles(found: Proposals, largest: float) -> Tensor:
    """The middles (N, 2) of the boxes up to `largest` px."""
    corners = found.boxes.reshape(-1, 2, 2)
    small = (corners[:, 1] - corners[:, 0]).prod(dim=1).sqrt() <= largest
    return corners[small].mean(dim=1)


def _in_image(found: Proposals, window: Window) -> Proposals:
    """From px of the view to px of the image, float64 on the CPU."""
    boxes, landmarks, scores = (part.cpu().double() for part in found)
    points = window.to_image(torch.cat((boxes.reshape(-1, 2, 2), landmarks), dim=1))  # [N72]
    return Proposals(points[:, :2].reshape(-1, 4), points[:, 2:], scores)
