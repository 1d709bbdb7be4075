"""How `gpen2048 batch` scales: with pictures, with workers, with a film's length; and what that means for more.

    python benchmarks/scale.py [--parts pictures,overlap,workers,film,driver] [--rounds 3]

Portraits are cut out of the test photo, with the landmarks of its golden file, so that no weights are needed; networks
are pass-throughs of 64 to 512 px. Every run is a process of its own with one thread to compute; workers are Ray's, with
one core each. Writes benchmarks/results/scale-DATE.json. An otherwise idle machine, please: 5 minutes a part at most.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from timing import machine, resident_bytes, save

ROOT = Path(__file__).parents[1]
PHOTO = ROOT / "tests" / "data" / "solvay-1927.png"
PORTRAIT = 256  # px
PICTURES = (10, 30, 100, 300, 1000)
FRAMES = (75, 150, 300)
WORKER_PICTURES = 240
OVERLAP_PICTURES = 24
DRIVER_PICTURES, DRIVER_BYTES = 500, 5_000_000  # a 2048 px portrait as PNG
MILLION = 1_000_000
ASSUMED_SECONDS = (0.05, 0.1, 0.2, 0.5)  # of a GPU for a face: assumptions to put one's own measurement between


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--parts", default="pictures,overlap,workers,film,driver")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--task", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.task:
        print(json.dumps(TASKS[json.loads(arguments.task)["part"]](**json.loads(arguments.task))))
        return
    os.environ.update(OMP_NUM_THREADS="1", PYTHONPATH=str(ROOT / "shared"))
    with tempfile.TemporaryDirectory() as folder:
        make_portraits(Path(folder) / "in", max(PICTURES))
        results = {part: PARTS[part](Path(folder), arguments.rounds) for part in arguments.parts.split(",")}
    if "driver" in results:
        results["model"] = model(results["driver"])
    print(json.dumps(results, indent=2))
    print(save("scale", {"machine": {**machine("cpu"), "threads": 1, "cores": os.cpu_count()}, **results}))


def measure(folder: Path, **task: Any) -> dict[str, Any]:
    """What a process of its own says about `task`."""
    given = json.dumps({"folder": str(folder), **task})
    ran = subprocess.run([sys.executable, __file__, "--task", given], check=True, stdout=subprocess.PIPE, text=True)
    return json.loads(ran.stdout.splitlines()[-1])


def pictures(folder: Path, rounds: int) -> list[dict[str, Any]]:
    return [measure(folder, part="batch", count=count, size=64) for count in PICTURES]


def overlap(folder: Path, rounds: int) -> list[dict[str, Any]]:
    """The network's share of the time, with more and more pictures under way at once."""
    tasks = [(size, in_flight) for size in (256, 512) for in_flight in (1, 2, 4)]
    return [measure(folder, part="batch", count=OVERLAP_PICTURES, size=s, in_flight=n) for s, n in tasks]


def workers(folder: Path, rounds: int) -> dict[str, Any]:
    """In turns, so that a busy machine slows both alike."""
    rates: dict[int, list[float]] = {1: [], 2: []}
    for _ in range(rounds):
        for count, found in rates.items():
            found.append(measure(folder, part="ray", count=WORKER_PICTURES, size=128, workers=count)["rate"])
    ratios = [two / one for one, two in zip(rates[1], rates[2])]
    return {"pictures/s": rates, "of linear": statistics.median(ratios) / 2, "of linear, each": [r / 2 for r in ratios]}


def film(folder: Path, rounds: int) -> list[dict[str, Any]]:
    engines = ["one pass", "local", "ray"]
    lengths = [measure(folder, part="film", frames=frames, engine="local") for frames in FRAMES[:-1]]
    return lengths + [measure(folder, part="film", frames=FRAMES[-1], engine=engine) for engine in engines]


def driver(folder: Path, rounds: int) -> dict[str, Any]:
    return measure(folder, part="driver")


def model(driver: dict[str, Any]) -> dict[str, Any]:
    """A million portraits on 8 GPUs, on paper: GPU time is what it is a face, and one driver must keep pace."""
    rows = []
    for seconds in ASSUMED_SECONDS:
        wanted = 8 / seconds
        rate = min(wanted, driver["pictures/s"])
        hours = MILLION / rate / 3600
        rows.append({"assumed s a face": seconds, "hours": round(hours, 1), "GPU hours": round(8 * hours, 1),
                     "held up by the driver": rate < wanted})  # fmt: skip
    assumptions = "one face a picture; network busy all the time; the driver's disk and cores are this machine's"
    return {"assumptions": assumptions, "rows": rows}


PARTS: dict[str, Callable[[Path, int], Any]] = {
    "pictures": pictures, "overlap": overlap, "workers": workers, "film": film, "driver": driver
}  # fmt: skip


def make_portraits(folder: Path, count: int) -> None:
    """JPEGs with one known face each, and the file of landmarks."""
    from PIL import Image

    photo, chance = Image.open(PHOTO).convert("RGB"), random.Random(1)
    faces = json.loads((ROOT / "tests" / "golden" / "alignment.json").read_text())["faces"]
    folder.mkdir(parents=True)
    for number in range(count):
        points = faces[number % len(faces)]["landmarks"]
        left, top = (max(0, int(points[2][axis]) - PORTRAIT // 2 + chance.randint(-20, 20)) for axis in (0, 1))
        photo.crop((left, top, left + PORTRAIT, top + PORTRAIT)).save(folder / f"{number:04d}.jpg", quality=92)
        moved = [[x - left, y - top] for x, y in points]
        (folder / f"{number:04d}.json").write_text(json.dumps([{"landmarks": moved}]))


def known_faces(source: Path) -> Sequence[Any]:
    from gpen2048.cli.landmarks import read_landmarks

    return read_landmarks(source.with_suffix(".json"), source)


def build(size: int, find: bool = False) -> Any:
    """The restorer of a pass-through network; `find`: with a detector that sees the whole frame as one face."""
    import torch
    from gpen2048 import FaceRestorer, Network, RestoreOptions
    from gpen2048.batch.restoring import PictureRestorer
    from gpen2048.cli.passing import RELEASED, SMALL
    from gpen2048.network import NetworkConfig
    from gpen2048.passthrough import passthrough_state_dict

    torch.set_num_threads(1)
    config = NetworkConfig(size, *(RELEASED | SMALL)[size])
    network = Network.from_state_dict(config, passthrough_state_dict(config, 1))
    restorer = FaceRestorer(network, middle_face if find else None)
    return PictureRestorer(restorer, torch.device("cpu"), RestoreOptions(), quality=95)


def middle_face(image: Any, threshold: float) -> list[Any]:
    import numpy as np
    from gpen2048 import Face

    points = np.array([[-20.0, -18], [20, -18], [0, 4], [-16, 24], [16, 24]]) + (PORTRAIT / 2, PORTRAIT / 2)
    return [Face(np.array([80.0, 80, 176, 176]), points, 0.99)]


def batch(part: str, folder: str, count: int, size: int, in_flight: int = 4) -> dict[str, Any]:
    from gpen2048.batch.engine_local import LocalEngine

    engine = LocalEngine(build(size), in_flight)
    result = run_batch(sorted(Path(folder, "in").glob("*.jpg"))[:count], engine)
    return {"pictures": count, "network": size, "in flight": in_flight, **result, "busy": engine.busy}


def on_ray(part: str, folder: str, count: int, size: int, workers: int) -> dict[str, Any]:
    engine = ray_engine(size, workers)
    return {"workers": workers, **run_batch(sorted(Path(folder, "in").glob("*.jpg"))[:count], engine)}


def ray_engine(size: int, workers: int, find: bool = False) -> Any:
    import ray
    from gpen2048.batch.engine_ray import RayEngine

    ray.init(num_cpus=2, object_store_memory=200 << 20, include_dashboard=False, log_to_driver=False)
    return RayEngine(lambda files: build(size, find), {}, in_flight=2, chunk=4, cores=1, workers=workers)


def run_batch(sources: Sequence[Path], engine: Any, faces: Any = known_faces, **recipe: Any) -> dict[str, Any]:
    """Seconds from the first result on, as those before are for starting; peak of memory over what was there before."""
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
    rate = (len(times) - 1) / (times[-1] - times[0]) if len(times) > 1 else None
    peak = (resident_bytes("VmHWM") or 0) - (before or 0)
    return {"seconds": times[-1] - started, "rate": rate, "peak MB over start": round(peak / 1e6, 1)}


def on_film(part: str, folder: str, frames: int, engine: str) -> dict[str, Any]:
    import gpen2048.film_restoring
    from gpen2048.batch.engine_local import LocalEngine

    source = make_film(Path(folder) / f"{frames}.mkv", frames)
    if engine == "one pass":
        started, restorer = time.perf_counter(), build(64, find=True)
        before = resident_bytes("VmRSS") or 0
        gpen2048.film_restoring.restore_film(source, Path(folder) / "one.mkv", restorer._restorer, codec="h264")
        peak = (resident_bytes("VmHWM") or 0) - before
        restorer.stop()
        result = {"seconds": time.perf_counter() - started, "peak MB over start": round(peak / 1e6, 1)}
    else:
        made = LocalEngine(build(64, find=True), 2) if engine == "local" else ray_engine(64, 2, find=True)
        made.chunk = 1
        result = run_batch([source], made, faces=None, piece=60)
    return {"frames": frames, "engine": engine, **result}


def make_film(path: Path, frames: int) -> Path:
    import av
    import numpy as np
    from PIL import Image

    photo = np.asarray(Image.open(PHOTO).convert("RGB"))
    with av.open(str(path), "w") as container:
        video = container.add_stream("libx264", rate=25, options={"g": "30"})
        video.width = video.height = PORTRAIT
        for number in range(frames):
            view = photo[150 : 150 + PORTRAIT, 3 * number : 3 * number + PORTRAIT]
            frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(view), format="rgb24")
            container.mux(video.encode(frame))
        container.mux(video.encode(None))
    return path


def on_driver(part: str, folder: str) -> dict[str, Any]:
    """What this process can read, hash, write, sync and put on record when restoring takes no time at all."""

    class Instant:
        chunk, busy = 4, None

        def seats(self) -> list[Any]:
            return [lambda: self.restore] * 8

        def stop(self) -> None:
            pass

        def restore(self, originals: Sequence[Any]) -> Iterator[Any]:
            from gpen2048.batch.pictures import Restored

            return iter([Restored(bytes(DRIVER_BYTES), 1, 1) for _ in originals])

    source = sorted(Path(folder, "in").glob("*.jpg"))
    result = run_batch(source[:DRIVER_PICTURES], Instant(), faces=None)
    return {"pictures/s": result["rate"], "bytes written for each": DRIVER_BYTES}


TASKS: dict[str, Callable[..., dict[str, Any]]] = {"batch": batch, "ray": on_ray, "film": on_film, "driver": on_driver}

if __name__ == "__main__":
    main()
