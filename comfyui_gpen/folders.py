"""Where ComfyUI's users keep the weight files, and what to tell them when one is not there."""

from __future__ import annotations

import re
from pathlib import Path

import folder_paths

from ..shared.gpen2048 import WeightsNotFoundError
from ..shared.gpen2048.catalogue import SUFFIXES, entry_for, find_entry

# Keys and folders that facerestore_cf and ReActor use too, so that one download serves all.
NETWORKS = "facerestore_models"
DETECTORS = "facedetection_models"
FOLDERS = {NETWORKS: "facerestore_models", DETECTORS: "facedetection"}
ONNX = ".onnx"  # GPEN's networks alone are read from it, and only with the package onnx; ReActor keeps them here
NO_DETECTOR = "none"
CHOOSE = "press R, and choose it in Load GPEN"

DETECTOR_NAMES = ("detection_", "retinaface")
PARSER_NAMES = ("parsing_parsenet", "parsenet-latest")
DISCRIMINATOR = re.compile(r"gpen-bfr-\d+-d")
OTHER_NAMES = (*DETECTOR_NAMES, *PARSER_NAMES, "parsing_", "gfpgan", "codeformer", "restoreformer", "yolov5")


def register() -> None:
    """Makes the folders known. Other packs overwrite these keys, so this is called before each use."""
    for key, folder in FOLDERS.items():
        own, _ = folder_paths.folder_names_and_paths.get(folder, ([], ()))  # extra_model_paths.yaml may name the folder
        for path in (*own, str(Path(folder_paths.models_dir) / folder)):
            folder_paths.add_model_folder_path(key, path)
        paths, suffixes = folder_paths.folder_names_and_paths[key]
        if suffixes:  # an empty set means that every file is listed
            readable = {*SUFFIXES} - ({ONNX} if key != NETWORKS else set())
            folder_paths.folder_names_and_paths[key] = (paths, {*suffixes, *readable})


def network_files() -> list[str]:
    """Names of what may be GPEN networks, the 2048 one first, ONNX after the others."""
    names = [name for name in _files(NETWORKS) if not _is_other(_stem(name))]
    return sorted(names, key=lambda name: ("gpen" not in _stem(name), "2048" not in name, _suffix(name) == ONNX, name))


def detector_files() -> list[str]:
    """Names of what may be RetinaFace detectors, the larger one first."""
    names = {name for key in FOLDERS for name in _files(key) if _stem(name).startswith(DETECTOR_NAMES)}
    return sorted(names, key=lambda name: ("resnet50" not in _stem(name), name))


def parser_file() -> Path | None:
    """The ParseNet file, if there is one."""
    names = [name for key in FOLDERS for name in _files(key) if _stem(name).startswith(PARSER_NAMES)]
    return _find(names[0]) if names else None


def require_network(name: str) -> Path:
    """The path of a network; WeightsNotFoundError says what to fetch and where to put it."""
    path = _find(name, (NETWORKS,))
    if path is None:
        fetch = _how_to_fetch(name, NETWORKS, "GPEN-BFR-2048")
        raise WeightsNotFoundError(f"There is no GPEN network {name!r}. {fetch}, {CHOOSE}.")
    return path


def require_detector(name: str) -> Path:
    """As `require_network`, for a detector."""
    path = _find(name)
    if path is None:
        fetch = _how_to_fetch(name, DETECTORS, "RetinaFace-R50")
        raise WeightsNotFoundError(f"There is no face detector {name!r}. {fetch}, {CHOOSE}.")
    return path


def require_parser() -> Path:
    """As `require_network`, for ParseNet."""
    path = parser_file()
    if path is None:
        fetch = _how_to_fetch("ParseNet", DETECTORS, "ParseNet")
        raise WeightsNotFoundError(
            f"There is no face parser, which mask_kind parse and face need. {fetch}, and run again."
        )
    return path


def no_detector() -> str:
    """What to tell someone who needs a detector and has chosen none."""
    told = f"Load GPEN has {NO_DETECTOR!r} for a face detector, but faces must be found here."
    if detector_files():
        return f"{told} Choose a detector in Load GPEN."
    return f"{told} {_how_to_fetch('RetinaFace-R50', DETECTORS, 'RetinaFace-R50')}, {CHOOSE}."


def _how_to_fetch(name: str, key: str, usual: str) -> str:
    """Names file, link and folder: of the file asked for if it is a known one, else of the `usual` one."""
    register()
    known, entry = find_entry(name), entry_for(usual)
    entry = known if known is not None and known.kind == entry.kind else entry
    folders = " or ".join(folder_paths.get_folder_paths(key))
    return f"Fetch {entry.file} from {entry.sources[0]} (saved under that name), put it into {folders}"


def _files(key: str) -> list[str]:
    register()
    return [name for name in folder_paths.get_filename_list(key) if _is_readable(name)]


def _is_readable(name: str) -> bool:
    return _suffix(name) in SUFFIXES and (_suffix(name) != ONNX or _stem(name).startswith("gpen"))


def _is_other(stem: str) -> bool:
    """Whether a file of this name is something else than a restoring network."""
    return stem.startswith(OTHER_NAMES) or DISCRIMINATOR.fullmatch(stem) is not None


def _find(name: str, keys: tuple[str, ...] = (DETECTORS, NETWORKS)) -> Path | None:
    register()
    found = [folder_paths.get_full_path(key, name) for key in keys]
    return next((Path(path) for path in found if path), None)


def _stem(name: str) -> str:
    return Path(name).stem.lower()


def _suffix(name: str) -> str:
    return Path(name).suffix.lower()
