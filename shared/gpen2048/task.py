"""One picture on its way through the restorer: what was asked, what is left to do, what has come out so far."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor

from .compositing import Canvas
from .faces import Face
from .geometry.enlarging import Background
from .geometry.regions import Region
from .geometry.transforms import Matrix
from .options import RestoreOptions
from .parsing import Parsed
from .restoration import FaceReport, Restoration
from .selection import Choice

Progress = Callable[[int, int, str], None]
Steadied = Callable[[object, Parsed], Parsed]


@dataclass(frozen=True)
class Request:
    """A picture to restore; the fields are the arguments of FaceRestorer.

    Raises ValueError for any other `image`, `scale` or `region`, or `choices` that are not one for each of `faces`.
    """

    image: Tensor  # (3, H, W) float32 RGB in [0, 1]
    options: RestoreOptions = RestoreOptions()
    faces: Sequence[Face] | None = None
    scale: float | None = None
    background: Tensor | Background | None = None
    on_progress: Progress | None = None
    choices: Sequence[Choice] | None = None  # one for each of `faces`, made by whoever knows more than one picture
    region: Tensor | None = None
    steadied: Steadied | None = None  # of a film: what to make of the masks of a face, by its track
    grey: bool | None = None  # whether the picture has no colours, and is to have none, if that is known
    in_place: bool = False  # `image` is the caller's no more: where it keeps its size, it becomes the result

    def __post_init__(self) -> None:
        image = self.image
        if image.ndim != 3 or image.shape[0] != 3 or image.dtype != torch.float32 or 0 in image.shape:
            raise ValueError(f"image is {image.dtype} {tuple(image.shape)}; wanted torch.float32 (3, height, width)")
        if self.scale is not None and not 0 < self.scale < math.inf:
            raise ValueError(f"scale is {self.scale}; wanted more than 0, and a number")
        if self.scale is not None and round(min(image.shape[1:]) * self.scale) < 1:
            height, width = image.shape[1:]
            raise ValueError(f"scale {self.scale} leaves nothing of {width} x {height} pixels; wanted a larger one")
        if self.region is not None and (self.region.ndim != 2 or 0 in self.region.shape):
            raise ValueError(f"region is {tuple(self.region.shape)}; wanted (height, width)")
        if self.choices is not None and (self.faces is None or len(self.choices) != len(self.faces)):
            faces = "no faces" if self.faces is None else f"{len(self.faces)} faces"
            raise ValueError(f"{len(self.choices)} choices for {faces}; wanted one for each face given")

    def tell(self, done: int, total: int, what: str) -> None:
        if self.on_progress is not None:
            self.on_progress(done, total, what)


@dataclass(frozen=True)
class Place:
    """Where the crop of a picture's face `number` (of those restored) lies: in the photo, and on the canvas.

    `strength` is how much of the restored face is shown there, `track` what it is called along a film.
    """

    number: int
    to_crop: Matrix
    to_canvas: Matrix
    region: Region
    strength: float
    track: object | None


@dataclass
class Task:
    """A begun Request: `reports` on all found faces, `places` of those to restore, and the `canvas` for them."""

    request: Request
    reports: list[FaceReport]
    places: list[Place]
    canvas: Canvas
    scale: float
    grey: bool = False  # the picture has no colours
    crops: list[tuple[Tensor, Tensor]] = field(default_factory=list[tuple[Tensor, Tensor]])
    notes: list[str] = field(default_factory=list[str])  # one for each face that is done

    @property
    def image(self) -> Tensor:
        return self.request.image

    @property
    def options(self) -> RestoreOptions:
        return self.request.options

    @property
    def is_done(self) -> bool:
        return len(self.notes) == len(self.places)

    def tell(self, place: Place, what: str) -> None:
        """Tells of one stage of one face."""
        total = len(self.places)
        self.request.tell(place.number, total, f"face {place.number + 1} of {total}: {what}")

    def steadied(self, place: Place, parsed: Parsed | None) -> Parsed | None:
        """The masks of a face as those of the frames before leave them."""
        steadied = self.request.steadied
        return parsed if parsed is None or steadied is None else steadied(place.track, parsed)

    def keep(self, before: Tensor, after: Tensor, note: str) -> None:
        """Marks the next face as done. Its crops (3, S, S) are kept on the CPU, up to `max_crops`."""
        if len(self.crops) < self.options.max_crops:
            self.crops.append((before.cpu(), after.cpu()))
        self.notes.append(note)

    def finish(self) -> Restoration:
        """The result, when all faces are done."""
        self.request.tell(len(self.places), len(self.places), "finishing the picture")
        picture, mask = self.canvas.finish()
        notes = iter(self.notes)
        reports = [
            replace(report, note="; ".join(filter(None, (report.note, next(notes))))) if report.restored else report
            for report in self.reports
        ]
        return Restoration(picture, mask, self.crops, reports, self.scale)
