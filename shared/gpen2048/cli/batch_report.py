"""What a batch is doing and has done: a progress bar, a summary, and the list of what failed."""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from types import TracebackType
from typing import Any

from ..batch.manifest import Manifest
from ..batch.records import Record
from ..batch.sources import Item
from .progress import unseen


class BatchReport:
    """Counts the records of one run over `todo`, of `items` in all; says what came of it when it ends, however.

    `left` more are to be done, but not by this run.
    """

    def __init__(self, items: Sequence[Item], todo: Sequence[Item], manifest: Manifest, *, left: int = 0):
        self._items, self._todo, self._manifest, self._left = items, todo, manifest, left
        self._started = time.perf_counter()
        self._done = self._failed_now = self._faces = self._restored = 0
        self._busy: float | None = None
        self._bar: Any = None

    @property
    def failed(self) -> list[Record]:
        """Every source that has no output because it failed, in this run or before."""
        records = (self._manifest.get(item.output) for item in self._items)
        return [record for record in records if record is not None and record.error]

    @property
    def damaged(self) -> list[Record]:
        """Every source that was restored as far as it could be read, in this run or before."""
        records = (self._manifest.get(item.output) for item in self._items)
        return [record for record in records if record is not None and record.note and not record.error]

    @property
    def is_whole(self) -> bool:
        """Whether every source has been restored whole, in this run or before."""
        return not (self.failed or self.damaged or self._left)

    def _remarked(self) -> list[Record]:
        records = (self._manifest.get(item.output) for item in self._todo)
        return [record for record in records if record is not None and record.remark and not record.error]

    def add(self, record: Record, busy: float | None) -> None:
        is_piece = bool(record.film)
        is_film = record.frames > 0 and not is_piece  # its faces came with its pieces, of earlier runs maybe
        self._done += not record.error and not is_piece
        self._failed_now += bool(record.error) and not is_piece
        self._faces += 0 if is_film else record.faces
        self._restored += 0 if is_film else record.restored
        self._busy = busy
        if self._bar is not None:
            self._bar.set_postfix_str(f"{self._restored} faces, {self._rate:.2f} faces/s", refresh=False)
            self._bar.total += is_piece
            self._bar.update()

    def __enter__(self) -> BatchReport:
        try:
            from tqdm import tqdm
        except ImportError:
            return self
        self._bar = tqdm(total=len(self._todo), unit="picture", disable=unseen(), leave=False)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bar is not None:
            self._bar.close()
        failed = self.failed
        if failed:
            print("failed:", file=sys.stderr)
        for record in failed:
            print(f"  {record.source}: {record.error}", file=sys.stderr)
        for record in self.damaged:
            print(f"done, but {record.source}: {record.note}", file=sys.stderr)
        for record in self._remarked():
            print(f"{record.source}: {record.remark}")
        print(self._summary())

    @property
    def _rate(self) -> float:
        return self._restored / max(time.perf_counter() - self._started, 1e-9)

    def _summary(self) -> str:
        before = len(self._items) - len(self._todo) - self._left
        left = len(self._todo) - self._done - self._failed_now + self._left
        counts = {"done": self._done, "failed": self._failed_now, "left as before": before, "left to do": left}
        parts = [", ".join(f"{count} {what}" for what, count in counts.items() if count or what == "done")]
        if self._todo:
            seconds = time.perf_counter() - self._started
            parts.append(f"{self._faces} faces found, {self._restored} restored")
            parts.append(f"{seconds:.1f} s, {self._rate:.2f} faces/s")
        if self._busy is not None:
            parts.append(f"network busy {self._busy:.0%} of the time")
        return "; ".join(parts)
