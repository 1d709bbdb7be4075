"""What scale.py restores: portraits with a known face each, and films that pan, all cut out of the test photo."""

from __future__ import annotations

import json
import random
from pathlib import Path

ROOT = Path(__file__).parents[1]
PHOTO = ROOT / "tests" / "data" / "solvay-1927.png"
PORTRAIT = 256  # px


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


def make_film(path: Path, frames: int) -> Path:
    import av
    import numpy as np
    from PIL import Image

    photo = np.asarray(Image.open(PHOTO).convert("RGB"))
    with av.open(str(path), "w") as container:
        video = container.add_stream("libx264", rate=25, options={"g": "30"})
        video.width = video.height = PORTRAIT
        widest = photo.shape[1] - PORTRAIT
        for number in range(frames):
            left = widest - abs(3 * number % (2 * widest) - widest)  # to the end and back
            view = photo[150 : 150 + PORTRAIT, left : left + PORTRAIT]
            frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(view), format="rgb24")
            container.mux(video.encode(frame))
        container.mux(video.encode(None))
    return path
