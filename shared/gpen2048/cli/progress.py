"""A progress bar over the faces of one picture."""

from __future__ import annotations

from types import TracebackType
from typing import Any


class FaceBar:
    """Counts faces, or frames, on a terminal, with the time left.

    Says nothing when stderr is none, or tqdm is not installed.
    """

    def __init__(self, name: str, unit: str = "face"):
        self.name = name
        self.unit = unit
        self._bar: Any = None

    def __enter__(self) -> FaceBar:
        try:
            from tqdm import tqdm
        except ImportError:
            return self
        self._bar = tqdm(total=0, desc=self.name, unit=self.unit, disable=None, leave=False)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bar is not None:
            self._bar.close()

    def update(self, done: int, total: int, what: str) -> None:
        if self._bar is None:
            return
        self._bar.total = total
        self._bar.set_postfix_str(what.rpartition(": ")[2], refresh=False)
        self._bar.update(done - self._bar.n)
        self._bar.refresh()
