"""What a GPEN_MODEL wire carries: network, detector and parser, each in the hands of ComfyUI's memory manager."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import comfy.model_management as mm
import torch
from comfy.model_patcher import ModelPatcher

from ..shared.gpen2048 import (
    FaceDetector,
    FaceParser,
    InvalidOptionError,
    Network,
    WeightsNotFoundError,
    forget_variables,
)
from ..shared.gpen2048 import load_detector as read_detector
from ..shared.gpen2048 import load_network as read_network
from ..shared.gpen2048 import load_parser as read_parser
from ..shared.gpen2048.cancelling import cancellable
from . import folders
from .host import is_out_of_memory, stop_if_interrupted

SCALING_BYTES = 2 << 30  # the 2048 network in fp32, weights (0.3 GB) and activations (1.4 GB)
PRECISIONS = {"fp32": torch.float32, "fp16": torch.float16, "bf16": torch.bfloat16}


@dataclass(eq=False)
class GpenModel:
    """`patcher` holds the network. ComfyUI's cache knows a model by this name, and the others by `get_models`."""

    path: Path
    patcher: ModelPatcher
    detector: FaceDetector | None = None
    parser: FaceParser | None = None
    others: dict[str, ModelPatcher] = field(default_factory=dict)

    @property
    def network(self) -> Network:
        return self.patcher.model

    def get_models(self) -> list[ModelPatcher]:
        return list(self.others.values())

    def require_detector(self) -> FaceDetector:
        """The detector; WeightsNotFoundError when Load GPEN was told to load none."""
        if self.detector is None:
            raise WeightsNotFoundError(folders.no_detector())
        return self.detector

    def require_parser(self) -> FaceParser:
        """ParseNet, read from its file on first use."""
        if self.parser is None:
            self.parser = read_parser(folders.require_parser())
            self.others["parser"] = managed(self.parser.network)
        return self.parser


def wired(given: object) -> GpenModel:
    """What came over a GPEN_MODEL wire, which a wire of any type may stand for; InvalidOptionError if it is no such."""
    if not isinstance(given, GpenModel):
        raise InvalidOptionError(f"gpen_model is of type {type(given).__name__}; wanted what Load GPEN gives")
    return given


@cancellable(stop_if_interrupted)
def load_model(model_name: str, detector_name: str, precision: str) -> GpenModel:
    """Reads the files into the offload device's memory. GpenError says what is wrong with a name or a file."""
    path = folders.require_network(model_name)
    detector_path = None if detector_name == folders.NO_DETECTOR else folders.require_detector(detector_name)
    model = GpenModel(path, managed(_read_network(path, precision)))
    if detector_path is not None:
        model.detector = read_detector(detector_path)
        model.others["detector"] = managed(model.detector.network)
    return model


def _read_network(path: Path, precision: str) -> Network:
    """fp16 takes a pass in fp32 to choose its scales: on the device to be used, or on the CPU if that is full."""
    device = mm.get_torch_device()
    dtype = choose_dtype(precision, device)
    if dtype == torch.float16 and not mm.is_device_cpu(device):
        mm.free_memory(SCALING_BYTES, device)
        try:
            return read_network(path, device=device, dtype=dtype)
        except Exception as error:
            if not is_out_of_memory(error):
                raise
            forget_variables(error)
    return read_network(path, dtype=dtype)


def managed(network: torch.nn.Module) -> ModelPatcher:
    """`network` for ComfyUI's memory manager. The plain patcher moves every parameter of any module, in any version."""
    offload = mm.unet_offload_device()
    return ModelPatcher(network.to(offload), load_device=mm.get_torch_device(), offload_device=offload)


def choose_dtype(precision: str, device: torch.device) -> torch.dtype:
    """The dtype called `precision`; "auto" is the fastest that ComfyUI advises on `device`, fp16 before bf16."""
    if precision == "auto":
        if mm.should_use_fp16(device):
            return torch.float16
        return torch.bfloat16 if mm.should_use_bf16(device) else torch.float32
    if precision not in PRECISIONS:
        raise InvalidOptionError(f"precision is {precision!r}; wanted auto, {', '.join(PRECISIONS)}")
    return PRECISIONS[precision]


def fingerprint(model_name: str | None, detector_name: str | None) -> str:
    """Changes when a file is replaced, ParseNet's too; any file, where a name is not known yet (None)."""
    networks = folders.network_files() if model_name is None else [model_name]
    detectors = folders.detector_files() if detector_name is None else [detector_name]
    paths = [folders.require_network(name) for name in networks]
    paths += [folders.require_detector(name) for name in detectors if name != folders.NO_DETECTOR]
    stats = [path.stat() for path in (*paths, folders.parser_file()) if path is not None]
    return ";".join(f"{stat.st_mtime_ns}:{stat.st_size}" for stat in stats)
