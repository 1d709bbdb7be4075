"""Seconds of every stage around the network, beside facexlib's FaceRestoreHelper doing the same.

    python benchmarks/pipeline.py --detector weights/detection_mobilenet0.25_Final.pth

Both look for faces in the same pictures with the same detector, in turns in one process. facexlib misses some (at full
size the selfie's), so it is given the known ones to cut out and lay back, and we take those that we find; how many each
found is kept. In place of the network stands one that returns its input. The picture becomes the result, as on the
command line. The network itself is timed apart, for the share that all the rest takes of its time.
"""

from __future__ import annotations

import argparse
import statistics
from pathlib import Path
from typing import Any

import figures
import peer
import pictures
import timing
import torch
from gpen2048.cli.stages import STAGES, Seconds, TimedRestorer, now
from gpen2048.detection import load_detector
from gpen2048.errors import WeightsNotFoundError
from gpen2048.inference import Network
from gpen2048.network import NetworkConfig
from gpen2048.options import RestoreOptions
from gpen2048.weight_files.passthrough import passthrough_state_dict
from gpen2048.weights import DETECTOR_STEMS, default_folder, require_file
from torch import Tensor, nn

PICTURES = {"group photo": pictures.group_photo, "portrait": pictures.portrait, "selfie": pictures.selfie}
CPU = torch.device("cpu")
Samples = dict[str, list[Seconds]]


class Identity(nn.Module):
    """Stands in for the network."""

    def __init__(self, size: int):
        super().__init__()
        self.config = NetworkConfig(size)

    def forward(self, x: Tensor, on_stage: object = None) -> Tensor:
        return x


def main() -> None:
    """Measures and writes one JSON file."""
    options = arguments(__doc__)
    torch.set_grad_enabled(False)
    network = _network_seconds(options.size, options.rounds)
    print(f"network {options.size} px: {network['wall']:.2f} s a face, processor {network['processor']:.2f} s")
    result: dict[str, Any] = {"machine": timing.machine("cpu"), "rounds": options.rounds, "network": network}
    result["detector"], result["pictures"] = Path(options.detector).name, {}
    for name, make in PICTURES.items():
        result["pictures"][name] = _compare(name, make, network, options)
    print(f"written to {timing.save('pipeline-cpu', result)}")


def arguments(text: str | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=text, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--detector", type=Path, help="RetinaFace weights (default: found in weights/)")
    parser.add_argument("--size", type=int, default=2048, help="of the crops, px")
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    if options.detector is None:
        try:
            options.detector = require_file(DETECTOR_STEMS, default_folder(), "detector", "--detector FILE")
        except WeightsNotFoundError as error:
            parser.error(str(error))
    return options


def _network_seconds(size: int, rounds: int) -> dict[str, float]:
    config = NetworkConfig(size)
    network = Network.from_state_dict(config, passthrough_state_dict(config))
    x = torch.rand(1, 3, size, size) * 2 - 1
    network(x)
    samples: list[Seconds] = []
    for _ in range(rounds):
        start = now(CPU)
        network(x)
        samples.append(now(CPU) - start)
    return {"size": size, **medians(samples)}


def _compare(name: str, make: Any, network: dict[str, float], options: argparse.Namespace) -> dict[str, Any]:
    image, faces = make()
    restorer = TimedRestorer(Identity(options.size), load_detector(options.detector))  # pyright: ignore[reportArgumentType]
    theirs = peer.Facexlib(options.detector, options.size)
    pixels = peer.bgr(image)
    samples: dict[str, Samples] = {"gpen2048": {s: [] for s in STAGES}, "facexlib": {s: [] for s in peer.STAGES}}
    found: dict[str, int] = {}
    for number in range(options.rounds + 1):
        given = image.clone()  # the command line has no other use for it either
        found["gpen2048"] = len(restorer.restore(given, RestoreOptions(max_crops=0), in_place=True).faces)
        seconds, found["facexlib"], found["facexlib at 640 px"] = theirs.restore(pixels, faces)
        if number:  # the first is to warm up
            for who, measured in (("gpen2048", restorer.seconds), ("facexlib", seconds)):
                for stage, values in samples[who].items():
                    values.append(measured[stage])
    return _summary(name, image, found, len(faces), samples, network)


def _summary(
    name: str, image: Tensor, found: dict[str, int], faces: int, samples: dict[str, Samples], network: dict[str, float]
) -> dict[str, Any]:
    stages = {who: {stage: medians(values) for stage, values in each.items()} for who, each in samples.items()}
    share = figures.share(stages["gpen2048"], network, faces)
    print(f"{name}, {image.shape[2]} x {image.shape[1]}, {faces} faces; found {found}; around the network "
          f"{share['wall']:.1%} of its time on the clock, {share['processor']:.1%} of the processor's")  # fmt: skip
    for who, each in stages.items():
        print(f"  {who:9}", ", ".join(f"{s} {v['wall']:.3f} s ({v['processor']:.3f})" for s, v in each.items()))
    size = [image.shape[1], image.shape[2]]
    return {"size": size, "faces": faces, "found": found, "stages": stages}


def medians(samples: list[Seconds]) -> dict[str, float]:
    return {k: statistics.median(getattr(sample, k) for sample in samples) for k in figures.CLOCKS}


if __name__ == "__main__":
    main()
