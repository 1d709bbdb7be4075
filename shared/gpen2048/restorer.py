"""GPEN's method on one page: find the faces, straighten each, restore it, cut it out, lay it back.

Yang et al., "GAN Prior Embedded Network for Blind Face Restoration in the Wild", CVPR 2021.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from .alignment import Matrix, crop_face, crop_transform, density, enlarged
from .colour import original_chroma
from .compositing import Canvas, Region, box_mask, crop_region, parsed_mask, union
from .detection import FaceDetector
from .enlarging import Background, enlarge
from .errors import InvalidOptionError, WeightsNotFoundError
from .faces import Face
from .inference import Network
from .options import RestoreOptions
from .parsing import FaceParser
from .restoration import FaceReport, Restoration
from .selection import refusals

MAX_AUTO_SCALE = 4.0
Progress = Callable[[int, int, str], None]


class FaceRestorer:
    """Restores faces with `network` that `detector` finds; `parser` is needed for the mask "parse" only.

    `batch` faces of a picture run through the network at once.
    """

    def __init__(
        self,
        network: Network,
        detector: FaceDetector | None = None,
        parser: FaceParser | None = None,
        *,
        batch: int = 1,
    ):
        self.network = network
        self.detector = detector
        self.parser = parser
        self.batch = max(1, batch)

    @torch.no_grad()
    def __call__(
        self,
        image: Tensor,
        options: RestoreOptions = RestoreOptions(),  # noqa: B008  frozen, so safe to share
        *,
        faces: Sequence[Face] | None = None,
        scale: float | None = None,
        background: Tensor | Background | None = None,
        on_progress: Progress | None = None,
    ) -> Restoration:
        """Restores the faces of `image` (3, H, W), float32 RGB in [0, 1]; all work runs on its device.

        `faces` replaces detection; `scale` replaces `options.scale` with any enlargement, such as the one that all
        frames of a batch share. `on_progress(done, total, what)` is told of every stage of every face, and whatever it
        raises passes through. Pixels outside the mask are the input's own at scale 1; above, they are `background`, the
        enlarged picture (3, H', W') or what gives it for (image, (H', W')), by default a Lanczos enlargement.
        """
        _check_image(image)
        tell = on_progress or _silent
        if faces is None:
            tell(0, 0, "finding faces")
            faces = self._find(image, options)
        reasons = refusals(faces, options, (image.shape[1], image.shape[2]))
        reports = [
            FaceReport(face.box, face.landmarks, face.score, face.size, not reason, reason)
            for face, reason in zip(faces, reasons)
        ]
        tell(0, 0, "preparing the picture")
        scale = self.output_scale(image, faces, options) if scale is None else scale
        return self._restore(image, enlarge(image, scale, background), scale, options, reports, tell)

    def output_scale(self, image: Tensor, faces: Sequence[Face], options: RestoreOptions) -> float:
        """How much `image` (3, H, W) with these `faces` is enlarged; 1 to 4."""
        if options.scale != "auto":
            return float(options.scale)
        reasons = refusals(faces, options, (image.shape[1], image.shape[2]))
        restored = [face for face, reason in zip(faces, reasons) if not reason]
        return min(MAX_AUTO_SCALE, max([1.0, *(density(self._to_crop(face, options)) for face in restored)]))

    def _find(self, image: Tensor, options: RestoreOptions) -> list[Face]:
        if self.detector is None:
            raise WeightsNotFoundError("no face detector was given and no faces; wanted one of the two")
        return self.detector(image, options.threshold)

    def _restore(
        self,
        image: Tensor,
        background: Tensor,
        scale: float,
        options: RestoreOptions,
        reports: list[FaceReport],
        tell: Progress,
    ) -> Restoration:
        places = [self._place(report, background, scale, options) for report in reports if report.restored]
        canvas = Canvas(background, union([place.region for place in places]))
        crops: list[tuple[Tensor, Tensor]] = []
        notes: list[str] = []
        for done in range(0, len(places), self.batch):
            group = places[done : done + self.batch]
            stages = [_Stage(tell, done + number, len(places)) for number in range(len(group))]
            before = torch.stack([self._straighten(image, place, stage) for place, stage in zip(group, stages)])
            after = self._restore_crops(before, options, stages[0])
            notes += [getattr(self.network, "last_note", None) or ""] * len(group)
            for place, stage, crop in zip(group, stages, after):
                self._lay_back(canvas, crop, place, options, stage)
            crops += [(old.cpu(), new.cpu()) for old, new in zip(before, after[: options.max_crops - len(crops)])]
        tell(len(places), len(places), "finishing the picture")
        picture, mask = canvas.finish()
        return Restoration(picture, mask, crops, _with_notes(reports, notes, options.strength), scale)

    def _place(self, report: FaceReport, background: Tensor, scale: float, options: RestoreOptions) -> _Place:
        to_crop = self._to_crop(report, options)
        to_canvas = enlarged(to_crop, scale)
        size = (background.shape[1], background.shape[2])
        return _Place(to_crop, to_canvas, crop_region(to_canvas, self.network.config.size, size))

    def _to_crop(self, face: Face | FaceReport, options: RestoreOptions) -> Matrix:
        return crop_transform(face.landmarks, self.network.config.size, options.template)

    def _straighten(self, image: Tensor, place: _Place, stage: _Stage) -> Tensor:
        stage("straightening")
        return crop_face(image, place.to_crop, self.network.config.size).clamp_(0, 1)

    def _restore_crops(self, before: Tensor, options: RestoreOptions, stage: _Stage) -> Tensor:
        """(N, 3, S, S) in [0, 1] to the same."""
        stage("restoring")
        result = self.network(before * 2 - 1, on_stage=lambda: stage("restoring"))
        after = (result.float() / 2 + 0.5).clamp_(0, 1)
        return original_chroma(before, after) if options.colour == "original-chroma" else after

    def _lay_back(self, canvas: Canvas, crop: Tensor, place: _Place, options: RestoreOptions, stage: _Stage) -> None:
        stage("laying back")
        mask = box_mask(place.to_canvas, crop.shape[-1], place.region, options.feather, crop.device)
        if options.mask == "parse":
            if self.parser is None:
                raise InvalidOptionError(
                    "mask is 'parse' without a ParseNet; wanted parsing_parsenet.pth, or mask 'box'"
                )
            mask *= parsed_mask(self.parser(crop[None]), place.to_canvas, crop.shape[-1], place.region)
        canvas.lay(crop, place.to_canvas, mask, place.region, options.strength)


@dataclass(frozen=True)
class _Place:
    """Where one face's crop lies: in the photo, and on the canvas."""

    to_crop: Matrix
    to_canvas: Matrix
    region: Region


@dataclass(frozen=True)
class _Stage:
    """Tells of one face's stages."""

    tell: Progress
    done: int
    total: int

    def __call__(self, what: str) -> None:
        self.tell(self.done, self.total, f"face {self.done + 1} of {self.total}: {what}")


def _with_notes(reports: Sequence[FaceReport], notes: Sequence[str], strength: float) -> list[FaceReport]:
    left = iter(notes)
    return [replace(report, strength=strength, note=next(left)) if report.restored else report for report in reports]


def _check_image(image: Tensor) -> None:
    if image.ndim != 3 or image.shape[0] != 3 or image.dtype != torch.float32 or 0 in image.shape:
        raise ValueError(f"image is {image.dtype} {tuple(image.shape)}; wanted torch.float32 (3, height, width)")


def _silent(done: int, total: int, what: str) -> None:
    """Progress nobody listens to."""
