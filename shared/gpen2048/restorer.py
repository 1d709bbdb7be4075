"""GPEN's method on one page: find the faces, straighten each, restore it, cut it out, lay it back.

Yang et al., "GAN Prior Embedded Network for Blind Face Restoration in the Wild", CVPR 2021.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence

import torch
from torch import Tensor

from .alignment import crop_face, crop_transform
from .appearance.colour import is_colourless, lose_colour
from .appearance.likeness import likeness
from .compiled import leftovers
from .compiled.pages import uninitialised
from .compositing import Canvas, box_mask, parsed_mask
from .defaults import no_autocast
from .detection import SMALLEST, FaceDetector
from .detectors.tilting import tilted_faces
from .errors import WeightsNotFoundError
from .faces import Face
from .geometry.enlarging import Background, enlarge
from .geometry.regions import Region, crop_region
from .geometry.transforms import Matrix, density, enlarged
from .inference import Network
from .judging import judge, tracks
from .options import RestoreOptions
from .parsing import FaceParser, Parsed, parse
from .restoration import FaceReport, Restoration
from .task import Place, Progress, Request, Task

# Between [0, 1] and the network's [-1, 1], in one operation.
MINUS_ONE, HALF = (torch.tensor(value, dtype=torch.float32, device="cpu") for value in (-1, 0.5))


class FaceRestorer:
    """Restores faces with `network` that `detector` finds; `parser` is needed for the masks "parse" and "face".

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
        region: Tensor | None = None,
        in_place: bool = False,
    ) -> Restoration:
        """Restores the faces of `image` (3, H, W), float32 RGB in [0, 1]; all work runs on its device.

        `faces` replaces detection; `scale` replaces `options.scale` with any enlargement, such as the one that all
        frames of a batch share. `on_progress(done, total, what)` is told of every stage of every face, and whatever it
        raises passes through. Pixels outside the mask are the input's own at scale 1; above, they are `background`, the
        enlarged picture (3, H', W') or what gives it for (image, (H', W')), by default a Lanczos enlargement.
        Only faces whose middle lies where `region` (h, w), a mask in [0, 1] of any size, is above a half are restored.
        With `in_place` the result may lie where `image` was, which spares a copy of the picture; `image` is not to be
        used any more.

        Raises ValueError for arguments of other shapes and ranges, WeightsNotFoundError without a detector or a parser
        where one is needed, and DeviceError where the device computes wrongly; PyTorch's error when memory is short.
        """
        request = Request(image, options, faces, scale, background, on_progress, region=region, in_place=in_place)
        return next(self.each([request]))

    @torch.no_grad()
    def each(self, requests: Iterable[Request]) -> Iterator[Restoration]:
        """The Restorations of `requests`, in order, made as they are asked for.

        Faces of several pictures share a network batch: a picture is finished when its last face has gone through. At
        most `batch` pictures are held at once, however many there are.
        """
        tasks: deque[Task] = deque()
        waiting: list[tuple[Task, Place]] = []
        for request in requests:
            with no_autocast(request.image.device):
                tasks.append(self._begin(request))
            waiting += [(tasks[-1], place) for place in tasks[-1].places]
            while len(waiting) >= self.batch:
                self._restore(waiting[: self.batch])
                del waiting[: self.batch]
            yield from _finished(tasks)
            if len(tasks) >= self.batch:  # pictures without faces would gather behind one that waits
                self._restore(waiting)
                waiting.clear()
                yield from _finished(tasks)
        if waiting:
            self._restore(waiting)
        yield from _finished(tasks)

    def output_scale(
        self, image: Tensor, faces: Sequence[Face], options: RestoreOptions, region: Tensor | None = None
    ) -> float:
        """How much `image` (3, H, W) with these `faces` is enlarged; 1 to `options.max_scale`, or `options.scale`."""
        return self._scale(judge(Request(image, options, region=region), faces), options)

    def _begin(self, request: Request) -> Task:
        """Finds the faces, chooses among them, and prepares the canvas they will be laid onto."""
        image, options, faces = request.image, request.options, request.faces
        if faces is None:
            request.tell(0, 0, "finding faces")
            faces = self.find_faces(image, options)
        request.tell(0, 0, "preparing the picture")
        reports = judge(request, faces)
        scale = self._scale(reports, options) if request.scale is None else request.scale
        grey = options.colour != "coloured" and (is_colourless(image) if request.grey is None else request.grey)
        background = enlarge(image, scale, request.background)
        if grey and request.background is not None and background is not image:
            background = lose_colour(background.clone())  # of what an upscaler has added
        named = [(report, track) for report, track in zip(reports, tracks(request, faces)) if report.restored]
        size = (background.shape[1], background.shape[2])
        places = [self._place(n, report, track, size, scale, options) for n, (report, track) in enumerate(named)]
        canvas = Canvas(background, [place.region for place in places], owned=_is_owned(background, request))
        return Task(request, reports, places, canvas, scale, grey)

    def _scale(self, reports: Sequence[FaceReport], options: RestoreOptions) -> float:
        if options.scale != "auto":
            return float(options.scale)
        densities = [density(self._to_crop(report, options)) for report in reports if report.restored]
        return min(options.max_scale, max([1.0, *densities]))

    def find_faces(self, image: Tensor, options: RestoreOptions) -> list[Face]:
        """What the detector finds in `image` (3, H, W) that the options may want restored."""
        detector = self.detector
        if detector is None:
            raise WeightsNotFoundError("no face detector was given and no faces; wanted one of the two")
        smallest = {} if options.min_face <= SMALLEST else {"smallest": float(options.min_face)}

        def detect(view: Tensor) -> list[Face]:
            return detector(view, options.threshold, **smallest)

        return tilted_faces(detect, image, options.max_tilt) if options.max_tilt else detect(image)

    def _place(
        self,
        number: int,
        report: FaceReport,
        track: object | None,
        size: tuple[int, int],
        scale: float,
        options: RestoreOptions,
    ) -> Place:
        to_crop = self._to_crop(report, options)
        to_canvas = enlarged(to_crop, scale)
        region = crop_region(to_canvas, self.network.config.size, size)
        return Place(number, to_crop, to_canvas, region, report.strength, track)

    def _to_crop(self, face: FaceReport, options: RestoreOptions) -> Matrix:
        return crop_transform(face.landmarks, self.network.config.size, options.template)

    def _restore(self, group: Sequence[tuple[Task, Place]]) -> None:
        """The faces of `group`, at most `batch`, from their pictures onto their canvases."""
        with no_autocast(group[0][0].image.device):
            crops = [self._straighten(task, place) for task, place in group]
            before = crops[0][None] if len(crops) == 1 else torch.stack(crops)

            def on_stage() -> None:
                for task, place in group:
                    task.tell(place, "restoring")

            after = self._restore_crops(before, on_stage)
            note = getattr(self.network, "last_note", None) or ""
            for (task, place), old, new in zip(group, before, after):
                parsed = task.steadied(place, parse(self.parser, old, new, task.options))
                new = likeness(old, new, density(place.to_crop), parsed, task.options, grey=task.grey)
                self._lay_back(task, place, new, parsed)
                task.keep(old, new, note)

    def _straighten(self, task: Task, place: Place) -> Tensor:
        task.tell(place, "straightening")
        return crop_face(task.image, place.to_crop, self.network.config.size)

    def _restore_crops(self, before: Tensor, on_stage: Callable[[], None]) -> Tensor:
        """(N, 3, S, S) in [0, 1] to the same."""
        on_stage()
        given = uninitialised(tuple(before.shape), before.device)
        result = self.network(torch.add(MINUS_ONE, before, alpha=2, out=given), on_stage=on_stage).float()
        return torch.add(HALF, result, alpha=0.5, out=result).clamp_(0, 1)

    def _lay_back(self, task: Task, place: Place, crop: Tensor, parsed: Parsed | None) -> None:
        task.tell(place, "laying back")
        size = crop.shape[-1]

        def mask(region: Region) -> Tensor:
            box = box_mask(place.to_canvas, size, region, task.options.feather, crop.device)
            return box if parsed is None else box.mul_(parsed_mask(parsed.mask[None], place.to_canvas, size, region))

        task.canvas.lay(crop, place.to_canvas, mask, place.region, place.strength)


def _is_owned(background: Tensor, request: Request) -> bool:
    """Whether the background may become the result: nobody else has the Lanczos enlargement."""
    if background is request.image:
        return request.in_place and (torch.is_inference_mode_enabled() or not background.is_inference())
    return request.background is None


def _finished(tasks: deque[Task]) -> Iterator[Restoration]:
    leftovers.collect()
    while tasks and tasks[0].is_done:
        yield tasks.popleft().finish()
