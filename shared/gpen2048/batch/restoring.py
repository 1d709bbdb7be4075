"""One picture, or piece of a film, from its file to the bytes of its restoration: what every engine runs."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, cast

import torch
from torch import Tensor

from ..errors import DONE_IN_LESS_MEMORY, is_out_of_memory
from ..geometry.enlarging import Background
from ..images import decode_image, encode_image
from ..inference import Network
from ..options import RestoreOptions
from ..restorer import FaceRestorer
from .film_pieces import restore_piece
from .pictures import Original, Restored, Source
from .stage import Door, NetworkStage, StoppedError

TOO_LITTLE_MEMORY = "too little memory for it; try fewer pictures in flight, --precision fp16, or a smaller --scale"


class PictureRestorer:
    """Restores pictures for any number of threads at once: the network's work is done one after the other.

    `batch` faces, of one picture or of several, run through the network at once. `background` and `region` are
    FaceRestorer's.
    """

    def __init__(
        self,
        restorer: FaceRestorer,
        device: torch.device,
        options: RestoreOptions,
        *,
        quality: int,
        batch: int = 1,
        background: Background | None = None,
        region: Tensor | None = None,
    ):
        self.stage = NetworkStage(restorer.network, batch)
        self._restorer = restorer
        self._device = device
        self._options = replace(options, max_crops=0)
        self._quality = quality
        self._how: dict[str, Any] = {"background": background, "region": region, "on_progress": self._check}

    def __call__(self, sources: Sequence[Source]) -> list[Restored]:
        """One Restored for each of `sources`; whatever is wrong with one is said in its own."""
        return [self._restore_or_say_why(source) for source in sources]

    def stop(self) -> None:
        """Makes calls under way raise StoppedError as soon as they can."""
        self.stage.stop()

    def _restore_or_say_why(self, source: Source) -> Restored:
        started = time.perf_counter()
        result = self._try(source, in_less=False)
        if result is None:
            result = self._try(source, in_less=True)
            result = replace(result, remark=DONE_IN_LESS_MEMORY) if result else Restored(error=TOO_LITTLE_MEMORY)
        return replace(result, seconds=round(time.perf_counter() - started, 3))

    def _try(self, source: Source, *, in_less: bool) -> Restored | None:
        """None when memory runs out; with `in_less` the network takes less of it."""
        try:
            return self._restore(source, in_less)
        except StoppedError:
            raise
        except Exception as error:  # whatever one picture does to any library, the others are restored
            if is_out_of_memory(error):
                return None
            return Restored(error=" ".join(str(error).split()) or type(error).__name__)

    def _restore(self, source: Source, in_less: bool) -> Restored:
        door = cast(Network, Door(self.stage, in_less=in_less))
        batch = 1 if in_less else self.stage.batch
        restorer = FaceRestorer(door, self._restorer.detector, self._restorer.parser, batch=batch)
        if isinstance(source, Original):
            return self._restore_picture(source, restorer)
        return restore_piece(source, restorer, self._options, self._device, **self._how)

    def _restore_picture(self, original: Original, restorer: FaceRestorer) -> Restored:
        picture = decode_image(original.data, self._device, original.name)
        result = restorer(picture.pixels, self._options, faces=original.faces, in_place=True, **self._how)
        data = encode_image(picture.with_pixels(result.image), original.suffix, quality=self._quality)
        return Restored(data, len(result.faces), sum(face.restored for face in result.faces))

    def _check(self, done: int, total: int, what: str) -> None:
        self.stage.check()
