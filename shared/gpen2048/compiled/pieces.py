"""Rows divided among threads that are not equally fast: a processor's cores differ, and other programs want some."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from itertools import pairwise
from threading import Lock

Piece = tuple[int, int]  # the first row, and the one after the last


class Pieces:
    """`count` rows in pieces of about `unit`, each worker's in one run; who has done its own takes half of another's.

    A worker's first row is a multiple of `together`, and so is every piece's where `unit` is.
    """

    def __init__(self, count: int, workers: int, unit: int, together: int = 1):
        steps = count // together
        edges = [steps * n // workers * together for n in range(workers)] + [count]
        self._left = [
            deque((row, min(row + unit, stop)) for row in range(start, stop, unit)) for start, stop in pairwise(edges)
        ]
        self._lock = Lock()

    def work(self, worker: int, task: Callable[[int, int], None]) -> None:
        """Does `task` to pieces until none is left; when it fails, none is left to anyone."""
        try:
            while piece := self._next(worker):
                task(*piece)
        except BaseException:
            with self._lock:
                for left in self._left:
                    left.clear()
            raise

    def _next(self, worker: int) -> Piece | None:
        with self._lock:
            own = self._left[worker]
            if not own:
                most = max(self._left, key=len)
                for _ in range((len(most) + 1) // 2):
                    own.appendleft(most.pop())
            return own.popleft() if own else None
