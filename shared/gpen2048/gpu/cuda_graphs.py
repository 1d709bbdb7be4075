"""Forward passes recorded as CUDA graphs, for GPUs that finish kernels faster than Python launches them."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable, Hashable
from dataclasses import dataclass
from enum import Enum
from typing import Any

import torch
from torch import Tensor

PAYS = 0.9  # of the time of launching: what a replay may take to be worth the memory that a recording holds
SAME = 1 / 255  # a recording must paint what launching paints, in [-1, 1], within half a level
Run = Callable[[Tensor, Tensor], None]
Record = Callable[[Tensor, Tensor, Run], "Recording"]


class Verdict(Enum):
    """On a kind of pass that has no recording."""

    WARM = "ran once, so that everything is compiled and chosen"
    REFUSED = "cannot be recorded, or gains nothing"


@dataclass(frozen=True)
class Recording:
    """A pass from `x` to `image`, whose places are part of it."""

    x: Tensor
    image: Tensor
    replay: Callable[[], None]

    def play(self, x: Tensor, image: Tensor) -> None:
        self.x.copy_(x)
        self.replay()
        image.copy_(self.image)


class Recordings:
    """Of one network: the first pass of a kind is launched, the second tries a recording, later ones use it.

    Recordings hold the memory of activations until `clear`: those of one stream the same, since work of one stream is
    done in its order. `recorder` is Recorder but for tests.
    """

    def __init__(self, recorder: Callable[[], Record] | None = None):
        self._recorder: Callable[[], Record] = recorder or Recorder
        self._recorders: dict[Hashable, Record] = {}  # by stream
        self._known: dict[Hashable, Recording | Verdict] = {}  # by shape, precision and stream of the pixels
        self._weights: Hashable = None
        self._lock = threading.Lock()

    def run(self, weights: Hashable, x: Tensor, image: Tensor, run: Run) -> None:
        """Fills `image` from `x` as `run(x, image)` does.

        `weights` says where they lie and how they are used; recordings made with others are dropped.
        """
        kind = x.shape, x.dtype, _stream(x.device)
        with self._lock:  # what is replayed has one input for all threads
            if weights != self._weights:
                self.clear()
                self._weights = weights
            known = self._known.get(kind)
            if isinstance(known, Recording):
                known.play(x, image)
            elif known is Verdict.WARM:
                self._known[kind] = self._tried(x, image, run)
            else:
                run(x, image)
                self._known.setdefault(kind, Verdict.WARM)

    def __reduce__(self) -> tuple[type[Recordings], tuple[()]]:
        """A copy has none: it would be of another network."""
        return Recordings, ()

    def clear(self) -> None:
        """Gives back all memory of recordings."""
        self._known.clear()
        self._recorders.clear()

    def _tried(self, x: Tensor, image: Tensor, run: Run) -> Recording | Verdict:
        launched = _seconds(lambda: run(x, image), x.device)
        stream = _stream(x.device)
        record = self._recorders.get(stream) or self._recorders.setdefault(stream, self._recorder())
        try:
            recording = record(x, image, run)
            played = torch.empty_like(image)
            recording.image.fill_(math.nan)  # what the recording does not paint must show
            replayed = _seconds(lambda: recording.play(x, played), x.device)
        except RuntimeError:  # something in the pass waits for the device, or memory is short
            return Verdict.REFUSED
        same = torch.allclose(played, image, rtol=0, atol=SAME)
        return recording if same and replayed < PAYS * launched else Verdict.REFUSED


class Recorder:
    """Makes recordings that share one pool of memory, and so must be played one after the other."""

    def __init__(self) -> None:
        self._aside: torch.cuda.Stream | None = None
        self._pool: Any = None

    def __call__(self, x: Tensor, image: Tensor, run: Run) -> Recording:
        """A recording of `run`; raises RuntimeError where CUDA cannot make one."""
        graph, source, target = torch.cuda.CUDAGraph(), x.clone(), torch.empty_like(image)
        current = torch.cuda.current_stream(x.device)
        if self._aside is None:
            self._aside, self._pool = torch.cuda.Stream(x.device), torch.cuda.graph_pool_handle()
        options: dict[str, Any] = {"pool": self._pool, "stream": self._aside}
        try:
            # Other threads may find faces or copy pictures on the device meanwhile.
            with torch.cuda.device(x.device), torch.cuda.graph(graph, capture_error_mode="thread_local", **options):
                run(source, target)
        finally:
            torch.cuda.set_stream(current)  # torch 2.1 stays on the other one when a recording fails
        return Recording(source, target, graph.replay)


def recordable_on(device: torch.device) -> bool:
    return device.type == "cuda"


def _stream(device: torch.device) -> Hashable:
    """Work of one stream is done in its order, so that it may share a recording."""
    return torch.cuda.current_stream(device).cuda_stream if device.type == "cuda" else None


def _seconds(work: Callable[[], object], device: torch.device) -> float:
    """Until the device is done, launching included."""
    torch.cuda.synchronize(device)
    start = time.perf_counter()
    work()
    torch.cuda.synchronize(device)
    return time.perf_counter() - start
