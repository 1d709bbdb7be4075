"""A batch of frames through the restorer: one at a time, so that memory does not grow with their number."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import dataclass, replace
from typing import Any

import torch
from comfy.model_patcher import ModelPatcher
from torch import Tensor

from ..shared.gpen2048 import FaceRestorer, RestoreOptions
from .batching import faces_at_once, network_bytes
from .choosing import Choice, Chosen
from .frames import Batch, Frames, as_image, crop_image
from .host import FaceProgress, interruptible, loaded, stop_if_interrupted
from .model import GpenModel
from .reporting import frame_report, report_text
from .sparing import SparingNetwork
from .upscaling import ModelBackground

# Per output pixel in float32: picture, background, change, result and masks, with the temporaries of their blending.
CANVAS_BYTES = 24 * 4
DETECTOR_BYTES = 640 << 20  # RetinaFace with ResNet-50 on its largest tile, in float32


@dataclass
class Restored:
    """The outputs of Restore Faces."""

    image: Tensor
    mask: Tensor
    crops: list[Tensor]
    report: str


@dataclass
class Restoring:
    """One execution: `model` with `options` over `frames`, on the faces of `choice`."""

    model: GpenModel
    options: RestoreOptions
    frames: Frames
    choice: Choice
    background: ModelBackground | None = None

    def __post_init__(self) -> None:
        self._progress = FaceProgress(len(self.frames))
        self._images, self._masks = Batch(len(self.frames)), Batch(len(self.frames))
        self._crops: list[Tensor] = []
        self._reports: list[dict[str, Any]] = []

    def run(self) -> Restored:
        """Restores all frames. Whatever the host raises to interrupt passes through."""
        with ExitStack() as stack:
            restorer, device = self._prepare(stack)
            known, scale = self._look_ahead(restorer, device)
            for number in range(len(self.frames)):
                self._progress.frame(number)
                self._restore(number, restorer, device, known.get(number), scale)
        self._progress.frame(len(self.frames))
        report = report_text(self.model, self.options, self._reports)
        return Restored(self._images.frames, self._masks.frames, self._crops, report)

    def _prepare(self, stack: ExitStack) -> tuple[FaceRestorer, torch.device]:
        """Everything in memory in one request, until `stack` ends."""
        parser = self.model.require_parser() if self.options.needs_parser else None
        detector = self.model.require_detector() if self.choice.needs_detector else None
        patchers = self._patchers()
        at_once = faces_at_once(self.model)
        device = stack.enter_context(loaded(patchers, self._memory_required(at_once)))
        network = stack.enter_context(SparingNetwork(self.model, self._progress.show, patchers[1:]))
        if self.background is not None:
            stack.enter_context(self.background)
        stack.enter_context(interruptible(detector.network if detector else None))
        return FaceRestorer(network, detector, parser, batch=at_once), device

    def _patchers(self) -> list[ModelPatcher]:
        used = {"detector": self.choice.needs_detector, "parser": self.options.needs_parser}
        others = [self.model.others[name] for name, wanted in used.items() if wanted]
        return [self.model.patcher, *others, *(self.background.patchers if self.background else [])]

    def _memory_required(self, faces: int) -> int:
        """Bytes for the most demanding step, with `faces` at once, and for the photo that is there in all of them."""
        height, width = self.frames.size
        scale = self.options.max_scale if self.options.scale == "auto" else int(self.options.scale)
        steps = [network_bytes(self.model, faces)]
        steps += [DETECTOR_BYTES] if self.choice.needs_detector else []
        steps += [self.background.memory_required()] if self.background else []
        return max(steps) + round(CANVAS_BYTES * height * width * scale**2)

    def _look_ahead(self, restorer: FaceRestorer, device: torch.device) -> tuple[dict[int, Chosen], float | None]:
        """Faces and scale of the whole batch where they are needed first: its frames share one size, even at "auto"."""
        if self.options.scale != "auto" or len(self.frames) == 1:
            return {}, None
        known: dict[int, Chosen] = {}
        scale = 1.0
        for number in range(len(self.frames)):
            stop_if_interrupted()
            pixels = self.frames.picture(number, device).pixels
            known[number] = self._choose(number, pixels, restorer)
            scale = max(scale, restorer.output_scale(pixels, known[number].faces, self.options))
        return known, scale

    def _choose(self, number: int, pixels: Tensor, restorer: FaceRestorer) -> Chosen:
        return self.choice.of_frame(number, pixels, restorer.detector, self.options.threshold)

    def _restore(
        self, number: int, restorer: FaceRestorer, device: torch.device, chosen: Chosen | None, scale: float | None
    ) -> None:
        picture = self.frames.picture(number, device)
        chosen = chosen or self._choose(number, picture.pixels, restorer)
        result = restorer(
            picture.pixels,
            replace(self.options, max_crops=max(0, self.options.max_crops - len(self._crops))),
            faces=chosen.faces,
            scale=scale,
            background=self.background,
            on_progress=self._progress.tell,
        )
        self._images.put(number, as_image(picture.with_pixels(result.image)))
        self._masks.put(number, result.mask)
        self._crops += [crop_image(after) for _, after in result.crops]
        self._reports.append(frame_report(number, result.scale, result.faces, chosen.refused))
