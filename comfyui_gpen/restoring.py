"""A batch of frames through the restorer, a few at a time, so that memory does not grow with their number."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, replace
from typing import Any

import torch
from comfy.model_patcher import ModelPatcher
from torch import Tensor

from ..shared.gpen2048 import (
    FaceDetector,
    FaceParser,
    FaceReport,
    FaceRestorer,
    Request,
    Restoration,
    RestoreOptions,
    restore_sequence,
)
from ..shared.gpen2048.cancelling import cancellable
from ..shared.gpen2048.memory import canvas_bytes, step_bytes
from ..shared.gpen2048.selection import ELSEWHERE
from .batching import faces_at_once
from .choosing import Choice
from .finding import Finding
from .frames import Batch, Frames, crop_image
from .host import loaded, stop_if_interrupted
from .model import GpenModel
from .progress import FaceProgress, stages_of_face
from .reporting import frame_report, report_text, summary
from .sparing import SparingNetwork
from .upscaling import ModelBackground

log = logging.getLogger(__name__)

FRAMES_AHEAD = 14  # that restore_sequence looks at before it restores one
WAITING_BYTES = 11 * 4  # of a frame that waits for the others in its batch: photo, background, change and masks


@dataclass
class Restored:
    """The outputs of Restore Faces."""

    image: Tensor
    mask: Tensor
    crops: list[Tensor]
    report: str


@dataclass
class Restoring:
    """One execution: `model` with `options` over `frames`, on the faces of `choice`.

    `sequence`: the frames are consecutive ones of a film.
    """

    model: GpenModel
    options: RestoreOptions
    frames: Frames
    choice: Choice
    background: ModelBackground | None = None
    sequence: bool = False

    def __post_init__(self) -> None:
        frames, stages = len(self.frames), stages_of_face(self.model.network.config)
        ahead = self.sequence or self.options.scale == "auto"
        self._progress = FaceProgress(frames, stages, searches=frames if ahead else 0)
        self._finding = Finding(self.model, self.options, self.frames, self.choice, self.sequence, self._progress)
        self._scale: float | None = None  # of all frames, where their faces decide on it
        self._images, self._masks = Batch(len(self.frames)), Batch(len(self.frames))
        self._crops: list[Tensor] = []
        self._reports: list[dict[str, Any]] = []

    @cancellable(stop_if_interrupted)
    def run(self) -> Restored:
        """Restores all frames. Whatever the host raises to interrupt passes through."""
        parser = self.model.require_parser() if self.options.needs_parser else None
        self._progress.frame(0)
        self._scale = self._finding.look_ahead()
        with ExitStack() as stack:
            restorer, device = self._prepare(stack, parser)
            stack.enter_context(self.frames.blamed(lambda: self._progress.latest))
            for number, result in enumerate(self._results(restorer, device)):
                self._keep(number, result)
        log.info("GPEN: %s", summary(self._reports))
        report = report_text(self.model, self.options, self._reports)
        return Restored(self._images.frames, self._masks.frames, self._crops, report)

    def _prepare(self, stack: ExitStack, parser: FaceParser | None) -> tuple[FaceRestorer, torch.device]:
        """Everything in memory in one request, until `stack` ends."""
        detector = self._finding.detector
        patchers = self._patchers(detector)
        at_once = faces_at_once(self.model, held=self._waiting_bytes)
        if self.background is not None:  # first: an older ComfyUI's model makes room for itself, in other models' place
            stack.enter_context(self.background)
        device = stack.enter_context(loaded(patchers, self._memory_required(at_once, detector, parser)))
        network = stack.enter_context(SparingNetwork(self.model, self._progress.show, patchers[1:]))
        return FaceRestorer(network, detector, parser, batch=at_once), device

    def _patchers(self, detector: FaceDetector | None) -> list[ModelPatcher]:
        used = {"detector": detector is not None, "parser": self.options.needs_parser}
        others = [self.model.others[name] for name, wanted in used.items() if wanted]
        return [self.model.patcher, *others, *(self.background.patchers if self.background else [])]

    def _memory_required(self, faces: int, detector: FaceDetector | None, parser: FaceParser | None) -> int:
        """Bytes for the most demanding step with `faces` at once, and for the frames that are there in all of them."""
        model, size = self.model, self.frames.size
        device = model.patcher.load_device
        step = step_bytes(self.options, size, model.network, detector, parser, faces=faces, device=device)
        if self.background is not None:
            step = max(step, self.background.memory_required())
        ahead = FRAMES_AHEAD * self.frames.pixels_bytes if self.sequence else 0
        return step + canvas_bytes(size, self._largest_scale) + self._waiting_bytes * (faces - 1) + ahead

    @property
    def _waiting_bytes(self) -> int:
        """What each further face at once may hold: a frame of its own."""
        return WAITING_BYTES * self._output_pixels if len(self.frames) > 1 else 0

    @property
    def _output_pixels(self) -> int:
        height, width = self.frames.size
        return round(height * width * self._largest_scale**2)

    @property
    def _largest_scale(self) -> float:
        most = self.options.max_scale if self.options.scale == "auto" else int(self.options.scale)
        return self._scale or most

    def _results(self, restorer: FaceRestorer, device: torch.device) -> Iterator[Restoration]:
        if not self.sequence:
            return restorer.each(self._requests(restorer, device))
        return restore_sequence(
            self._film(device),
            restorer,
            self.options,
            faces=self._finding.described(restorer, device),
            region=self.choice.region,
            background=self.background,
            total=len(self.frames),
            on_progress=self._progress.of_sequence,
        )

    def _film(self, device: torch.device) -> Iterator[Tensor]:
        """The frames, which are asked for one by one to look for their faces."""
        for number in range(len(self.frames)):
            self._progress.searched(number)
            yield self.frames.picture(number, device).pixels

    def _requests(self, restorer: FaceRestorer, device: torch.device) -> Iterator[Request]:
        """One for each frame, made when the restorer is ready for it."""
        for number in range(len(self.frames)):
            pixels = self.frames.picture(number, device).pixels
            on_progress = self._progress.of_frame(number)
            stop_if_interrupted()
            faces, region = self._finding.faces(number, pixels, restorer), self.choice.region(number)
            options = replace(self.options, max_crops=self._crops_wanted())
            yield Request(
                pixels,
                options,
                faces,
                self._scale,
                self.background,
                on_progress,
                region=region,
                in_place=True,  # the frame's own copy
            )

    def _crops_wanted(self) -> int:
        return self.options.max_crops - len(self._crops)

    def _keep(self, number: int, result: Restoration) -> None:
        """Frames that were under way together may have kept more crops than are wanted in all."""
        self._images.put(number, self.frames.image_with(number, result.image))
        self._masks.put(number, result.mask)
        self._crops += [crop_image(after) for _, after in result.crops[: self._crops_wanted()]]
        reports = [self._explained(number, report) for report in result.faces]
        self._reports.append(frame_report(number, result.scale, reports))
        self._progress.searched(number + 1)
        self._progress.frame(number + 1)

    def _explained(self, number: int, report: FaceReport) -> FaceReport:
        """A refusal in the words of the node's inputs."""
        return replace(report, reason=self.choice.reason(number, report)) if report.reason == ELSEWHERE else report
