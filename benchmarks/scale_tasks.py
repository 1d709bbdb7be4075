"""What a process of its own measures for scale.py: a batch, a batch on Ray, a film, the driver alone.

Networks are pass-throughs; each process computes with the threads it is told to.
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from portraits import PORTRAIT, make_film
from timing import resident_bytes

DRIVER_PICTURES, DRIVER_BYTES = 300, 5_000_000  # a 2048 px portrait as PNG
MIDDLE = "middle"


def known_faces(source: Path) -> Sequence[Any]:
    from gpen2048.cli.landmarks import FaceFile

    return FaceFile(source.with_suffix(".json"))(source)


def build(size: int, detector: str | None = None, *, threads: int = 1, precision: str = "fp32") -> Any:
    """The restorer of a pass-through network; `detector` is a RetinaFace file, or MIDDLE: a face always lies there."""
    import torch
    from gpen2048 import FaceRestorer, Network, RestoreOptions, load_detector
    from gpen2048.batch.restoring import PictureRestorer
    from gpen2048.cli.passing import RELEASED, SMALL
    from gpen2048.devices import PRECISIONS
    from gpen2048.network import NetworkConfig
    from gpen2048.weight_files.passthrough import passthrough_state_dict

    torch.set_num_threads(threads)
    config = NetworkConfig(size, *(RELEASED | SMALL)[size])
    network = Network.from_state_dict(config, passthrough_state_dict(config, 1), dtype=PRECISIONS[precision])
    finds: Any = middle_face if detector == MIDDLE else load_detector(detector) if detector else None
    return PictureRestorer(FaceRestorer(network, finds), torch.device("cpu"), RestoreOptions(), quality=95)


def middle_face(image: Any, threshold: float) -> list[Any]:
    import numpy as np
    from gpen2048 import Face

    points = np.array([[-20.0, -18], [20, -18], [0, 4], [-16, 24], [16, 24]]) + (PORTRAIT / 2, PORTRAIT / 2)
    return [Face(np.array([80.0, 80, 176, 176]), points, 0.99)]


def batch(folder: str, count: int, size: int, in_flight: int = 4, **built: Any) -> dict[str, Any]:
    """`built` is for `build`; without a detector the faces are known."""
    from gpen2048.batch.engine_local import LocalEngine

    engine = LocalEngine(build(size, **built), in_flight)
    faces = None if "detector" in built else known_faces
    result = run_batch(sorted(Path(folder, "in").glob("*.jpg"))[:count], engine, faces)
    return {"pictures": count, "network": size, "in flight": in_flight, **result, "busy": engine.busy}


def on_ray(folder: str, count: int, size: int, workers: int) -> dict[str, Any]:
    engine = ray_engine(size, workers)
    return {"workers": workers, **run_batch(sorted(Path(folder, "in").glob("*.jpg"))[:count], engine)}


def ray_engine(size: int, workers: int, detector: str | None = None) -> Any:
    return on_this_machine(lambda files: build(size, detector), workers)


def on_this_machine(build: Callable[[Any], Any], workers: int) -> Any:
    """A Ray engine of so many workers with one core each."""
    import ray
    from gpen2048.batch.engine_ray import RayEngine

    ray.init(
        num_cpus=2, object_store_memory=200 << 20, include_dashboard=False, log_to_driver=False, logging_level="ERROR"
    )
    return RayEngine(build, {}, in_flight=2, chunk=4, cores=1, workers=workers)


def run_batch(sources: Sequence[Path], engine: Any, faces: Any = known_faces, **recipe: Any) -> dict[str, Any]:
    """Seconds in all; pictures a second once a quarter is done, by when all is compiled and every worker has come;
    the peak of memory over what was there before."""
    from gpen2048.batch.manifest import Manifest
    from gpen2048.batch.recipe import Recipe
    from gpen2048.batch.running import run
    from gpen2048.batch.sources import Item

    started, before, times = time.perf_counter(), resident_bytes("VmRSS"), []
    with tempfile.TemporaryDirectory() as out, Manifest(Path(out)) as manifest:
        items = [Item(source, source.name) for source in sources]
        for record in run(items, engine, manifest, Recipe("options", "network", faces, **recipe)):
            assert not record.error, record.error
            times.append(time.perf_counter())
    warm = times[len(times) // 4 :]
    rate = (len(warm) - 1) / (warm[-1] - warm[0]) if len(warm) > 1 else None
    peak = (resident_bytes("VmHWM") or 0) - (before or 0)
    return {"seconds": times[-1] - started, "rate": rate, "peak MB over start": round(peak / 1e6, 1)}


def on_film(folder: str, frames: int, engine: str) -> dict[str, Any]:
    import gpen2048.films.restoring
    from gpen2048.batch.engine_local import LocalEngine

    source = make_film(Path(folder) / f"{frames}.mkv", frames)
    if engine == "one pass":
        restorer, started = build(64, MIDDLE), time.perf_counter()
        before = resident_bytes("VmRSS") or 0
        gpen2048.films.restoring.restore_film(source, Path(folder) / "one.mkv", restorer._restorer, codec="h264")
        peak = (resident_bytes("VmHWM") or 0) - before
        restorer.stop()
        result = {"seconds": time.perf_counter() - started, "peak MB over start": round(peak / 1e6, 1)}
    else:
        made = LocalEngine(build(64, MIDDLE), 2) if engine == "local" else ray_engine(64, 2, MIDDLE)
        made.chunk = 1
        result = run_batch([source], made, faces=None, piece=60)
        del result["rate"]  # of pieces
    return {"frames": frames, "engine": engine, **result}


class Instant:
    """Restores in no time at all; an engine, and what a worker runs."""

    chunk, busy = 4, None

    def __init__(self, files: Any = None):
        self._data = os.urandom(DRIVER_BYTES)

    def __call__(self, originals: Sequence[Any]) -> list[Any]:
        from gpen2048.batch.pictures import Restored

        return [Restored(self._data, 1, 1) for _ in originals]

    def seats(self) -> list[Any]:
        return [lambda: self] * 8

    def stop(self) -> None:
        pass


def on_driver(folder: str, engine: str) -> dict[str, Any]:
    """What this process can read, hash, write, sync and put on record, here and when workers of Ray send it."""
    source = sorted(Path(folder, "in").glob("*.jpg"))
    made = Instant() if engine == "local" else on_this_machine(Instant, workers=2)
    result = run_batch(source[:DRIVER_PICTURES], made, faces=None)
    return {"pictures/s": result["rate"], "bytes written for each": DRIVER_BYTES}


TASKS: dict[str, Callable[..., dict[str, Any]]] = {"batch": batch, "ray": on_ray, "film": on_film, "driver": on_driver}


def main() -> None:
    task: dict[str, Any] = json.loads(sys.argv[1])
    print(json.dumps(TASKS[task.pop("task")](**task)))


if __name__ == "__main__":
    main()
