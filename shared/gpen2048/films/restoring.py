"""A film in, the restored film out."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from os import PathLike
from typing import Any

import torch
from torch import Tensor

from ..geometry.enlarging import Background
from ..options import RestoreOptions
from ..restoration import Restoration
from ..restorer import FaceRestorer
from ..sequence import restore_sequence
from ..task import Progress
from .frames import Shown, noted
from .opening import open_film
from .writing import FilmWriter


@dataclass
class FilmReport:
    """What was done to a film: frames, faces restored in all of them, faces left with the reason why, and `problems`
    of the file that was read, by which a part of it may be missing; `note` tells what was done otherwise than asked."""

    frames: int = 0
    restored: int = 0
    left: dict[str, int] = field(default_factory=dict[str, int])
    scale: float = 1.0
    problems: list[str] = field(default_factory=list[str])
    note: str = ""

    @property
    def told(self) -> str:
        """For the user."""
        left = "; ".join(f"{reason}: {times}" for reason, times in self.left.items())
        return f"{self.frames} frames, {self.restored} faces restored in them" + (f" (left: {left})" if left else "")

    def count(self, result: Restoration) -> None:
        self.frames += 1
        self.scale = result.scale
        self.restored += sum(face.restored for face in result.faces)
        for reason in (face.reason for face in result.faces if not face.restored):
            self.left[reason] = self.left.get(reason, 0) + 1


def restore_film(
    source: str | PathLike[str],
    target: str | PathLike[str],
    restorer: FaceRestorer,
    options: RestoreOptions = RestoreOptions(),  # noqa: B008  frozen, so safe to share
    *,
    device: torch.device | str = "cpu",
    background: Background | None = None,
    region: Tensor | None = None,
    on_progress: Progress | None = None,
    **writing: Any,
) -> FilmReport:
    """Restores the film in the file `source` into the file `target`, as restore_sequence does, and says what was done.

    Times, sound, colours and depth are kept; pictures are turned upright. `device` is where the network is; `writing`
    are `codec` and `quality` of FilmWriter. `target` appears when it is whole. Raises UnsupportedFilmError when the one
    cannot be read, or the other not be written.
    """
    report = FilmReport()
    with open_film(source, torch.device(device)) as film, FilmWriter(target, film, **writing) as writer:
        film.warn()
        shown: Shown = deque()
        frames = noted(film.frames(), shown)
        what: dict[str, Any] = {"background": background, "region": region, "on_progress": on_progress}
        results = restore_sequence(frames, restorer, options, total=film.count, **what)
        for result in results:
            writer.write(result.image, *shown.popleft())
            report.count(result)
    report.problems, report.note = film.problems, "; ".join(film.notes)
    return report
