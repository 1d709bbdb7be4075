"""A stranger's proof of `gpen2048 batch`: 200 pictures, 5 of them broken, through both engines, each killed twice.

    python tests/e2e/batch.py [--folder DIR] [--engines local,ray]

The pictures are tiles of the test photo, the network a small one that sharpens, the detector GPEN_DETECTOR's or
weights/'s RetinaFace, or else scikit-image's. Ends with "equal" if all is as it should be, with an error if not.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import random
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any

from PIL import Image

ROOT = Path(__file__).parents[2]
PHOTO = ROOT / "tests" / "data" / "solvay-1927.png"
PICTURES, BROKEN, TILE = 200, 5, 200
KILLS = (0.25, 0.6)  # of the pictures done
CLI = (sys.executable, "-m", "gpen2048")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=Path, help="where to work (default: a temporary folder)")
    parser.add_argument("--engines", default="local,ray")
    arguments = parser.parse_args()
    os.environ["PYTHONPATH"] = str(ROOT / "shared")
    with tempfile.TemporaryDirectory() as temporary:
        folder: Path = arguments.folder or Path(temporary)
        make_pictures(folder / "in")
        call("passthrough", folder / "net.pth", "--size", "64", "--sharpen", "2")
        results = {engine: batch(folder, engine) for engine in arguments.engines.split(",")}
        restored = restore_some(folder)
    first, *others = results.values()
    assert all(other == first for other in others), "the engines differ"
    assert restored.items() <= first.items(), "restore gives other pictures"
    print(f"equal: {len(first)} pictures by {' and '.join(results)}, {len(restored)} of them compared with restore")


def make_pictures(folder: Path) -> None:
    photo, chance = Image.open(PHOTO).convert("RGB"), random.Random(8)
    for number in range(PICTURES):
        path = folder / f"{number % 7}" / f"{number:03d}.{('png', 'jpg', 'webp')[number % 3]}"
        path.parent.mkdir(parents=True, exist_ok=True)
        left, top = chance.randrange(photo.width - TILE), chance.randrange(photo.height - TILE)
        photo.crop((left, top, left + TILE, top + TILE)).save(path)
        if number % (PICTURES // BROKEN) == 11:
            path.write_bytes(path.read_bytes()[:200])


def equipment(folder: Path) -> list[object]:
    detector = os.environ.get("GPEN_DETECTOR") or next(iter(sorted((ROOT / "weights").glob("detection_*.pth"))), "lbp")
    return ["--network", folder / "net.pth", "--detector", detector, "--device", "cpu"]


def batch(folder: Path, engine: str) -> dict[str, str]:
    """Hashes of what a batch gives that is killed twice before it may end."""
    out = folder / engine
    extra = ["--engine", "ray", "--worker-cores", "1"] if engine == "ray" else []
    command = [*CLI, "batch", folder / "in", out, *equipment(folder), *extra]
    for share in KILLS:
        process = subprocess.Popen([str(part) for part in command], start_new_session=True)
        while process.poll() is None and count(out) < share * PICTURES:
            time.sleep(0.05)
        assert process.poll() is None, "ended before it could be killed"
        process.kill()
        process.wait()
        print(f"{engine}: killed with {count(out)} pictures done", flush=True)
    ended = subprocess.run([str(part) for part in command], check=False)
    assert ended.returncode == 1, f"exit code {ended.returncode}; wanted 1, as pictures are broken"
    check(folder / "in", out)
    again = subprocess.run([str(part) for part in command], check=False, capture_output=True, text=True)
    assert f"0 done, {BROKEN} failed, {PICTURES - BROKEN} left as before" in again.stdout, again.stdout
    return {path.relative_to(out).as_posix(): digest(path) for path in pictures(out)}


def check(sources: Path, out: Path) -> None:
    """Nothing half, nothing lost, nothing done twice."""
    records: list[dict[str, Any]] = []
    for line in (out / "manifest.jsonl").read_text().splitlines():
        content = json.loads(line)
        records += [content] if "output" in content else []
    done = Counter(record["output"] for record in records if not record["error"])
    failed = {record["output"] for record in records if record["error"]}
    assert len(done) == PICTURES - BROKEN and set(done.values()) == {1}, "a picture was done twice, or never"
    assert len(failed) == BROKEN and not failed & set(done), f"failed: {failed}"
    assert set(done) == {path.relative_to(out).as_posix() for path in pictures(out)}, "outputs and records differ"
    assert not list(out.rglob("*.part")), "something unfinished was left"
    assert sum(record["restored"] for record in records) > PICTURES / 4, "hardly a face was found"
    for path in pictures(out):
        Image.open(path).load()
    hashes = {record["output"]: record["source_hash"] for record in records}
    assert all(hashes[p.relative_to(sources).as_posix()] == digest(p) for p in pictures(sources)), "wrong hashes"


def restore_some(folder: Path) -> dict[str, str]:
    call("restore", folder / "in" / "3", "-o", folder / "restore" / "3", *equipment(folder), code=1)
    return {path.relative_to(folder / "restore").as_posix(): digest(path) for path in pictures(folder / "restore")}


def call(*arguments: object, code: int = 0) -> None:
    ended = subprocess.run([*CLI, *map(str, arguments)], check=False, stdout=subprocess.DEVNULL)
    assert ended.returncode == code, f"exit code {ended.returncode}; wanted {code}"


def pictures(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*.*") if path.suffix in (".png", ".jpg", ".webp"))


def count(out: Path) -> int:
    return len(pictures(out)) if out.exists() else 0


def digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


if __name__ == "__main__":
    main()
