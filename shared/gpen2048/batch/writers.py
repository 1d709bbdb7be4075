"""Threads that are writing: whoever ends waits for these, and for no others."""

from __future__ import annotations

import threading
from collections.abc import Generator
from contextlib import contextmanager

from .stage import StoppedError


class Writers:
    """Counts them, and lets no more begin after `end`."""

    def __init__(self) -> None:
        self._count = 0
        self._has_ended = False
        self._changed = threading.Condition()

    @contextmanager
    def one(self) -> Generator[None]:
        """For what is to be written whole. Raises StoppedError after the end."""
        with self._changed:
            if self._has_ended:
                raise StoppedError("the run was stopped")
            self._count += 1
        try:
            yield
        finally:
            with self._changed:
                self._count -= 1
                self._changed.notify_all()

    def end(self) -> None:
        with self._changed:
            self._has_ended = True
            self._changed.wait_for(lambda: not self._count)
