"""Which weight files lie in the host's folders."""

from __future__ import annotations

import re
from pathlib import Path

from ..shared.gpen2048 import WeightsNotFoundError
from ..shared.gpen2048.catalogue import SUFFIXES
from . import host
from .fetching import fetch_missing, where_from

AUTOMATIC = "Automatic"
MAIN_SIZE = 2048
ONNX = ".onnx"  # GPEN's networks alone are read from it, and only with the package onnx
NETWORK = re.compile(r"gpen-bfr-(\d+)|pytorch_model-(2048)", re.IGNORECASE)  # the second is ModelScope's name
DETECTOR = re.compile(r"detection_(resnet50|mobilenet0\.25)_final|retinaface-r50", re.IGNORECASE)
PARSER = re.compile(r"parsing_parsenet|parsenet-latest", re.IGNORECASE)
# Files that lie about in the GPEN folder and are no networks; -D: discriminators.
OTHER = re.compile(r"detection_.*|retinaface.*|parsing_.*|parsenet.*|gpen-bfr-\d+-d", re.IGNORECASE)


def networks() -> dict[str, Path]:
    """Files of the GPEN folder that may be networks, by name; the well-known ones first, ONNX after the others."""
    found = [path for path in _files(host.weight_folders()[0]) if not OTHER.fullmatch(path.stem)]
    return {path.name: path for path in sorted(found, key=_rank)}


def network_sizes() -> list[int]:
    """Sizes that the names of the networks tell, and always MAIN_SIZE; the largest first."""
    return sorted({MAIN_SIZE} | {_size(path) for path in networks().values()} - {0}, reverse=True)


def detectors() -> dict[str, Path]:
    """Face detectors by file name, the GPEN folder's first, ResNet-50 before MobileNet."""
    found = {path.name: path for path in _matching(DETECTOR)}
    return dict(sorted(found.items(), key=lambda entry: "mobilenet" in entry[0].lower()))


def known_network(name: str = AUTOMATIC, size: int | None = None) -> Path | None:
    """The network called `name`, or the one of `size` px; None when it is not there. Fetches nothing.

    Without either it is that of MAIN_SIZE, or the largest that there is.
    """
    known = networks()
    if name and name != AUTOMATIC:
        return known.get(name)
    sizes = sorted({_size(path) for path in known.values()} - {0})
    wanted = size or (MAIN_SIZE if MAIN_SIZE in sizes or not sizes else sizes[-1])
    return next((path for path in known.values() if _size(path) == wanted), None)


def find_network(name: str = AUTOMATIC, size: int | None = None) -> Path:
    """As `known_network`, or fetched where the user agreed to that; WeightsNotFoundError says what to put where."""
    folder, seen = host.weight_folders()[0], ", ".join(networks())
    if name and name != AUTOMATIC:
        path = known_network(name)
        if path is None:
            raise WeightsNotFoundError(f"no file {name!r} in {folder}, which holds {seen or 'no network at all'}")
        return path
    side = size or MAIN_SIZE
    wanted = f"GPEN-BFR-{side}"
    path = known_network(size=side) or fetch_missing(wanted) or (None if size else known_network())
    if path is None:
        others = f"; or choose another, there is {seen}" if seen else ""
        raise WeightsNotFoundError(
            f"no GPEN network of {side} px in {folder}: put {wanted}.pth there{where_from(wanted)}{others}"
        )
    return path


def find_detector(name: str = AUTOMATIC) -> Path:
    """The detector called `name`, or the first; WeightsNotFoundError says what to put where."""
    known = detectors()
    if name in known:
        return known[name]
    if name and name != AUTOMATIC:
        raise WeightsNotFoundError(f"no face detector {name!r} in {_places()}")
    if not known:
        wanted = "detection_Resnet50_Final"
        return _fetched(wanted, f"no face detector in {_places()}: put {wanted}.pth there{where_from(wanted)}")
    return next(iter(known.values()))


def find_parser() -> Path:
    """ParseNet's file; WeightsNotFoundError says what to put where."""
    for path in _matching(PARSER):
        return path
    missing = f"mask 'parse' needs ParseNet, not in {_places()}: put parsing_parsenet.pth there"
    return _fetched("parsing_parsenet", missing + where_from("parsing_parsenet"))


def _fetched(name: str, missing: str) -> Path:
    """The file, downloaded if the user agreed to that; else WeightsNotFoundError with the text `missing`."""
    path = fetch_missing(name)
    if path is None:
        raise WeightsNotFoundError(missing)
    return path


def _files(folder: Path) -> list[Path]:
    if not folder.is_dir():
        return []
    return sorted(path for path in folder.iterdir() if _is_readable(path) and path.is_file())


def _is_readable(path: Path) -> bool:
    suffix = path.suffix.lower()
    return suffix in SUFFIXES and (suffix != ONNX or path.stem.lower().startswith("gpen"))


def _rank(path: Path) -> tuple[bool, bool, str]:
    return not NETWORK.fullmatch(path.stem), path.suffix.lower() == ONNX, path.name


def _matching(pattern: re.Pattern[str]) -> list[Path]:
    return [path for folder in host.weight_folders() for path in _files(folder) if pattern.fullmatch(path.stem)]


def _size(path: Path) -> int:
    match = NETWORK.fullmatch(path.stem)
    return int(match[1] or match[2]) if match else 0


def _places() -> str:
    return " or ".join(str(folder) for folder in host.weight_folders())
