"""How `gpen2048 batch` scales: with pictures, with workers, with a film's length; and what that means for more.

    python benchmarks/scale.py [--parts pictures,overlap,workers,film,driver] [--rounds 3] [--detector FILE]

Portraits are cut out of the test photo, with the landmarks of its golden file, so that no weights are needed; networks
are pass-throughs of 64 to 2048 px. Every run is a process of its own with one thread to compute, unless it says
otherwise; workers are Ray's, with one core each. Writes benchmarks/results/scale-cpu-INSTRUCTIONS-DATE.json, where the
parts that are not run stay as they were measured the same day. An otherwise idle machine, please: 5 minutes a part at
most.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from portraits import ROOT, make_portraits
from timing import machine, save, todays

PICTURES = (10, 30, 100, 300, 1000)
FRAMES, FILM = (75, 150, 600), 300
WORKER_PICTURES, WORKER_SIZE = 40, 512
OVERLAP_PICTURES = 12
DETECTED = ((64, "fp32", 1), (512, "fp32", 1), (512, "fp32", 2), (512, "bf16", 2), (2048, "fp32", 2), (2048, "bf16", 2))
FACE_SECONDS = (0.05, 0.1, 0.2, 0.5)  # of a GPU for a face: assumptions to put one's own measurement between
MILLION, GPUS = 1_000_000, 8


@dataclass(frozen=True)
class Setting:
    """Where portraits lie, how many rounds there are, and RetinaFace's weights, if any."""

    folder: Path
    rounds: int
    detector: Path | None


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--parts", default=",".join(PARTS))
    parser.add_argument("--rounds", type=int, default=3, help="of the part workers")
    parser.add_argument("--detector", type=Path, help="RetinaFace weights, for the part overlap")
    arguments = parser.parse_args()
    os.environ.update(OMP_NUM_THREADS="1", PYTHONPATH=str(ROOT / "shared"))
    with tempfile.TemporaryDirectory() as folder:
        setting = Setting(Path(folder), arguments.rounds, arguments.detector)
        make_portraits(setting.folder / "in", max(PICTURES))
        for part in arguments.parts.split(","):
            load = os.getloadavg()[0]
            found = PARTS[part](setting)
            print(json.dumps(found, indent=2), flush=True)
            keep(part, {"load before": round(load, 2), "found": found})


def keep(part: str, measured: dict[str, Any]) -> None:
    """Puts a part into the day's file, beside the others; a run that is cut short keeps what it has."""
    path = todays("scale-cpu")
    known: dict[str, Any] = json.loads(path.read_text()) if path.exists() else {}
    facts = {**machine("cpu"), "threads": 1, "cores": os.cpu_count()}
    print(save("scale-cpu", {**known, "machine": facts, part: measured}))


def measure(setting: Setting, task: str, **given: Any) -> dict[str, Any]:
    """What a process of its own says about `task` of scale_tasks.py."""
    text = json.dumps({"task": task, "folder": str(setting.folder), **given})
    command = [sys.executable, str(Path(__file__).with_name("scale_tasks.py")), text]
    ran = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    return json.loads(ran.stdout.splitlines()[-1])


def pictures(setting: Setting) -> list[dict[str, Any]]:
    return [measure(setting, "batch", count=count, size=64) for count in PICTURES]


def overlap(setting: Setting) -> list[dict[str, Any]]:
    """The network's share of the time: with one and more pictures under way, and with detection beside it."""
    known: list[dict[str, Any]] = [{"size": 512, "in_flight": in_flight} for in_flight in (1, 4)]
    found = [{"size": size, "precision": precision, "threads": threads, "detector": str(setting.detector)}
             for size, precision, threads in DETECTED]  # fmt: skip
    rows: list[dict[str, Any]] = []
    for task in [*known, *(found if setting.detector else [])]:
        row = measure(setting, "batch", count=OVERLAP_PICTURES, **task)
        told = {"precision": task.get("precision", "fp32"), "threads": task.get("threads", 1)}
        rows.append({"faces": "detected" if "detector" in task else "known", **told, **row})
        print(json.dumps(rows[-1]), flush=True)
    return rows


def workers(setting: Setting) -> dict[str, Any]:
    """In turns, so that a busy machine slows both alike."""
    rates: dict[int, list[float]] = {1: [], 2: []}
    for _ in range(setting.rounds):
        for count, found in rates.items():
            found.append(measure(setting, "ray", count=WORKER_PICTURES, size=WORKER_SIZE, workers=count)["rate"])
    linear = [two / one / 2 for one, two in zip(rates[1], rates[2])]
    return {
        "network": WORKER_SIZE,
        "pictures/s": rates,
        "of linear": statistics.median(linear),
        "of linear, each": linear,
    }


def film(setting: Setting) -> list[dict[str, Any]]:
    lengths = [measure(setting, "film", frames=frames, engine="local") for frames in FRAMES]
    return lengths + [measure(setting, "film", frames=FILM, engine=e) for e in ("one pass", "local", "ray")]


def driver(setting: Setting) -> dict[str, Any]:
    """With the model that follows from it: a million portraits on 8 GPUs, on paper.

    GPU time is what it is a face, and the one machine that reads and writes must keep pace, with what Ray brings it.
    """
    local, measured = (measure(setting, "driver", engine=engine) for engine in ("local", "ray"))
    return {
        "local": local,
        "ray": measured,
        "a million portraits on 8 GPUs": [_extrapolated(s, measured) for s in FACE_SECONDS],
    }


def _extrapolated(seconds: float, measured: dict[str, Any]) -> dict[str, Any]:
    wanted, kept = GPUS / seconds, measured["pictures/s"]
    hours = MILLION / min(wanted, kept) / 3600
    return {"assumed s a face": seconds, "hours": round(hours, 1), "GPU hours": round(GPUS * hours, 1),
            "pictures/s wanted": wanted, "held up by the driver": kept < wanted}  # fmt: skip


PARTS: dict[str, Callable[[Setting], Any]] = {
    "pictures": pictures, "overlap": overlap, "workers": workers, "film": film, "driver": driver
}  # fmt: skip

if __name__ == "__main__":
    main()
