"""Pictures restored by workers of a Ray cluster, which may be this machine alone.

Ray places the workers, starts anew those that die, gives their pictures to the new ones, and carries pictures both
ways, so that only this process touches the sources and outputs. The weights lie in its object store once.
"""

from __future__ import annotations

import importlib
import tempfile
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import GpenError
from .pictures import Restore, Restored, Source
from .places import Places, places
from .restoring import PictureRestorer
from .stage import StoppedError

RETRIES = 2  # of pictures whose worker died
MOST_DEATHS = 3  # pictures in a row, each alone, over which workers died: nothing can be done on this cluster

Weights = Mapping[str, tuple[str, Any]]  # file names, and references to what is in the files
Build = Callable[[Mapping[str, Path]], PictureRestorer]


@dataclass(frozen=True)
class Supplies:
    """What a worker makes its restorer with; references to Ray's object store, where all of it lies once."""

    build: Any  # to a Build
    weights: Weights


class RayEngine:
    """Workers that `build` makes from the weight `files`, with `in_flight` chunks of pictures under way on each.

    `address` is that of a cluster ("auto", "ray://…"); without one, Ray is started on this machine, and ended by
    `stop`. `workers` limits their number. Raises GpenError where Ray is not installed or not to be reached.
    """

    busy = None

    def __init__(
        self,
        build: Build,
        files: Mapping[str, Path],
        *,
        in_flight: int,
        chunk: int,
        address: str | None = None,
        cores: int = 4,
        workers: int | None = None,
    ):
        self.chunk = chunk
        self._in_flight = in_flight
        self._ray = _import_ray()
        self._started = _connect(self._ray, address)
        found = places([node["Resources"] for node in self._ray.nodes() if node["Alive"]], cores)
        count = min(workers or found.workers, found.workers)
        self.places = Places(count, found.cpus, found.gpus)
        weights = {name: (path.name, self._ray.put(_content(path))) for name, path in files.items()}
        self._supplies = Supplies(self._ray.put(build), weights)
        kind = self._ray.remote(Worker).options(
            num_cpus=found.cpus,
            num_gpus=found.gpus,
            max_concurrency=in_flight + 1,
            max_restarts=-1,
            max_task_retries=RETRIES,
        )
        self.workers = [kind.remote() for _ in range(count)]
        self._stopped = threading.Event()
        self._suspects = threading.Lock()
        self._died = 0  # pictures in a row
        self._deaths = (self._ray.exceptions.RayActorError, self._ray.exceptions.RaySystemError)

    def seats(self) -> Sequence[Callable[[], Restore]]:
        return [partial(self._sit, worker) for _ in range(self._in_flight) for worker in self.workers]

    def stop(self) -> None:
        self._stopped.set()
        for worker in self.workers:
            self._ray.kill(worker)
        if self._started:
            self._ray.shutdown()

    def _sit(self, worker: Any) -> Restore:
        """Waits until `worker` is there, which on a busy or growing cluster may take long."""
        try:
            self._ray.get(worker.is_ready.remote(self._supplies))
        except self._ray.exceptions.RayError as error:
            raise self._ended(f"a worker could not start: {_cause(error)}") from error
        return partial(self._restore, worker)

    def _restore(self, worker: Any, sources: Sequence[Source]) -> list[Restored]:
        """By `worker` together; should it die each time, one at a time, to find out over which one it dies."""
        try:
            return self._ask(worker, sources)
        except self._deaths:
            with self._suspects:
                return [self._restore_alone(worker, source) for source in sources]

    def _restore_alone(self, worker: Any, source: Source) -> Restored:
        try:
            return self._ask(worker, [source])[0]
        except self._deaths as error:
            self._died += 1
            message = f"the worker died {RETRIES + 1} times over it ({_cause(error)})"
            if self._stopped.is_set() or self._died >= MOST_DEATHS:
                raise self._ended(message) from error
            return Restored(error=message)

    def _ask(self, worker: Any, sources: Sequence[Source]) -> list[Restored]:
        restored: list[Restored] = self._ray.get(worker.restore.remote(self._supplies, list(sources)))
        self._died = 0
        return restored

    def _ended(self, message: str) -> Exception:
        return StoppedError("the run was stopped") if self._stopped.is_set() else GpenError(message)


class Worker:
    """What runs on the cluster: a network on its device, for several chunks of pictures at once.

    What it needs comes with every call: a worker that is started anew needs it again.
    """

    def __init__(self) -> None:
        self._building = threading.Lock()
        self._restorer: PictureRestorer | None = None

    def get_ready(self, supplies: Supplies) -> PictureRestorer:
        with self._building:
            if self._restorer is None:
                build: Build = _import_ray().get(supplies.build)
                with tempfile.TemporaryDirectory() as folder:
                    self._restorer = build(_write(supplies.weights, Path(folder)))
            return self._restorer

    def is_ready(self, supplies: Supplies) -> bool:
        return bool(self.get_ready(supplies))

    def restore(self, supplies: Supplies, sources: Sequence[Source]) -> list[Restored]:
        return self.get_ready(supplies)(sources)


def _write(weights: Weights, folder: Path) -> dict[str, Path]:
    """Names and paths of the files, which end as the sources do: their format is told by that."""
    files = {name: folder / f"{name}-{file}" for name, (file, _) in weights.items()}
    for name, (_, content) in weights.items():
        files[name].write_bytes(_import_ray().get(content))
    return files


def _import_ray() -> Any:
    try:
        return importlib.import_module("ray")
    except ImportError as error:
        raise GpenError('--engine ray needs Ray, which the extra "ray" brings') from error


def _connect(ray: Any, address: str | None) -> bool:
    """Whether Ray was started here and is to be ended here."""
    if ray.is_initialized():
        return False
    try:
        if address is None:
            ray.init(include_dashboard=False, log_to_driver=False, logging_level="ERROR")
        else:
            ray.init(address=address, log_to_driver=False, logging_level="ERROR")
    except (ConnectionError, ValueError, RuntimeError) as error:
        raise GpenError(f"no Ray cluster at {address or 'this machine'}: {_cause(error)}") from error
    return True


def _content(path: Path) -> Any:
    """As an array, which the workers of a machine read from the object store without a copy each."""
    return np.frombuffer(path.read_bytes(), np.uint8)


def _cause(error: BaseException) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[-1] if lines else type(error).__name__
