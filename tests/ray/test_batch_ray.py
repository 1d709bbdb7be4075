"""`gpen2048 batch --engine ray` against the local engine, with workers that die. `make test-ray` installs Ray."""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import gpen2048
import pytest
from gpen2048.batch.engine_ray import RayEngine
from gpen2048.batch.manifest import Manifest
from gpen2048.batch.pictures import Original, Restored
from gpen2048.batch.recipe import Recipe
from gpen2048.batch.running import run
from gpen2048.batch.sources import find_items
from gpen2048.cli import main
from PIL import Image

if "GPEN_TEST_RAY" not in os.environ:
    pytest.skip("takes minutes; make test-ray", allow_module_level=True)
ray = pytest.importorskip("ray", reason="Ray is not installed; make test-ray")
STORE = 200 << 20  # bytes of shared memory
TILE = 240


@pytest.fixture(scope="module", autouse=True)
def cluster() -> Iterator[None]:
    """A cluster of two cores on this machine, whose workers find the package where this process has it."""
    patch = pytest.MonkeyPatch()
    patch.setenv("PYTHONPATH", str(Path(gpen2048.__file__).parents[1]))
    ray.cloudpickle.register_pickle_by_value(sys.modules[__name__])
    ray.init(num_cpus=2, object_store_memory=STORE, include_dashboard=False, log_to_driver=False, logging_level="ERROR")
    yield
    ray.shutdown()
    patch.undo()


@pytest.fixture(scope="module")
def local(tmp_path_factory: pytest.TempPathFactory, photo_path: Path) -> Path:
    """A folder with tiles of the group photo, one of them broken, a network, and what the local engine makes of it."""
    folder = tmp_path_factory.mktemp("ray")
    photo = Image.open(photo_path).convert("RGB")
    faces = json.loads((photo_path.parents[1] / "golden" / "alignment.json").read_text())["faces"]
    pictures = [{"input": "broken.png", "faces": []}]
    (folder / "in").mkdir()
    (folder / "in" / "broken.png").touch()
    for number, left in enumerate(range(0, photo.width - TILE, TILE // 2)):
        photo.crop((left, 120, left + TILE, 120 + TILE)).save(folder / "in" / f"{number}.png")
        moved = [[[x - left, y - 120] for x, y in face["landmarks"]] for face in faces]
        inside = [points for points in moved if all(0 < value < TILE for point in points for value in point)]
        pictures.append({"input": f"{number}.png", "faces": [{"landmarks": points} for points in inside]})
    (folder / "faces.json").write_text(json.dumps({"pictures": pictures}))
    assert main(["passthrough", str(folder / "net.pth"), "--size", "64", "--sharpen", "2"]) == 0
    assert batch(folder, "local") == 1
    return folder


def batch(folder: Path, out: str, *arguments: str) -> int:
    network, faces = str(folder / "net.pth"), str(folder / "faces.json")
    given = ["--network", network, "--landmarks", faces, "--device", "cpu"]
    return main(["batch", str(folder / "in"), str(folder / out), *given, *arguments])


def files(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.suffix == ".png"}


def records(folder: Path) -> list[dict[str, Any]]:
    lines = [json.loads(line) for line in (folder / "manifest.jsonl").read_text().splitlines()]
    return [line for line in lines if "output" in line]


@pytest.mark.parametrize("workers", ["1", "2"])
def test_the_same_files_whatever_the_engine(local: Path, workers: str) -> None:
    out = f"ray{workers}"
    assert batch(local, out, "--engine", "ray", "--worker-cores", "1", "--workers", workers, "--chunk", "2") == 1
    assert files(local / out) == files(local / "local") and len(files(local / out)) == 10
    known = ("output", "source_hash", "options_hash", "network_hash", "faces", "restored", "error")
    seen = [sorted(tuple(r[name] for name in known) for r in records(local / folder)) for folder in (out, "local")]
    assert seen[0] == seen[1]
    assert batch(local, out, "--engine", "local") == 1  # either engine goes on where the other was
    assert len(records(local / out)) == 12


class Mortal:
    """Turns pictures around; dies once over those that say so, and always over poison."""

    def __init__(self, marks: Path):
        self.marks = marks

    def __call__(self, originals: list[Original]) -> list[Restored]:
        for original in originals:
            mark = self.marks / original.data.decode()
            if original.data.startswith(b"poison") or (original.data.startswith(b"once") and not mark.exists()):
                mark.touch()
                os.kill(os.getpid(), signal.SIGKILL)
        time.sleep(0.01)
        return [Restored(original.data[::-1], 1, 1) for original in originals]


def reversing(folder: Path, names: dict[str, bytes], chunk: int) -> tuple[RayEngine, Iterator[Any], Manifest]:
    (folder / "in").mkdir()
    (folder / "marks").mkdir()
    for name, content in names.items():
        (folder / "in" / f"{name}.png").write_bytes(content)
    items = find_items([str(folder / "in")], folder / "out")
    engine = RayEngine(lambda files: Mortal(folder / "marks"), {}, in_flight=2, chunk=chunk, cores=1)
    manifest = Manifest(folder / "out")
    return engine, run(items, engine, manifest, Recipe("options", "network")), manifest


def test_a_worker_that_dies_is_replaced_and_its_pictures_are_done_once(tmp_path: Path) -> None:
    names = {f"{n:02d}": b"once %d" % n if n in (5, 20) else b"picture %d" % n for n in range(40)}
    _, running, manifest = reversing(tmp_path, names, chunk=3)
    with manifest:
        done = list(running)
    assert [record.error for record in done] == [""] * 40
    assert sorted(record["output"] for record in records(tmp_path / "out")) == [f"{name}.png" for name in names]
    assert files(tmp_path / "out") == {f"{name}.png": content[::-1] for name, content in names.items()}
    assert len(list((tmp_path / "marks").iterdir())) == 2


def test_a_picture_that_kills_every_worker_fails_alone(tmp_path: Path) -> None:
    names = {f"{n:02d}": b"poison" if n == 7 else b"picture %d" % n for n in range(20)}
    _, running, manifest = reversing(tmp_path, names, chunk=2)
    with manifest:
        done = list(running)
    (failed,) = [record for record in done if record.error]
    assert failed.output == "07.png" and "the worker died 3 times over it" in failed.error
    assert len(files(tmp_path / "out")) == 19


def test_a_run_that_is_left_gives_its_workers_back(tmp_path: Path) -> None:
    before = threading.active_count()
    engine, running, manifest = reversing(tmp_path, {f"{n:02d}": b"picture" for n in range(60)}, chunk=1)
    with manifest:
        next(running)
        running.close()
        with pytest.raises(ray.exceptions.RayActorError):
            ray.get(engine.workers[0].is_ready.remote({}))
    assert threading.active_count() <= before
    assert len(records(tmp_path / "out")) < 60


def test_a_worker_that_cannot_start_ends_the_run(tmp_path: Path) -> None:
    def broken(files: Any) -> Any:
        raise ValueError("no such device here")

    (tmp_path / "1.png").write_bytes(b"picture")
    engine = RayEngine(broken, {}, in_flight=1, chunk=1, cores=1, workers=1)
    with Manifest(tmp_path / "out") as manifest, pytest.raises(gpen2048.GpenError, match="no such device here"):
        list(run(find_items([str(tmp_path / "1.png")], tmp_path / "out"), engine, manifest, Recipe("o", "n")))
