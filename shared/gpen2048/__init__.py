"""GPEN-BFR-2048 blind face restoration: one runtime for ComfyUI, AUTOMATIC1111 and the command line.

    restorer = FaceRestorer(load_network("GPEN-BFR-2048.pth"), load_detector("detection_Resnet50_Final.pth"))
    result = restorer(read_image("photo.png").pixels)

Names are imported on first use, so that a host's start is not slowed down.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .alignment import crop_transform, face_template
    from .checkpoint import load_network
    from .detection import FaceDetector, load_detector
    from .errors import (
        CheckpointError,
        DeviceError,
        DownloadError,
        GpenError,
        InvalidOptionError,
        MissingPackageError,
        OutOfMemoryError,
        UnsoundResultError,
        UnsupportedFilmError,
        UnsupportedImageError,
        WeightsNotFoundError,
        forget_variables,
        is_out_of_memory,
    )
    from .faces import Face
    from .films.restoring import restore_film
    from .geometry.upscaling import load_upscaler
    from .images import Picture, read_image, write_image
    from .inference import Network
    from .network import NetworkConfig
    from .options import OptionInfo, RestoreOptions, describe_options
    from .parsing import FaceParser, load_parser
    from .restoration import FaceReport, Restoration
    from .restorer import FaceRestorer
    from .sequence import restore_sequence
    from .task import Request

_HOMES = {
    "alignment": ("crop_transform", "face_template"),
    "checkpoint": ("load_network",),
    "detection": ("FaceDetector", "load_detector"),
    "errors": (
        "CheckpointError",
        "DeviceError",
        "DownloadError",
        "GpenError",
        "InvalidOptionError",
        "MissingPackageError",
        "OutOfMemoryError",
        "UnsoundResultError",
        "UnsupportedFilmError",
        "UnsupportedImageError",
        "WeightsNotFoundError",
        "forget_variables",
        "is_out_of_memory",
    ),
    "faces": ("Face",),
    "films.restoring": ("restore_film",),
    "images": ("Picture", "read_image", "write_image"),
    "inference": ("Network",),
    "network": ("NetworkConfig",),
    "options": ("OptionInfo", "RestoreOptions", "describe_options"),
    "parsing": ("FaceParser", "load_parser"),
    "restoration": ("FaceReport", "Restoration"),
    "restorer": ("FaceRestorer",),
    "sequence": ("restore_sequence",),
    "task": ("Request",),
    "geometry.upscaling": ("load_upscaler",),
}
_HOME_OF = {name: module for module, names in _HOMES.items() for name in names}

__all__ = [
    "CheckpointError",
    "DeviceError",
    "DownloadError",
    "Face",
    "FaceDetector",
    "FaceParser",
    "FaceReport",
    "FaceRestorer",
    "GpenError",
    "InvalidOptionError",
    "MissingPackageError",
    "Network",
    "NetworkConfig",
    "OptionInfo",
    "OutOfMemoryError",
    "Picture",
    "Request",
    "Restoration",
    "RestoreOptions",
    "UnsoundResultError",
    "UnsupportedFilmError",
    "UnsupportedImageError",
    "WeightsNotFoundError",
    "crop_transform",
    "describe_options",
    "face_template",
    "forget_variables",
    "is_out_of_memory",
    "load_detector",
    "load_network",
    "load_parser",
    "load_upscaler",
    "read_image",
    "restore_film",
    "restore_sequence",
    "write_image",
]


def __getattr__(name: str) -> Any:
    if name not in _HOME_OF:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f".{_HOME_OF[name]}", __name__), name)
