"""A restorer that tells how long each of its stages takes."""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor

from ..faces import Face
from ..options import RestoreOptions
from ..parsing import Parsed
from ..restoration import Restoration
from ..restorer import FaceRestorer
from ..task import Place, Task

STAGES = ("detection", "crops", "network", "paste", "rest")
AROUND = tuple(stage for stage in STAGES if stage != "network")


@dataclass(frozen=True)
class Seconds:
    """On the clock, and of the processor: user and system time of all the process's threads."""

    wall: float = 0.0
    processor: float = 0.0

    def __add__(self, other: Seconds) -> Seconds:
        return Seconds(self.wall + other.wall, self.processor + other.processor)

    def __sub__(self, other: Seconds) -> Seconds:
        return Seconds(self.wall - other.wall, self.processor - other.processor)


def now(device: torch.device) -> Seconds:
    """The clocks when all that was asked of `device` is done."""
    if device.type in ("cuda", "xpu"):
        getattr(torch, device.type).synchronize(device)
    elif device.type == "mps":
        torch.mps.synchronize()
    return Seconds(time.perf_counter(), time.process_time())


class TimedRestorer(FaceRestorer):
    """Restores as FaceRestorer does and keeps the seconds of each of STAGES in `seconds`.

    "rest" is what lies between them and preparing and finishing the picture.
    """

    device = torch.device("cpu")
    seconds: dict[str, Seconds]

    def restore(
        self, image: Tensor, options: RestoreOptions, faces: Sequence[Face] | None = None, *, in_place: bool = False
    ) -> Restoration:
        """The Restoration of `image` (3, H, W); `seconds` are those of this call."""
        self.device = image.device
        self.seconds = dict.fromkeys(STAGES, Seconds())
        start = now(self.device)
        result = self(image, options, faces=faces, in_place=in_place)
        total = now(self.device) - start
        self.seconds["rest"] = total - sum(self.seconds.values(), Seconds())
        return result

    def find(self, image: Tensor, options: RestoreOptions) -> list[Face]:
        """The faces that would be restored, and "detection" in `seconds`."""
        self.device = image.device
        self.seconds["detection"] = Seconds()
        with torch.no_grad():
            return self.find_faces(image, options)

    @contextmanager
    def _stage(self, name: str) -> Generator[None]:
        start = now(self.device)
        yield
        self.seconds[name] += now(self.device) - start

    def find_faces(self, image: Tensor, options: RestoreOptions) -> list[Face]:
        with self._stage("detection"):
            return super().find_faces(image, options)

    def _straighten(self, task: Task, place: Place) -> Tensor:
        with self._stage("crops"):
            return super()._straighten(task, place)

    def _restore_crops(self, before: Tensor, on_stage: Callable[[], None]) -> Tensor:
        with self._stage("network"):
            return super()._restore_crops(before, on_stage)

    def _lay_back(self, task: Task, place: Place, crop: Tensor, parsed: Parsed | None) -> None:
        with self._stage("paste"):
            super()._lay_back(task, place, crop, parsed)
