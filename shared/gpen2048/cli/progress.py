"""Progress bars: over the faces of one picture, and over the bytes of a download."""

from __future__ import annotations

import sys
from types import TracebackType
from typing import Any

from ..cancelling import check_cancelled


def unseen() -> bool | None:
    """For tqdm: True where there is no stderr at all, as under pythonw; None: it looks for a terminal."""
    return True if sys.stderr is None else None


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
        self._bar = tqdm(total=0, desc=self.name, unit=self.unit, disable=unseen(), leave=False)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bar is not None:
            self._bar.close()

    def update(self, done: int, total: int, what: str) -> None:
        check_cancelled(what)
        if self._bar is None:
            return
        self._bar.total = total
        self._bar.set_postfix_str(what.rpartition(": ")[2], refresh=False)
        self._bar.update(done - self._bar.n)
        self._bar.refresh()


class ByteBar:
    """Counts a download's bytes, with rate and time left; a line for each tenth of it where tqdm is not installed."""

    def __init__(self) -> None:
        self._bar: Any = None
        self._tenths = 0

    def __enter__(self) -> ByteBar:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bar is not None:
            self._bar.close()

    def update(self, done: int, total: int | None) -> None:
        try:
            from tqdm import tqdm
        except ImportError:
            self._print(done, total)
            return
        if (
            self._bar is None or done < self._bar.n or total != self._bar.total
        ):  # another source begins at the beginning
            self.__exit__(None, None, None)
            self._bar = tqdm(total=total, initial=done, unit="B", unit_scale=True, disable=unseen(), leave=False)
        self._bar.update(done - self._bar.n)

    def say(self, text: str) -> None:
        """A line of its own, in the place of the bar until that goes on."""
        if self._bar is not None:
            self._bar.clear()
        print(text, file=sys.stderr)

    def _print(self, done: int, total: int | None) -> None:
        tenths = done * 10 // total if total else 0
        if tenths != self._tenths:
            self._tenths = tenths
            print(f"  {tenths * 10} %", file=sys.stderr)
