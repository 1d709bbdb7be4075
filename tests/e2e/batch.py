"""A stranger's proof of `gpen2048 batch`: pictures and a film through both engines, each run killed twice on its way.

    python tests/e2e/batch.py [--folder DIR] [--engines local,ray] [--only pictures|film]

200 pictures are tiles of the test photo, 5 of them broken; 300 frames of film are a pan over it, with a tone. The
network is a small one that sharpens, the detector GPEN_DETECTOR's or weights/'s RetinaFace, or else scikit-image's.
Ends with "equal" if all is as it should be, with an error if not.
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
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import av
import numpy as np
from PIL import Image

ROOT = Path(__file__).parents[2]
PHOTO = ROOT / "tests" / "data" / "solvay-1927.png"
PICTURES, BROKEN, TILE = 200, 5, 200
FRAMES, WIDTH, HEIGHT, STEP = 300, 320, 192, 3  # of the film; the pan in px a frame
KILLS = (0.25, 0.6)  # of the work done
CLI = (sys.executable, "-m", "gpen2048")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=Path, help="where to work (default: a temporary folder)")
    parser.add_argument("--engines", default="local,ray")
    parser.add_argument("--only", choices=("pictures", "film"))
    arguments = parser.parse_args()
    os.environ["PYTHONPATH"] = str(ROOT / "shared")
    engines: list[str] = arguments.engines.split(",")
    with tempfile.TemporaryDirectory() as temporary:
        folder: Path = arguments.folder or Path(temporary)
        folder.mkdir(parents=True, exist_ok=True)
        call("passthrough", folder / "net.pth", "--size", "64", "--sharpen", "2")
        if arguments.only != "film":
            prove_pictures(folder, engines)
        if arguments.only != "pictures":
            prove_film(folder, engines)


def prove_pictures(folder: Path, engines: list[str]) -> None:
    make_pictures(folder / "in")
    results: dict[str, dict[str, str]] = {}
    for engine in engines:
        out = folder / engine
        command = killed_twice(folder, engine, "in", out, lambda out=out: len(pictures(out)) / PICTURES)
        ended = subprocess.run(command, check=False)
        assert ended.returncode == 1, f"exit code {ended.returncode}; wanted 1, as pictures are broken"
        check(folder / "in", out)
        again = subprocess.run(command, check=False, capture_output=True, text=True)
        assert f"0 done, {BROKEN} failed, {PICTURES - BROKEN} left as before" in again.stdout, again.stdout
        results[engine] = {path.relative_to(out).as_posix(): digest(path) for path in pictures(out)}
    first, *others = results.values()
    assert all(other == first for other in others), "the engines differ"
    restored = restore_some(folder)
    assert restored.items() <= first.items(), "restore gives other pictures"
    print(f"equal: {len(first)} pictures by {' and '.join(results)}, {len(restored)} of them compared with restore")


def prove_film(folder: Path, engines: list[str]) -> None:
    source = folder / "film" / "pan.mkv"
    make_film(source)
    films: dict[str, tuple[list[str], list[bytes]]] = {}
    # One piece after the other on each device or worker: were all under way at once, all would be done at once.
    extra = ["--codec", "ffv1", "--piece", "50", "--in-flight", "1"]
    for engine in engines:
        out = folder / f"film-{engine}"
        done = partial(pieces_done, out)
        command = killed_twice(folder, engine, "film", out, done, *extra)
        assert subprocess.run(command, check=False).returncode == 0
        counts = Counter(record["output"] for record in records_in(out))
        assert set(counts.values()) == {1} and counts["pan.mkv"] == 1, f"a piece was done twice: {counts}"
        assert sorted(path.name for path in out.iterdir()) == ["manifest.jsonl", "pan.mkv"], "something was left"
        films[engine] = content(out / "pan.mkv")
    films["one pass"] = one_pass(folder, source)
    frames, sound = films["one pass"]
    assert len(frames) == FRAMES and sound == content(source)[1] != [], "frames or sound are missing"
    assert frames != content(source)[0], "nothing was restored"
    assert all(film == films["one pass"] for film in films.values()), "the films differ"
    print(f"equal: {FRAMES} frames and {len(sound)} packets of sound by {', '.join(films)}")


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


def killed_twice(
    folder: Path, engine: str, source: str, out: Path, done: Callable[[], float], *extra: str
) -> list[str]:
    """Runs a batch and kills it when so much of it is `done`, twice; its command."""
    on_ray = ["--engine", "ray", "--worker-cores", "1"] if engine == "ray" else []
    parts = [*CLI, "batch", folder / source, out, *equipment(folder), *on_ray, *extra]
    command = [str(part) for part in parts]
    for share in KILLS:
        process = subprocess.Popen(command, start_new_session=True)
        while process.poll() is None and done() < share:
            time.sleep(0.05)
        assert process.poll() is None, "ended before it could be killed"
        process.kill()
        process.wait()
        print(f"{engine}: killed when {done():.0%} of {source} was done", flush=True)
    return command


def check(sources: Path, out: Path) -> None:
    """Nothing half, nothing lost, nothing done twice."""
    records = records_in(out)
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


def records_in(out: Path) -> list[dict[str, Any]]:
    path = out / "manifest.jsonl"
    lines = path.read_text().splitlines(keepends=True) if path.exists() else []
    return [json.loads(line) for line in lines if line.endswith("\n") and '"output"' in line]


def pieces_done(out: Path) -> float:
    return sum(record["frames"] for record in records_in(out)) / FRAMES


def make_film(path: Path) -> None:
    """A pan over the photo, beside a tone."""
    photo = np.asarray(Image.open(PHOTO).convert("RGB"))
    path.parent.mkdir(parents=True, exist_ok=True)
    with av.open(str(path), "w") as container:
        video = container.add_stream("libx264", rate=25, options={"crf": "12", "g": "25"})
        video.width, video.height, video.pix_fmt = WIDTH, HEIGHT, "yuv420p"
        tone = container.add_stream("aac", rate=48000, layout="mono")
        for number in range(FRAMES):
            view = photo[140 : 140 + HEIGHT, STEP * number : STEP * number + WIDTH]
            container.mux(video.encode(av.VideoFrame.from_ndarray(np.ascontiguousarray(view), format="rgb24")))
            wave = (np.sin(np.arange(1920) / 20 + number) * 9000).astype(np.int16)
            sound = av.AudioFrame.from_ndarray(wave[None], format="s16", layout="mono")
            sound.sample_rate, sound.pts = 48000, 1920 * number
            container.mux(tone.encode(sound))
        container.mux(video.encode(None))
        container.mux(tone.encode(None))


def one_pass(folder: Path, source: Path) -> tuple[list[str], list[bytes]]:
    """What the film becomes when nothing is cut: one piece as long as all of it."""
    out = folder / "film-one"
    call("batch", source.parent, out, *equipment(folder), "--codec", "ffv1", "--piece", str(FRAMES))
    return content(out / "pan.mkv")


def content(path: Path) -> tuple[list[str], list[bytes]]:
    """Times and hashes of a film's frames, and its packets of sound."""
    with av.open(str(path)) as container:
        frames = [
            f"{float(frame.pts * frame.time_base):.3f} {_hash(frame.to_ndarray(format='rgb24').tobytes())}"
            for frame in container.decode(video=0)
        ]
    with av.open(str(path)) as container:
        return frames, [bytes(packet) for packet in container.demux(audio=0) if packet.size]


def digest(path: Path) -> str:
    return _hash(path.read_bytes())


def _hash(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


if __name__ == "__main__":
    main()
