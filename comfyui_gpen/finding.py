"""The faces of each frame, found when it is its turn, or all of them beforehand where they decide on the scale."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor

from ..shared.gpen2048 import Face, FaceDetector, FaceRestorer, Request, RestoreOptions
from ..shared.gpen2048.judging import judge
from .choosing import Choice
from .frames import Frames
from .host import loaded, stop_if_interrupted
from .model import GpenModel
from .progress import FaceProgress


@dataclass
class Finding:
    """One execution's search; the fields are those of Restoring."""

    model: GpenModel
    options: RestoreOptions
    frames: Frames
    choice: Choice
    sequence: bool
    progress: FaceProgress
    _found: dict[int, list[Face]] = field(default_factory=dict)  # beforehand, in the frames not asked for yet

    @property
    def detector(self) -> FaceDetector | None:
        """The detector, while there are frames whose faces it must find."""
        wanted = self.choice.needs_detector and len(self._found) < len(self.frames)
        return self.model.require_detector() if wanted else None

    def look_ahead(self) -> float | None:
        """The scale, where faces decide on it; all frames share it. Finds all faces, with the detector alone in memory.

        So no more is asked for afterwards than this scale needs, which is mostly far below the largest.
        """
        if self.options.scale != "auto" or self.sequence:
            return None
        detector, device = self.detector, self.model.patcher.load_device
        restorer = FaceRestorer(self.model.network, detector)
        with ExitStack() as stack:
            if detector is not None:
                needed = detector.memory_required(*self.frames.size, max_tilt=self.options.max_tilt)
                memory = needed + self.frames.pixels_bytes
                device = stack.enter_context(loaded([self.model.others["detector"]], memory))
            stack.enter_context(self.frames.blamed(lambda: self.progress.latest))
            return max(self._scale(number, restorer, device) for number in range(len(self.frames)))

    def faces(self, number: int, pixels: Tensor, restorer: FaceRestorer) -> list[Face]:
        """All faces of frame `number`, whose `pixels` are (3, H, W)."""
        found = self._found.pop(number, None)
        return self._find(number, pixels, restorer) if found is None else found

    def described(self, restorer: FaceRestorer, device: torch.device) -> Iterator[list[Face]] | None:
        """The faces of each frame of a film, where boxes bring landmarks along; None where all are to be found."""
        if not self.choice.describes_faces:
            return None
        numbers = range(len(self.frames))
        return (self._find(n, self.frames.picture(n, device).pixels, restorer) for n in numbers)

    def _find(self, number: int, pixels: Tensor, restorer: FaceRestorer) -> list[Face]:
        """In a film the smallest faces are looked for, too, lest one at the border come and go."""
        self.progress.latest = number
        options = replace(self.options, min_face=0) if self.sequence else self.options
        return self.choice.faces(number, lambda: restorer.find_faces(pixels, options))

    def _scale(self, number: int, restorer: FaceRestorer, device: torch.device) -> float:
        stop_if_interrupted()
        pixels = self.frames.picture(number, device).pixels
        self._found[number] = self._find(number, pixels, restorer)
        self.progress.searched(number + 1)
        reports = judge(Request(pixels, self.options, region=self.choice.region(number)), self._found[number])
        restored = [Face(report.box, report.landmarks, report.score) for report in reports if report.restored]
        return restorer.output_scale(pixels, restored, replace(self.options, select="all"))
