"""The node's bar over all frames, with the last restored crop as its picture."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

import torch.nn.functional as F
from comfy.utils import ProgressBar
from PIL import Image
from torch import Tensor

from ..shared.gpen2048 import NetworkConfig
from .host import stop_if_interrupted

UNITS, SEARCH = 1000, 250  # of the bar for a frame's restoration, and for the search for its faces
PREVIEW = 512  # px


class FaceProgress:
    """One bar over `frames`, of which several may be under way at once; each update obeys interrupts.

    `stages` is how often a face is told of. In `searches` frames faces are looked for ahead of their restoration.
    `latest` is the frame that was worked on last.
    """

    def __init__(self, frames: int, stages: int = 1, searches: int = 0):
        self.latest = 0
        self._bar = ProgressBar(frames * UNITS + searches * SEARCH)
        self._searches = searches
        self._searched = 0
        self._stages = stages
        self._finished = 0
        self._shares: dict[int, float] = {}  # of the frames under way, 0 to 1
        self._crop: Tensor | None = None

    def frame(self, number: int) -> None:
        """All frames before `number` are done."""
        stop_if_interrupted()
        self._finished = number
        self._shares = {frame: share for frame, share in self._shares.items() if frame >= number}
        self._advance()

    def searched(self, number: int) -> None:
        """In all frames before `number` faces have been looked for."""
        self._searched = min(max(self._searched, number), self._searches)
        self._advance()

    def of_frame(self, number: int) -> Callable[[int, int, str], None]:
        """The restorer's on_progress for one frame, whose faces it tells of stage by stage."""
        stages: Counter[int] = Counter()
        self.latest = number

        def tell(done: int, total: int, what: str) -> None:
            stop_if_interrupted()
            self.latest = number
            if total:
                stages[done] += 1
                told = sum(min(stages[face], self._stages) for face in range(total))
                self._shares[number] = 1.0 if done >= total else told / (self._stages * total)
                self._advance()

        return tell

    def of_sequence(self, done: int, total: int, what: str) -> None:
        """restore_sequence's on_progress, which counts frames."""
        stop_if_interrupted()
        self.latest = done
        self._advance()

    def show(self, crop: Tensor) -> None:
        """Keeps a small copy of a restored crop (3, S, S) in [0, 1] for the next step's preview."""
        small = F.interpolate(crop[None].float(), size=(PREVIEW, PREVIEW), mode="bilinear", antialias=True)
        self._crop = small[0].clamp(0, 1).mul(255).byte().permute(1, 2, 0).cpu()

    def _advance(self) -> None:
        value = (self._finished + sum(self._shares.values())) * UNITS + self._searched * SEARCH
        crop, self._crop = self._crop, None
        preview = None if crop is None else ("JPEG", Image.fromarray(crop.numpy()), PREVIEW)
        self._bar.update_absolute(int(value), preview=preview)


def stages_of_face(config: NetworkConfig) -> int:
    """How often the restorer tells of one face: the network's levels down and up, before them, the crop, the paste."""
    return 2 * (len(config.resolutions) - 1) + 3
