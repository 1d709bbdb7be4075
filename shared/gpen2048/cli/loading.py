"""Loading what a restoration needs, from files named or found."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ..appearance.colour import luma
from ..catalogue import entry_for
from ..checkpoint import load_network
from ..detection import FaceDetector, load_detector
from ..detectors.lbp import LbpDetector
from ..devices import PRECISIONS, choose_device, choose_precision
from ..errors import InvalidOptionError
from ..geometry.upscaling import load_upscaler
from ..images import read_image
from ..inference import Network
from ..network import NetworkConfig
from ..options import RestoreOptions
from ..parsing import load_parser
from ..restorer import FaceRestorer
from ..weight_files.passthrough import passthrough_state_dict
from ..weights import (
    DETECTOR_STEMS,
    NETWORK_STEMS,
    PARSER_STEMS,
    SMALLER_NETWORK_STEMS,
    default_folder,
    find_file,
    require_file,
)
from .equipment import Equipment
from .weights_fetching import FETCH, agreed, fetch_entry

DEMO_NETWORK = NetworkConfig(2048)
DEMO_SHARPEN = 3.0


def add_equipment_flags(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("what to restore with")
    group.add_argument("--weights", type=Path, metavar="DIR", help="where weight files lie (default: weights/)")
    group.add_argument("--network", type=Path, metavar="FILE", help="the GPEN network (default: found in weights/)")
    group.add_argument("--detector", metavar="FILE|lbp", help="RetinaFace weights (default: found), or lbp")
    group.add_argument("--parser", type=Path, metavar="FILE", help="ParseNet weights, for --mask parse and face")
    group.add_argument("--upscaler", type=Path, metavar="FILE", help="upscale model for the picture behind the faces")
    group.add_argument("--device", default="auto", help="auto, cpu, cuda, cuda:1, xpu or mps")
    group.add_argument("--precision", default="auto", metavar="|".join(("auto", *PRECISIONS)))
    group.add_argument("--fetch", action="store_true", help=f"download what is missing (also {FETCH}=1)")
    group.add_argument("--demo", action="store_true", help="without weights, go on with a sharpening network")


def check_upscaler(arguments: argparse.Namespace) -> None:
    """Raises InvalidOptionError for an upscale model that would have nothing to do."""
    if arguments.upscaler and arguments.scale == 1:
        raise InvalidOptionError("--upscaler enlarges, and --scale is 1; wanted --scale 2, 4 or auto")


def find_weights(arguments: argparse.Namespace, options: RestoreOptions) -> dict[str, Path]:
    """The weight files that these arguments and options ask for: network, detector, parser, upscaler, as far as needed.

    What needs no file (the demo's network, --detector lbp, --landmarks) is left out. WeightsNotFoundError says what is
    missing and where to put it.
    """
    folder: Path = arguments.weights or default_folder()
    found = {
        "network": _network_file(arguments, folder),
        "detector": _detector_file(arguments, folder),
        "parser": _parser_file(arguments, folder) if options.needs_parser else None,
        "upscaler": arguments.upscaler,
    }
    return {name: path for name, path in found.items() if path is not None}


def load_equipment(arguments: argparse.Namespace, options: RestoreOptions) -> Equipment:
    """Loads network, detector and, if the options need it, parser; says what is missing and where to put it."""
    folder: Path = arguments.weights or default_folder()
    device = choose_device(arguments.device)
    dtype = choose_precision(arguments.precision, device)
    network, network_name = _network(_network_file(arguments, folder), device, dtype)
    detector, detector_name = _detector(arguments, _detector_file(arguments, folder), device)
    parser = load_parser(_parser_file(arguments, folder), device=device) if options.needs_parser else None
    precision = next(name for name, value in PRECISIONS.items() if value == dtype)
    upscaler = load_upscaler(arguments.upscaler, device=device) if arguments.upscaler else None
    facts = {"network": network_name, "detector": detector_name, "device": str(device), "precision": precision}
    if upscaler is not None:
        facts["upscaler"] = f"{arguments.upscaler} ({upscaler.scale}x)"
    network.graphs = True  # nothing else wants the device's memory between faces, as it does in a host
    described = [f"{key:9} {value}" for key, value in facts.items()]
    return Equipment(FaceRestorer(network, detector, parser), device, described, facts, upscaler)


def read_region(arguments: argparse.Namespace) -> Tensor | None:
    """The mask (h, w) in [0, 1] of --region: the lightness of that picture, where it is no less opaque."""
    if not arguments.region:
        return None
    picture = read_image(arguments.region)
    lightness = luma(picture.pixels[None])[0, 0]
    return lightness if picture.alpha is None else lightness * picture.alpha


def _network_file(arguments: argparse.Namespace, folder: Path) -> Path | None:
    path = arguments.network or find_file(NETWORK_STEMS, folder)
    if path is None and not agreed(arguments):
        path = find_file(SMALLER_NETWORK_STEMS, folder)
    if path is None and arguments.demo:
        return None
    return path or _obtain(arguments, NETWORK_STEMS, folder, "GPEN network", "--network FILE")


def _detector_file(arguments: argparse.Namespace, folder: Path) -> Path | None:
    named: str | None = arguments.detector
    if arguments.landmarks or named == "lbp":
        return None
    path = Path(named) if named else find_file(DETECTOR_STEMS, folder)
    if path is None and arguments.demo:
        return None
    return path or _obtain(arguments, DETECTOR_STEMS, folder, "face detector", "--detector FILE, or --detector lbp")


def _parser_file(arguments: argparse.Namespace, folder: Path) -> Path:
    return arguments.parser or _obtain(arguments, PARSER_STEMS, folder, "ParseNet", "--parser FILE")


def _network(path: Path | None, device: torch.device, dtype: torch.dtype) -> tuple[Network, str]:
    if path is None:
        state = passthrough_state_dict(DEMO_NETWORK, DEMO_SHARPEN)
        network = Network.from_state_dict(DEMO_NETWORK, state, dtype=dtype).to(device)
        what = f"built-in sharpening pass-through at {DEMO_NETWORK.size} px"
        return network, f"{what}: shows the whole pipeline, restores nothing"
    network = load_network(path, device=device, dtype=dtype)
    return network, f"{path} (GPEN at {network.config.size} px)"


def _detector(arguments: argparse.Namespace, path: Path | None, device: torch.device) -> tuple[Any, str]:
    if arguments.landmarks:
        return None, f"landmarks from {arguments.landmarks}"
    if path is None:
        return LbpDetector(), "lbp: scikit-image's frontal cascade with mean landmarks (RetinaFace finds faces better)"
    detector: FaceDetector = load_detector(path, device=device)
    return detector, f"{path} ({detector.kind})"


def _obtain(arguments: argparse.Namespace, stems: Sequence[str], folder: Path, what: str, option: str) -> Path:
    """The file in `folder`, fetched if the user agreed to that."""
    if find_file(stems, folder) is None and agreed(arguments):
        return fetch_entry(entry_for(stems[0]), folder)
    return require_file(stems, folder, what, option)
