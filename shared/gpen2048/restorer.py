"""GPEN's method on one page: find the faces, straighten each, restore it, lay it back.

Yang et al., "GAN Prior Embedded Network for Blind Face Restoration in the Wild", CVPR 2021.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from .alignment import Matrix, crop_face, crop_transform, density, enlarged
from .colour import original_chroma
from .compositing import Canvas, Region, box_mask, crop_region, union
from .detection import FaceDetector
from .errors import InvalidOptionError, WeightsNotFoundError
from .faces import Face
from .inference import Network
from .options import RestoreOptions
from .parsing import FaceParser
from .resampling import lanczos_resize, shift_origin, warp
from .selection import refusals

MAX_AUTO_SCALE = 4.0
Progress = Callable[[int, int, str], None]
Background = Callable[[Tensor, tuple[int, int]], Tensor]


@dataclass(frozen=True)
class FaceReport:
    """What was done to one found face. Box (4,), landmarks (5, 2) and size are in pixels of the input image."""

    box: NDArray[np.float64]
    landmarks: NDArray[np.float64]
    score: float
    size: float
    restored: bool = False
    reason: str = ""  # why not, when it was not restored
    strength: float = 0.0
    note: str = ""


@dataclass(frozen=True)
class Restoration:
    """The result: `image` (3, H', W') and `mask` (H', W'), float32 in [0, 1] on the input's device.

    `faces` has one report for each found face; `crops` the (before, after) pairs (3, S, S) of the restored ones, in the
    same order, on the CPU; `scale` is how much larger than the input the image is.
    """

    image: Tensor
    mask: Tensor
    crops: list[tuple[Tensor, Tensor]] = field(default_factory=list[tuple[Tensor, Tensor]])
    faces: list[FaceReport] = field(default_factory=list[FaceReport])
    scale: float = 1.0


class FaceRestorer:
    """Restores faces with `network` that `detector` finds; `parser` is needed for the mask "parse" only."""

    def __init__(self, network: Network, detector: FaceDetector | None = None, parser: FaceParser | None = None):
        self.network = network
        self.detector = detector
        self.parser = parser

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
        reports = [
            FaceReport(face.box, face.landmarks, face.score, face.size, not reason, reason)
            for face, reason in zip(faces, refusals(faces, options, (image.shape[1], image.shape[2])))
        ]
        tell(0, 0, "preparing the picture")
        scale = self.output_scale(image, faces, options) if scale is None else scale
        return self._restore(_enlarge(image, scale, background), image, options, reports, scale, tell)

    def output_scale(self, image: Tensor, faces: Sequence[Face], options: RestoreOptions) -> float:
        """How much `image` (3, H, W) with these `faces` is enlarged; 1 to 4."""
        if options.scale != "auto":
            return float(options.scale)
        reasons = refusals(faces, options, (image.shape[1], image.shape[2]))
        restored = [face for face, reason in zip(faces, reasons) if not reason]
        return min(MAX_AUTO_SCALE, max([1.0, *(density(self._to_crop(face, options)) for face in restored)]))

    def _to_crop(self, face: Face | FaceReport, options: RestoreOptions) -> Matrix:
        return crop_transform(face.landmarks, self.network.config.size, options.template)

    def _find(self, image: Tensor, options: RestoreOptions) -> list[Face]:
        if self.detector is None:
            raise WeightsNotFoundError("no face detector was given and no faces; wanted one of the two")
        return self.detector(image, options.threshold)

    def _restore(
        self,
        background: Tensor,
        image: Tensor,
        options: RestoreOptions,
        reports: list[FaceReport],
        scale: float,
        tell: Progress,
    ) -> Restoration:
        size = self.network.config.size
        chosen = [number for number, report in enumerate(reports) if report.restored]
        to_crops = [self._to_crop(reports[number], options) for number in chosen]
        placed = [enlarged(to_crop, scale) for to_crop in to_crops]
        regions = [crop_region(to_crop, size, _size(background)) for to_crop in placed]
        canvas = Canvas(background, union(regions))
        crops: list[tuple[Tensor, Tensor]] = []
        for done, (number, to_crop, to_canvas, region) in enumerate(zip(chosen, to_crops, placed, regions)):
            stage = _Stage(tell, done, len(chosen))
            before = self._straighten(image, to_crop, stage)
            after, note = self._restore_crop(before, options, stage)
            self._lay_back(canvas, after, to_canvas, region, options, stage)
            reports[number] = replace(reports[number], strength=options.strength, note=note)
            if len(crops) < options.max_crops:
                crops.append((before.cpu(), after.cpu()))
        tell(len(chosen), len(chosen), "finishing the picture")
        picture, mask = canvas.finish()
        return Restoration(picture, mask, crops, reports, scale)

    def _straighten(self, image: Tensor, to_crop: Matrix, stage: _Stage) -> Tensor:
        stage("straightening")
        return crop_face(image, to_crop, self.network.config.size).clamp_(0, 1)

    def _restore_crop(self, before: Tensor, options: RestoreOptions, stage: _Stage) -> tuple[Tensor, str]:
        stage("restoring")
        result = self.network(before[None] * 2 - 1, on_stage=lambda: stage("restoring"))[0]
        after = (result.float() / 2 + 0.5).clamp_(0, 1)
        if options.colour == "original-chroma":
            after = original_chroma(before, after)
        return after, getattr(self.network, "last_note", None) or ""

    def _lay_back(
        self, canvas: Canvas, after: Tensor, to_canvas: Matrix, region: Region, options: RestoreOptions, stage: _Stage
    ) -> None:
        stage("laying back")
        mask = box_mask(to_canvas, after.shape[-1], region, options.feather, after.device)
        if options.mask == "parse":
            mask = mask * self._parsed(after, to_canvas, region)
        canvas.lay(after, to_canvas, mask, region, options.strength)

    def _parsed(self, after: Tensor, to_canvas: Matrix, region: Region) -> Tensor:
        if self.parser is None:
            raise InvalidOptionError("mask is 'parse' without a ParseNet; wanted parsing_parsenet.pth, or mask 'box'")
        parsed = self.parser(after[None])
        to_mask = crop_to_mask(to_canvas, after.shape[-1], parsed.shape[-1])
        return warp(parsed, shift_origin(to_mask, (region.left, region.top)), region.size)[0].clamp_(0, 1)


@dataclass(frozen=True)
class _Stage:
    """Tells of one face's stages."""

    tell: Progress
    done: int
    total: int

    def __call__(self, what: str) -> None:
        self.tell(self.done, self.total, f"face {self.done + 1} of {self.total}: {what}")


def crop_to_mask(to_crop: Matrix, crop_size: int, mask_size: int) -> Matrix:
    """`to_crop` for a mask of `mask_size` pixels that covers the crop of `crop_size`."""
    ratio = mask_size / crop_size
    return to_crop * ratio + np.array([[0, 0, 1], [0, 0, 1]]) * (ratio - 1) / 2


def _enlarge(image: Tensor, scale: float, background: Tensor | Background | None) -> Tensor:
    """The picture (3, H', W') that the faces are laid onto, on `image`'s device."""
    size = (round(image.shape[1] * scale), round(image.shape[2] * scale))
    if background is None or (size == _size(image) and not isinstance(background, Tensor)):
        return lanczos_resize(image, scale, size).clamp_(0, 1) if scale != 1 else image
    given = background if isinstance(background, Tensor) else background(image, size)
    if given.shape != (3, *size) or given.dtype != torch.float32:
        raise ValueError(f"background is {given.dtype} {tuple(given.shape)}; wanted torch.float32 {(3, *size)}")
    return given.to(image.device)


def _size(image: Tensor) -> tuple[int, int]:
    return image.shape[-2], image.shape[-1]


def _check_image(image: Tensor) -> None:
    if image.ndim != 3 or image.shape[0] != 3 or image.dtype != torch.float32 or 0 in image.shape:
        raise ValueError(f"image is {image.dtype} {tuple(image.shape)}; wanted torch.float32 (3, height, width)")


def _silent(done: int, total: int, what: str) -> None:
    """Progress nobody listens to."""
