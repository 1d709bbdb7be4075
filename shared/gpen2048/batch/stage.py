"""One network for many threads: while it restores the faces of one picture, others are read, searched, pasted, written.

Each thread takes a picture all the way, with a `Door` in the network's place. What comes in at the doors waits in
line; one thread runs the network, so that it is busy whenever anything waits, and several waiting crops may share a
batch.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Generator
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from ..inference import Network, OnStage
from ..network import NetworkConfig


class StoppedError(Exception):
    """The run ends; what waits for the network waits no longer."""


@dataclass
class _Call:
    """Crops (N, 3, S, S) that wait, and the promise of what comes out, with the network's note.

    `in_less` memory the network is to do it.
    """

    crops: Tensor
    in_less: bool = False
    result: Future[tuple[Tensor, str | None]] = field(default_factory=Future[tuple[Tensor, "str | None"]])


class NetworkStage:
    """Runs `network` in a thread of its own, at most `batch` faces at once, but always those that came in together.

    `busy` is the seconds it has run, `span` those from the first call's start to the last one's end.
    """

    def __init__(self, network: Network, batch: int = 1):
        self.network = network
        self.batch = batch
        self.busy = 0.0
        self._began = self._ended = 0.0
        self._line: deque[_Call] = deque()
        self._stopped = False
        self._changed = threading.Condition()
        self._thread = threading.Thread(target=self._serve, name="network", daemon=True)
        self._thread.start()

    @property
    def span(self) -> float:
        return self._ended - self._began

    def restore(self, crops: Tensor, *, in_less: bool = False) -> tuple[Tensor, str | None]:
        """What the network makes of crops (N, 3, S, S) in [-1, 1], and its note; waits for both.

        With `in_less` it needs less memory, gives back first what it has kept, and does these crops alone.
        """
        call = _Call(crops, in_less)
        with self._changed:
            self.check()
            self._line.append(call)
            self._changed.notify()
        return call.result.result()

    def check(self) -> None:
        """Raises StoppedError once `stop` has been called."""
        if self._stopped:
            raise StoppedError("the run was stopped")

    def stop(self) -> None:
        """Ends the thread, at the latest after the level it is at; calls that wait raise StoppedError."""
        with self._changed:
            self._stopped = True
            self._changed.notify()
        self._thread.join()

    def _serve(self) -> None:
        while group := self._next():
            self._run(group)

    def _next(self) -> list[_Call]:
        """The calls that fit into the next batch; none at the end."""
        with self._changed:
            self._changed.wait_for(lambda: self._line or self._stopped)
            if self._stopped:
                for call in self._line:
                    call.result.set_exception(StoppedError("the run was stopped"))
                return []
            group = [self._line.popleft()]
            while self._line and self._fits(self._line[0], group):
                group.append(self._line.popleft())
            return group

    def _fits(self, call: _Call, group: list[_Call]) -> bool:
        shares = not (call.in_less or group[0].in_less)
        return shares and sum(len(c.crops) for c in (*group, call)) <= self.batch

    def _run(self, group: list[_Call]) -> None:
        started = time.perf_counter()
        try:
            crops = group[0].crops if len(group) == 1 else torch.cat([call.crops for call in group])
            with _memory_of(self.network, group[0].in_less):
                results = self.network(crops, on_stage=self.check)
            _wait_for(results.device)
            note = self.network.last_note
            for call, part in zip(group, results.split([len(call.crops) for call in group])):
                call.result.set_result((part, note))
        except BaseException as error:
            for call in group:
                call.result.set_exception(error)
        self._ended = time.perf_counter()
        self._began = self._began or started
        self.busy += self._ended - started


class Door:
    """Stands in for `stage`'s network in a FaceRestorer of one thread; `in_less` is NetworkStage.restore's."""

    def __init__(self, stage: NetworkStage, *, in_less: bool = False):
        self._stage = stage
        self._in_less = in_less
        self.config: NetworkConfig = stage.network.config
        self.last_note: str | None = None

    def __call__(self, x: Tensor, on_stage: OnStage | None = None) -> Tensor:
        """As Network; `on_stage` is called before it runs only."""
        if on_stage is not None:
            on_stage()
        result, self.last_note = self._stage.restore(x, in_less=self._in_less)
        return result

    def memory_required(self, batch: int = 1, device: torch.device | None = None) -> int:
        return self._stage.network.memory_required(batch, device)


@contextmanager
def _memory_of(network: Network, in_less: bool) -> Generator[None]:
    """Only here, in its own thread, may what the network keeps be given back."""
    if not in_less:
        yield
        return
    network.release()
    network.low_memory = True
    try:
        yield
    finally:
        network.low_memory = False


def _wait_for(device: torch.device) -> None:
    """Until the device is done, so that `busy` is its time and not that of the calls' issuing."""
    module: Any = getattr(torch, device.type)  # cpu, cuda, xpu and mps all have it
    if device.type in ("cuda", "xpu"):
        module.synchronize(device)
    else:
        module.synchronize()
