"""`gpen2048 bench`: how fast this machine restores, in a few lines."""

from __future__ import annotations

import argparse
import statistics
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..alignment import face_template
from ..checkpoint import load_network
from ..compiled import leftovers
from ..detection import load_detector
from ..devices import PRECISIONS, choose_device, choose_precision
from ..faces import Face
from ..images import read_image
from ..inference import Network
from ..network import NetworkConfig
from ..options import RestoreOptions
from ..restoration import FaceReport
from ..weight_files.passthrough import passthrough_state_dict
from ..weights import DETECTOR_STEMS, default_folder, find_file
from .outputs import check_places, named_inputs
from .passing import RELEASED, SMALL
from .peaks import Peak, device_name
from .reporting import write_json
from .sources import refuse_inputs
from .stages import AROUND, Seconds, TimedRestorer, now

PHOTO_SIZE, FACE_SIZE, FACES = (1200, 1600), 200, 3  # px; the picture made when none is given
MEGABYTE = 1e6
WARM_UP = 2  # runs; the second may be recorded as a CUDA graph


@dataclass(frozen=True)
class Speed:
    """Of one precision: milliseconds on the clock and of the processor for each face, peak of memory in bytes."""

    precision: str
    size: int
    batch: int
    milliseconds: float
    processor_milliseconds: float
    peak_bytes: int | None
    note: str = ""


def add_to(commands: Any) -> None:
    parser = commands.add_parser("bench", help="measure how fast this machine restores; needs no weights")
    parser.add_argument("photo", type=Path, nargs="?", help="what to measure the stages on (default: a made picture)")
    parser.add_argument("--network", type=Path, metavar="FILE", help="a GPEN network (default: one of the same shape)")
    parser.add_argument("--size", type=int, default=2048, choices=sorted(RELEASED | SMALL), help="without --network")
    parser.add_argument("--detector", type=Path, metavar="FILE", help="RetinaFace weights (default: found in weights/)")
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda, cuda:1, xpu or mps")
    parser.add_argument("--precision", nargs="+", default=["auto"], metavar="|".join(("auto", *PRECISIONS)))
    parser.add_argument("--batch", type=int, default=1, metavar="N", help="faces at once")
    parser.add_argument("--rounds", type=int, default=5, metavar="N", help="the medians of so many runs are shown")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures to FILE too")
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    if options.batch < 1 or options.rounds < 1:
        raise ValueError(f"--batch is {options.batch}, --rounds {options.rounds}; wanted at least 1 of each")
    options.detector = options.detector or find_file(DETECTOR_STEMS, default_folder())
    if options.json is not None:
        refuse_inputs([options.json], [*named_inputs(options), *filter(None, [options.photo])])
        check_places([options.json])
    device = choose_device(options.device)
    print(f"device     {device_name(device)}, {torch.get_num_threads()} threads, torch {torch.__version__}")
    print(f"{'precision':9} {'size':>5} {'batch':>5} {'ms/face':>9} {'processor':>9} {'peak MB':>8}")
    speeds: list[Speed] = []
    network = None
    for name in options.precision:
        network = _network(options, name, device)
        network.graphs = True  # as in all commands
        speeds.append(_speed(network, options.batch, options.rounds, device))
        print(_line(speeds[-1]), flush=True)
    assert network is not None
    stages = _stages(network, options, device)
    if options.json is not None:
        write_json(options.json, _report(device, speeds, stages))
    return 0


def _network(options: argparse.Namespace, precision: str, device: torch.device) -> Network:
    dtype = choose_precision(precision, device)
    if options.network is not None:
        return load_network(options.network, device=device, dtype=dtype)
    config = NetworkConfig(options.size, *(RELEASED | SMALL)[options.size])
    # Time does not depend on the weights' values; these never overflow.
    return Network.from_state_dict(config, passthrough_state_dict(config), dtype=dtype).to(device)


def _speed(network: Network, batch: int, rounds: int, device: torch.device) -> Speed:
    size, dtype = network.config.size, network.convolutions[0].weight.dtype
    x = torch.rand(batch, 3, size, size, generator=torch.Generator().manual_seed(1)).to(device) * 2 - 1
    network.memory_required(batch)  # chooses and compiles what runs, which is done once and is none of its memory
    leftovers.collect()
    peak = Peak(device)
    for _ in range(WARM_UP):
        network(x)
    samples: list[Seconds] = []
    for _ in range(rounds):
        start = now(device)
        network(x)
        samples.append(now(device) - start)
    wall, processor = (
        statistics.median(getattr(sample, clock) for sample in samples) * 1000 / batch
        for clock in ("wall", "processor")
    )
    precision = next(name for name, value in PRECISIONS.items() if value == dtype)
    return Speed(precision, size, batch, wall, processor, peak.bytes(), network.last_note or "")


def _line(speed: Speed) -> str:
    peak = "-" if speed.peak_bytes is None else f"{speed.peak_bytes / MEGABYTE:.0f}"
    figures = f"{speed.milliseconds:9.1f} {speed.processor_milliseconds:9.1f} {peak:>8}"
    return f"{speed.precision:9} {speed.size:5d} {speed.batch:5d} {figures}  {speed.note}".rstrip()


def _stages(network: Network, options: argparse.Namespace, device: torch.device) -> dict[str, Any]:
    """Milliseconds of each stage on one picture, the last of two runs."""
    detector = load_detector(options.detector, device=device) if options.detector else None
    if options.photo is None:
        image, faces = _made_picture()
    elif detector is None:
        raise ValueError("a photo was given and no face detector found; wanted --detector FILE")
    else:
        image, faces = read_image(options.photo).pixels, None
    image = image.to(device)
    restorer = TimedRestorer(network, detector, batch=options.batch)
    restore_options = RestoreOptions(max_crops=0)
    found: Sequence[FaceReport] = ()
    for _ in range(2):
        leftovers.collect()  # of the first run, which may have compiled: else it is a part of the second
        found = restorer.restore(image, restore_options, faces).faces
        if faces is not None and detector is not None:
            restorer.find(image, restore_options)
    milliseconds = {stage: seconds.wall * 1000 for stage, seconds in restorer.seconds.items()}
    if detector is None:
        del milliseconds["detection"]
    _show(image, len(found), milliseconds)
    return {"picture": list(image.shape[1:]), "faces": len(found), "milliseconds": milliseconds}


def _made_picture() -> tuple[Tensor, list[Face]]:
    """Grain, and where faces would be."""
    image = torch.rand(3, *PHOTO_SIZE, generator=torch.Generator().manual_seed(1))
    points = face_template(FACE_SIZE)
    corners = [np.array([100.0 + 500 * number, 500.0]) for number in range(FACES)]
    return image, [Face(np.concatenate((at, at + FACE_SIZE)), points + at) for at in corners]


def _show(image: Tensor, faces: int, milliseconds: dict[str, float]) -> None:
    around = sum(value for stage, value in milliseconds.items() if stage in AROUND)
    stages = ", ".join(f"{stage} {value:.0f}" for stage, value in milliseconds.items())
    share = f"; around the network {around / milliseconds['network']:.1%} of its time" if faces else ""
    print(f"{image.shape[2]} x {image.shape[1]} px, {faces} faces, in ms: {stages}{share}")


def _report(device: torch.device, speeds: list[Speed], stages: dict[str, Any]) -> dict[str, Any]:
    return {
        "date": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        "device": device_name(device),
        "threads": torch.get_num_threads(),
        "versions": {"torch": torch.__version__, "numpy": np.__version__},
        "network": [asdict(speed) for speed in speeds],
        "stages": stages,
    }
