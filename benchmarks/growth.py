"""How the work around the network grows with the number of faces and with the picture's pixels.

    python benchmarks/growth.py --detector weights/detection_mobilenet0.25_Final.pth

In place of the network stands one that returns its input, so that its stage is the crops' way to [-1, 1] and back and
counts too; the network's own time is the same for every face. Exponents
are slopes of logarithms: 1 is in proportion. Memory is what the process held at most beyond what it held before, the
picture itself not counted.
"""

from __future__ import annotations

import gc
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import figures
import numpy as np
import pictures
import timing
import torch
from gpen2048.cli.stages import STAGES, TimedRestorer
from gpen2048.detection import load_detector
from gpen2048.faces import Face
from gpen2048.options import RestoreOptions
from pipeline import Identity, arguments, medians
from torch import Tensor

FACES = (1, 2, 4, 8, 16, 29)
MEGAPIXELS = (0.5, 1, 2, 4, 8, 16, 24)
Row = dict[str, Any]


def main() -> None:
    """Measures and writes one JSON file."""
    options = arguments(__doc__)
    torch.set_grad_enabled(False)
    detector = load_detector(options.detector)
    restorer = TimedRestorer(Identity(options.size), detector)  # pyright: ignore[reportArgumentType]  a stand-in
    result: dict[str, Any] = {"machine": timing.machine("cpu"), "rounds": options.rounds, "size": options.size}
    result["detector"] = Path(options.detector).name
    result["faces"] = _against_faces(restorer, options.rounds)
    for name, make in (("29 faces", pictures.group_photo), ("1 face", pictures.portrait)):
        result[f"pixels, {name}"] = _against_pixels(restorer, name, *make(), rounds=options.rounds)
    print(f"written to {timing.save('growth-cpu', result)}")


def _against_faces(restorer: TimedRestorer, rounds: int) -> dict[str, Any]:
    """Crops and paste of the first n faces of the group photo; detection finds all of them at once, whatever n is."""
    image, faces = pictures.group_photo()
    rows = [{"faces": n, **_measure(restorer, image, faces[:n], rounds)} for n in FACES]
    slope, intercept = np.polyfit(FACES, [row["around"]["processor"] for row in rows], 1).tolist()
    exponent = _exponent(rows, "faces", "processor")
    print(f"faces: {slope:.3f} s of the processor for each and {intercept:.3f} s, exponent {exponent:.2f}")
    return {"rows": rows, "seconds_per_face": slope, "seconds_at_none": intercept, "exponent": exponent}


def _against_pixels(
    restorer: TimedRestorer, name: str, image: Tensor, faces: list[Face], rounds: int
) -> dict[str, Any]:
    rows: list[Row] = []
    for megapixels in MEGAPIXELS:
        scale = math.sqrt(megapixels * 1e6 / (image.shape[1] * image.shape[2]))
        photo, _ = pictures.resized(image, faces, scale)
        row = _measure(restorer, photo, None, 1 if megapixels > 8 else rounds)
        rows.append({"megapixels": photo.shape[1] * photo.shape[2] / 1e6, **row})
        print(f"{name}, {megapixels} MP: found {row['found']}, {row['around']['processor']:.2f} s, "
              f"{row['peak_bytes'] or 0:.3g} bytes", flush=True)  # fmt: skip
    return {
        "rows": rows,
        "exponent": _exponent(rows, "megapixels", "processor"),
        "detection_exponent": _exponent(rows, "megapixels", "processor", "detection"),
        "bytes_per_pixel": _bytes_per_pixel(rows),
    }


def _measure(restorer: TimedRestorer, image: Tensor, faces: Sequence[Face] | None, rounds: int) -> Row:
    """Medians of each stage and of all around the network; the first run is to warm up and for the peak of memory."""
    gc.collect()
    timing.trim()
    timing.forget_peak()
    before = timing.resident_bytes("VmRSS")
    found = len(restorer.restore(image, RestoreOptions(max_crops=0), faces).faces)
    peak = None if before is None else (timing.resident_bytes("VmHWM") or 0) - before
    runs = []
    for _ in range(rounds):
        restorer.restore(image, RestoreOptions(max_crops=0), faces)
        runs.append(restorer.seconds)
    stages = {stage: medians([run[stage] for run in runs]) for stage in STAGES}
    return {"found": found, "stages": stages, "around": figures.around(stages), "peak_bytes": peak}


def _exponent(rows: Sequence[Row], against: str, clock: str, stage: str | None = None) -> float:
    seconds = [(row["stages"][stage] if stage else row["around"])[clock] for row in rows]
    return float(np.polyfit(np.log([row[against] for row in rows]), np.log(seconds), 1)[0])


def _bytes_per_pixel(rows: Sequence[Row]) -> float | None:
    """Slope of the memory peak, the picture's own 12 bytes a pixel not counted; None where the system does not say."""
    if any(row["peak_bytes"] is None for row in rows):
        return None
    return float(np.polyfit([row["megapixels"] * 1e6 for row in rows], [row["peak_bytes"] for row in rows], 1)[0])


if __name__ == "__main__":
    main()
