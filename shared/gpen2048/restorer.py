"""GPEN's method on one page: find the faces, straighten each, restore it, cut it out, lay it back.

Yang et al., "GAN Prior Embedded Network for Blind Face Restoration in the Wild", CVPR 2021.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence

import torch
from torch import Tensor

from .alignment import Matrix, crop_face, crop_transform, density, enlarged
from .colour import original_chroma
from .compositing import Canvas, box_mask, crop_region, parsed_mask, union
from .detection import SMALLEST, FaceDetector
from .enlarging import Background, enlarge
from .errors import InvalidOptionError, WeightsNotFoundError
from .faces import Face
from .inference import Network
from .options import RestoreOptions
from .parsing import FaceParser
from .restoration import FaceReport, Restoration
from .selection import refusals
from .task import Place, Progress, Request, Task

MAX_AUTO_SCALE = 4.0


class FaceRestorer:
    """Restores faces with `network` that `detector` finds; `parser` is needed for the mask "parse" only.

    `batch` faces of a picture, or of the pictures of a sequence, run through the network at once.
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
        return next(self.each([Request(image, options, faces, scale, background, on_progress)]))

    @torch.no_grad()
    def each(self, requests: Iterable[Request]) -> Iterator[Restoration]:
        """The Restorations of `requests`, in order, made as they are asked for.

        Faces of several pictures share a network batch: a picture is finished when its last face has gone through, so
        at most `batch` pictures are held at once, however many there are.
        """
        tasks: deque[Task] = deque()
        waiting: list[tuple[Task, Place]] = []
        for request in requests:
            tasks.append(self._begin(request))
            waiting += [(tasks[-1], place) for place in tasks[-1].places]
            while len(waiting) >= self.batch:
                self._restore(waiting[: self.batch])
                del waiting[: self.batch]
            yield from _finished(tasks)
        if waiting:
            self._restore(waiting)
        yield from _finished(tasks)

    def output_scale(self, image: Tensor, faces: Sequence[Face], options: RestoreOptions) -> float:
        """How much `image` (3, H, W) with these `faces` is enlarged; 1 to 4."""
        if options.scale != "auto":
            return float(options.scale)
        reasons = refusals(faces, options, (image.shape[1], image.shape[2]))
        restored = [face for face, reason in zip(faces, reasons) if not reason]
        return min(MAX_AUTO_SCALE, max([1.0, *(density(self._to_crop(face, options)) for face in restored)]))

    def _begin(self, request: Request) -> Task:
        """Finds the faces, chooses among them, and prepares the canvas they will be laid onto."""
        image, options, faces = request.image, request.options, request.faces
        if faces is None:
            request.tell(0, 0, "finding faces")
            faces = self._find(image, options)
        reasons = refusals(faces, options, (image.shape[1], image.shape[2]))
        reports = [
            FaceReport(face.box, face.landmarks, face.score, face.size, not reason, reason)
            for face, reason in zip(faces, reasons)
        ]
        request.tell(0, 0, "preparing the picture")
        scale = self.output_scale(image, faces, options) if request.scale is None else request.scale
        background = enlarge(image, scale, request.background)
        restored = [report for report in reports if report.restored]
        places = [self._place(number, report, background, scale, options) for number, report in enumerate(restored)]
        return Task(request, reports, places, Canvas(background, union([place.region for place in places])), scale)

    def _find(self, image: Tensor, options: RestoreOptions) -> list[Face]:
        if self.detector is None:
            raise WeightsNotFoundError("no face detector was given and no faces; wanted one of the two")
        if options.min_face <= SMALLEST:
            return self.detector(image, options.threshold)
        return self.detector(image, options.threshold, smallest=float(options.min_face))

    def _place(
        self, number: int, report: FaceReport, background: Tensor, scale: float, options: RestoreOptions
    ) -> Place:
        to_crop = self._to_crop(report, options)
        to_canvas = enlarged(to_crop, scale)
        size = (background.shape[1], background.shape[2])
        return Place(number, to_crop, to_canvas, crop_region(to_canvas, self.network.config.size, size))

    def _to_crop(self, face: Face | FaceReport, options: RestoreOptions) -> Matrix:
        return crop_transform(face.landmarks, self.network.config.size, options.template)

    def _restore(self, group: Sequence[tuple[Task, Place]]) -> None:
        """The faces of `group`, at most `batch`, from their pictures onto their canvases."""
        before = torch.stack([self._straighten(task, place) for task, place in group])
        task, place = group[0]
        after = self._restore_crops(before, lambda: task.tell(place, "restoring"))
        note = getattr(self.network, "last_note", None) or ""
        for (task, place), old, new in zip(group, before, after):
            if task.options.colour == "original-chroma":
                new = original_chroma(old[None], new[None])[0]
            self._lay_back(task, place, new)
            task.keep(old, new, note)

    def _straighten(self, task: Task, place: Place) -> Tensor:
        task.tell(place, "straightening")
        return crop_face(task.image, place.to_crop, self.network.config.size).clamp_(0, 1)

    def _restore_crops(self, before: Tensor, on_stage: Callable[[], None]) -> Tensor:
        """(N, 3, S, S) in [0, 1] to the same."""
        on_stage()
        result = self.network(before * 2 - 1, on_stage=on_stage)
        return (result.float() / 2 + 0.5).clamp_(0, 1)

    def _lay_back(self, task: Task, place: Place, crop: Tensor) -> None:
        task.tell(place, "laying back")
        options = task.options
        mask = box_mask(place.to_canvas, crop.shape[-1], place.region, options.feather, crop.device)
        if options.mask == "parse":
            if self.parser is None:
                raise InvalidOptionError(
                    "mask is 'parse' without a ParseNet; wanted parsing_parsenet.pth, or mask 'box'"
                )
            mask *= parsed_mask(self.parser(crop[None]), place.to_canvas, crop.shape[-1], place.region)
        task.canvas.lay(crop, place.to_canvas, mask, place.region, options.strength)


def _finished(tasks: deque[Task]) -> Iterator[Restoration]:
    while tasks and tasks[0].is_done:
        yield tasks.popleft().finish()
