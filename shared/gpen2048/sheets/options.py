"""The labelled sheet of options: one photo, one row for each option, one picture for each of its values."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, cast

import torch
import torch.nn.functional as F
from torch import Tensor

from ..alignment import crop_transform
from ..errors import UnsupportedImageError
from ..faces import Face
from ..geometry.enlarging import Background
from ..geometry.regions import Region, crop_region
from ..geometry.transforms import enlarged
from ..judging import judge
from ..options import RestoreOptions
from ..restoration import FaceReport, Restoration
from ..restorer import FaceRestorer
from ..selection import ordered
from ..task import Request
from .layout import (
    CAPTION_SIZE,
    GAP,
    LABEL_BRIGHTNESS,
    MARGIN,
    column_width,
    ink_of,
    picture_row,
    resize,
    space,
    text_row,
)

# Options that decide on who is restored; they are shown on the whole photo, all others on one face.
CHOOSING = (
    "select", "min_face", "max_faces", "fade_until", "max_turn", "order", "min_score", "threshold", "max_tilt",
)  # fmt: skip
CROP = 512  # px; of any size, since only its place counts
TALLEST = 600  # px of a picture
DIM = 0.3  # brightness of the photo around the chosen faces
FRAME = 2  # px around a chosen face
MARK = (1.0, 0.8, 0.1)  # colour of that frame and of the face's number, as strong as what the face gets
NUMBER_SIZE = 15  # px


@dataclass(frozen=True)
class Row:
    """One option, with the values to show it at."""

    name: str
    values: tuple[Any, ...]


@dataclass(frozen=True)
class OptionSheet:
    """`image` (3, H, W), the faces that `find` tells in it, and one of them, by which looks are shown.

    `find` takes the options, some of which say what is looked for. `shown` is the number of that face as `options`
    number them. `on_picture` is told of each picture before it is made.
    """

    image: Tensor
    find: Callable[[RestoreOptions], Sequence[Face]]
    shown: int
    restorer: FaceRestorer
    options: RestoreOptions
    background: Background | None = None
    on_picture: Callable[[str], None] = lambda what: None

    def draw(self, rows: Sequence[Row]) -> Tensor:
        """(3, h, 1600) float32 RGB in [0, 1] on the CPU: `options` varied, one at a time."""
        parts = [space(MARGIN)]
        for row in rows:
            labels, pictures = zip(*(self._choices(row) if row.name in CHOOSING else self._looks(row)))
            parts += [picture_row(list(pictures)), text_row(list(labels), CAPTION_SIZE, LABEL_BRIGHTNESS), space(GAP)]
        return torch.cat(parts, dim=1)

    def _looks(self, row: Row) -> Iterator[tuple[str, Tensor]]:
        faces = self.find(self.options)
        face = faces[ordered(faces, self.options.order)[self.shown]]
        before = self._around(face, self.image, 1.0)
        if before.numel() == 0:
            raise UnsupportedImageError(f"face {self.shown} lies outside the picture; wanted one to show looks on")
        size = _fitting(before, len(row.values) + 1)
        yield f"face {self.shown} as it is", resize(before, *size)
        for value in row.values:
            self.on_picture(f"{row.name} {value}")
            varied = replace(self.options, select="all", max_crops=0, **{row.name: value})
            result = self.restorer(self.image, varied, faces=[face], background=self.background)
            after = self._around(face, result.image, result.scale)
            if row.name == "template":
                after = _outlined(after, self._around(face, result.mask[None], result.scale)[0])
            yield _label(row.name, value, varied, result), resize(after, *size)

    def _around(self, face: Face, image: Tensor, scale: float) -> Tensor:
        """What the face's crop covers of `image`, the photo enlarged by `scale`."""
        to_crop = enlarged(crop_transform(face.landmarks, CROP, self.options.template), scale)
        return crop_region(to_crop, CROP, (image.shape[1], image.shape[2])).of(image)

    def _choices(self, row: Row) -> Iterator[tuple[str, Tensor]]:
        size = _fitting(self.image, len(row.values))
        photo = resize(self.image, *size)
        for value in row.values:
            self.on_picture(f"{row.name} {value}")
            varied = replace(self.options, strength=1.0, **{row.name: value})
            reports = judge(Request(self.image, varied), self.find(varied))
            yield _count(row.name, value, reports), _marked(photo, reports, size[1] / self.image.shape[2])


def _fitting(picture: Tensor, columns: int) -> tuple[int, int]:
    """Height and width at which `picture` fits into one of `columns`."""
    height, width = picture.shape[1:]
    factor = min(column_width(columns) / width, TALLEST / height)
    return max(1, round(height * factor)), max(1, round(width * factor))


def _label(name: str, value: Any, options: RestoreOptions, result: Restoration) -> str:
    report = result.faces[0]
    if not report.restored:
        return f"{_setting(name, value)}: {report.reason}"
    label = _setting(name, value) + (f", {result.scale:.2g} times" if value == "auto" else "")
    return label if report.strength == options.strength else f"{label}, strength {report.strength:.2f}"


def _count(name: str, value: Any, reports: Sequence[FaceReport]) -> str:
    """How many faces a value chooses, all of which get the whole strength unless it says how much they get."""
    strengths = [report.strength for report in reports if report.restored]
    label = f"{_setting(name, value)}: {len(strengths)} chosen"
    mean = sum(strengths) / max(1, len(strengths))
    return label if mean in (0, 1) else f"{label}, mean strength {mean:.2f}"


def _setting(name: str, value: Any) -> str:
    numbers = cast("tuple[int, ...]", value) if isinstance(value, tuple) else None
    return f"{name} {value if numbers is None else ','.join(map(str, numbers))}"


def _outlined(picture: Tensor, mask: Tensor) -> Tensor:
    """`picture` (3, H, W) with a line where `mask` (H, W) is half."""
    inside = (mask > 0.5).float()[None, None]
    edge = F.max_pool2d(inside, 3, stride=1, padding=1)[0] > inside[0]
    return torch.where(edge, picture.new_tensor(MARK)[:, None, None], picture)


def _marked(photo: Tensor, reports: Sequence[FaceReport], scale: float) -> Tensor:
    """`photo`, shrunk by `scale`, with the chosen faces framed and numbered, and all else dim."""
    picture = photo * DIM
    for number, report in enumerate(reports):
        x0, y0, x1, y1 = (max(0, round(edge * scale)) for edge in report.box.tolist())
        frame = Region(x0, y0, min(x1, photo.shape[2]), min(y1, photo.shape[1]))
        inside = Region(x0 + FRAME, y0 + FRAME, frame.right - FRAME, frame.bottom - FRAME)
        mark = picture.new_tensor(MARK)[:, None, None] * report.strength
        frame.of(picture).copy_(torch.maximum(frame.of(picture), mark))
        inside.of(picture).copy_(inside.of(photo) * (DIM + (1 - DIM) * report.strength))
        if report.restored:
            ink = ink_of(str(number), NUMBER_SIZE)
            below = Region(x0, y1, x0 + ink.shape[1], y1 + ink.shape[0]).of(picture)
            below += ink[: below.shape[1], : below.shape[2]] * (mark - below)
    return picture
