"""Pictures restored by threads of this process, on one device."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from .pictures import Restore
from .restoring import PictureRestorer


class LocalEngine:
    """`in_flight` pictures are under way at once: one in the network, the others read, searched, pasted or written."""

    chunk = 1

    def __init__(self, restorer: PictureRestorer, in_flight: int):
        self.restorer = restorer
        self._in_flight = in_flight

    @property
    def busy(self) -> float | None:
        stage = self.restorer.stage
        return stage.busy / stage.span if stage.span else None

    def seats(self) -> Sequence[Callable[[], Restore]]:
        return [lambda: self.restorer] * self._in_flight

    def stop(self) -> None:
        self.restorer.stop()
