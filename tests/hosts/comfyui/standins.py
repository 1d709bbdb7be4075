"""Small stand-ins for the modules of ComfyUI that the pack uses, as strict as its oldest supported version."""

from __future__ import annotations

import sys
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import Any

import torch


class Interrupted(BaseException):
    """ComfyUI's own is a BaseException too, since 0.20."""


class Host:
    """What the stand-ins saw, and how they are to behave."""

    def __init__(self, models: Path):
        self.models = models
        self.loads: list[dict[str, Any]] = []
        self.loaded: list[Any] = []  # patchers, until something else needs their place
        self.progress: list[tuple[int, int, Any]] = []
        self.emptied = 0
        self.interrupt_after = -1  # checks that still pass; -1: all
        self.paths: dict[str, tuple[list[str], set[str]]] = {}

    def check_interrupt(self) -> None:
        if self.interrupt_after == 0:
            raise Interrupted
        self.interrupt_after -= 1

    def modules(self) -> dict[str, ModuleType]:
        comfy = _module("comfy", model_management=_management(self), utils=_utils(self))
        comfy.model_patcher = _module("comfy.model_patcher", ModelPatcher=ModelPatcher)
        graph = _module("comfy_execution.graph_utils", ExecutionBlocker=ExecutionBlocker)
        latest = _module("comfy_api.latest", io=IO, ComfyExtension=type("ComfyExtension", (), {}))
        return {
            "comfy": comfy,
            "comfy.model_management": comfy.model_management,
            "comfy.model_patcher": comfy.model_patcher,
            "comfy.utils": comfy.utils,
            "comfy_api": _module("comfy_api", latest=latest),
            "comfy_api.latest": latest,
            "comfy_execution": _module("comfy_execution", graph_utils=graph),
            "comfy_execution.graph_utils": graph,
            "folder_paths": _folder_paths(self),
        }


class ExecutionBlocker:
    def __init__(self, message: str | None):
        self.message = message


class ModelPatcher:
    def __init__(self, model: torch.nn.Module, load_device: torch.device, offload_device: torch.device):
        self.model, self.load_device, self.offload_device = model, load_device, offload_device


def _module(name: str, **names: Any) -> ModuleType:
    module = ModuleType(name)
    vars(module).update(names)
    return module


def _management(host: Host) -> ModuleType:
    cpu = torch.device("cpu")

    def load(models: list[ModelPatcher], memory_required: int = 0, force_full_load: bool = False) -> None:
        host.loads.append({"models": list(models), "memory": memory_required, "full": force_full_load})
        host.loaded = list(models)

    def free(memory: int, device: Any, keep_loaded: Any = ()) -> list[Any]:
        """On a device that is full."""
        evicted = [model for model in host.loaded if model not in keep_loaded]
        host.loaded = [model for model in host.loaded if model in keep_loaded]
        return evicted

    def empty() -> None:
        host.emptied += 1

    return _module(
        "comfy.model_management",
        get_torch_device=lambda: cpu,
        unet_offload_device=lambda: cpu,
        intermediate_device=lambda: cpu,
        is_device_cpu=lambda device: device.type == "cpu",
        should_use_fp16=lambda device=None: False,
        should_use_bf16=lambda device=None: False,
        load_models_gpu=load,
        soft_empty_cache=empty,
        free_memory=free,
        module_size=lambda module: 0,
        get_free_memory=lambda device=None: 8 << 30,
        InterruptProcessingException=Interrupted,
        throw_exception_if_processing_interrupted=host.check_interrupt,
    )


def _utils(host: Host) -> ModuleType:
    class ProgressBar:
        def __init__(self, total: int):
            self.total = total

        def update_absolute(self, value: int, total: int | None = None, preview: Any = None) -> None:
            host.progress.append((value, total or self.total, preview))

    def tiled_scale(samples: Any, function: Any, *, upscale_amount: float, output_device: Any, **tiles: int) -> Any:
        return function(samples).to(output_device)

    return _module("comfy.utils", ProgressBar=ProgressBar, tiled_scale=tiled_scale)


def _folder_paths(host: Host) -> ModuleType:
    def add(key: str, path: str) -> None:
        paths, _ = host.paths.setdefault(key, ([], set()))
        if path not in paths:
            paths.append(path)

    def listed(key: str) -> list[str]:
        paths, suffixes = host.paths[key]
        found = [f for path in paths for f in Path(path).glob("*") if not suffixes or f.suffix in suffixes]
        return sorted({f.name for f in found})

    def full_path(key: str, name: str) -> str | None:
        found = (Path(path) / name for path in host.paths[key][0])
        return next((str(path) for path in found if path.is_file()), None)

    return _module(
        "folder_paths",
        models_dir=str(host.models),
        folder_names_and_paths=host.paths,
        add_model_folder_path=add,
        get_folder_paths=lambda key: host.paths[key][0],
        get_filename_list=listed,
        get_full_path=full_path,
    )


class Input:
    """Takes what inputs of 0.3.48 take, and no more."""

    allowed: tuple[str, ...] = ()

    def __init__(self, id: str, *, optional: bool = False, tooltip: str | None = None, **more: Any):
        unknown = set(more) - set(self.allowed)
        if unknown:
            raise TypeError(f"unexpected keyword argument {unknown}")
        self.id, self.optional, self.tooltip, self.more = id, optional, tooltip, more
        self.extra_dict: dict[str, Any] = {}


class Output:
    def __init__(
        self,
        id: str | None = None,
        display_name: str | None = None,
        tooltip: str | None = None,
        is_output_list: bool = False,
    ):
        self.id, self.display_name, self.tooltip, self.is_output_list = id, display_name, tooltip, is_output_list


def _type(*allowed: str) -> Any:
    return type("Type", (), {"Input": type("Input", (Input,), {"allowed": allowed}), "Output": Output})


@dataclass
class Schema:
    """As in 0.3.48: no search_aliases."""

    node_id: str
    display_name: str = ""
    category: str = ""
    inputs: list[Any] = field(default_factory=list)
    outputs: list[Any] = field(default_factory=list)
    description: str = ""


class NodeOutput:
    def __init__(self, *args: Any):
        self.args = args


class IO:
    Schema = Schema
    NodeOutput = NodeOutput
    ComfyNode = type("ComfyNode", (), {})
    Image, Mask, UpscaleModel = _type(), _type(), _type()
    String = _type("default", "multiline")
    Combo = _type("default", "options")
    Boolean = _type("default")
    Int = Float = _type("default", "min", "max", "step")
    Custom = staticmethod(lambda name: _type())


def install(host: Host) -> dict[str, ModuleType | None]:
    """Puts the stand-ins in place and gives what was there before."""
    modules = host.modules()
    before = {name: sys.modules.get(name) for name in modules}
    sys.modules.update(modules)
    return before
