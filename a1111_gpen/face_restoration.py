"""GPEN in the host's list of face restorers, which "Restore faces", ADetailer and others use."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from ..shared.gpen2048 import UnsupportedImageError
from ..shared.gpen2048.samples import to_planes, to_samples
from . import host, settings, weights
from .attempts import Failure, attempt
from .equipment import EQUIPMENT, Choice


class GpenFaceRestoration:
    """One network size as a face restorer: HWC RGB uint8 in and out, the size kept, errors shown and never raised."""

    def __init__(self, size: int):
        self.size = size
        self._failure: Failure | None = None
        self._restored = False

    def name(self) -> str:
        return f"GPEN-{self.size}"

    @property
    def cmd_dir(self) -> str:
        """Where the host's API says the models are."""
        return str(host.weight_folders()[0])

    def restore(self, np_image: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """`np_image` with restored faces; itself when the user stopped it or it failed."""
        result = attempt(
            self.name(),
            lambda: EQUIPMENT.restore(_planes(np_image), settings.restorer_options(), self.choice()),
            settings.PLACE,
            smaller="a smaller picture",  # its size is kept, whatever the settings
        )
        if isinstance(result, Failure):
            self._failure = self._failure or result
            return np_image
        self._restored = True
        return to_samples(result.image)

    def take_failure(self) -> Failure | None:
        """Why nothing was restored since this was last asked; None when something was, or nothing was to be.

        Other extensions restore details of the same picture: where only some attempts failed, nobody can tell which.
        """
        failure = None if self._restored else self._failure
        self._failure, self._restored = None, False
        return failure

    def choice(self) -> Choice:
        if self.size == weights.MAIN_SIZE:
            return Choice(host.option("gpen_model", weights.AUTOMATIC), self.size)
        return Choice(size=self.size)


def _planes(picture: NDArray[np.uint8]) -> Tensor:
    if picture.ndim != 3 or picture.shape[2] != 3 or 0 in picture.shape:
        raise UnsupportedImageError(f"picture is an array {picture.shape}; wanted (height, width, 3) RGB")
    return to_planes(picture)


def register() -> None:
    """Puts one restorer for each size into the host's list, once however often this runs."""
    unregister()
    known = host.shared.face_restorers
    taken = {restorer.name() for restorer in known}
    restorers = [GpenFaceRestoration(size) for size in weights.network_sizes()]
    known.extend(restorer for restorer in restorers if restorer.name() not in taken)


def unregister() -> None:
    known = host.shared.face_restorers
    known[:] = [restorer for restorer in known if not isinstance(restorer, GpenFaceRestoration)]
