"""Parsed masks that stay steady along a film: each the mean of its face's in the last frames.

A parser decides every frame anew, so that edges and whole strands of hair flicker. Crops of one face are steadied
already, so masks are averaged where they lie in the crop. A mean forgets: what truly changes, such as a hand before the
face, is followed to the full within FRAMES frames, and on average after half of them.
"""

from __future__ import annotations

from collections import deque

import torch
from torch import Tensor

from ..parsing import Parsed

FRAMES = 6  # a quarter of a second; flicker becomes six times less from frame to frame
LEAD = FRAMES - 1  # earlier frames that a mask depends on
STEPS = 255  # in which masks are kept, four of them in the memory of one


class SteadyMasks:
    """The last masks of all faces that are in sight, for one film; frames come in order."""

    def __init__(self) -> None:
        self._kept: dict[object, deque[tuple[int, Tensor]]] = {}

    def steadied(self, frame: int, track: object, parsed: Parsed) -> Parsed:
        """What of `frame` (a number) `parsed` says of the face called `track`, averaged with what was said before."""
        self._kept = {name: kept for name, kept in self._kept.items() if kept[-1][0] > frame - FRAMES}
        kept = self._kept.setdefault(track, deque())
        kept.append((frame, _packed(parsed)))
        while kept[0][0] <= frame - FRAMES:
            kept.popleft()
        total = torch.stack([masks for _, masks in kept]).sum(dim=0, dtype=torch.float32)
        mask, skin = total / (STEPS * len(kept))
        return Parsed(mask, skin)


def _packed(parsed: Parsed) -> Tensor:
    """(2, M, M) uint8."""
    return (torch.stack((parsed.mask, parsed.skin)) * STEPS).round_().to(torch.uint8)
