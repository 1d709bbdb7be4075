"""Where and how precisely to compute in this host, and room for it."""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from types import ModuleType
from typing import Any

import torch

from ..shared.gpen2048.devices import has_float16
from . import host

MANAGERS = ("backend.memory_management", "ldm_patched.modules.model_management")  # Forge's; reForge's and Classic's
PRECISIONS = {"automatic": None, "fp32": torch.float32, "fp16": torch.float16}


def working_device() -> torch.device:
    """The host's device; the CPU under `--use-cpu gpen` or `--use-cpu all`, which the Forge family would overlook."""
    if host.mentions_word("use_cpu", "gpen", "all"):
        return torch.device("cpu")
    choose = getattr(host.devices, "get_device_for", None)
    return torch.device(choose("gpen") if choose else host.devices.device)


def working_precision(device: torch.device, wanted: str = "automatic") -> torch.dtype:
    """The dtype that the setting `wanted` means on `device`; half precision never on the CPU, where it is no gain."""
    chosen = PRECISIONS.get(wanted)
    if device.type == "cpu":
        return torch.float32
    return chosen or (torch.float16 if _half_is_safe(device) else torch.float32)


def _half_is_safe(device: torch.device) -> bool:
    """False under --no-half, and on cards that return NaN in half precision or gain nothing by it."""
    manager = memory_manager()
    if manager is not None:
        return bool(manager.should_use_fp16(device))
    return getattr(host.devices, "dtype", None) == torch.float16 and has_float16(device)


def memory_manager() -> ModuleType | None:
    """The Forge family's memory manager; None in other hosts."""
    for name in MANAGERS:
        try:
            return importlib.import_module(name)
        except ImportError:
            continue
    return None


@contextmanager
def building() -> Iterator[None]:
    """Keeps A1111's checkpoint loader out while networks are built, and builds ordinary tensors.

    Its thread patches torch for the whole process, so that layers made meanwhile have no data. Under the Forge family's
    inference mode parameters could never be refilled.
    """
    from modules import sd_models

    lock = getattr(getattr(sd_models, "model_data", None), "lock", None)
    with lock or nullcontext(), torch.inference_mode(False):
        yield


@contextmanager
def room(required: int, device: torch.device) -> Iterator[None]:
    """Frees `required` bytes on `device` if that takes moving the host's checkpoint, which comes back afterwards."""
    manager = memory_manager()
    if device.type == "cpu":
        yield
    elif manager is not None:
        manager.free_memory(required, device)
        yield
    else:
        with _checkpoint_aside(required, device):
            yield


@contextmanager
def _checkpoint_aside(required: int, device: torch.device) -> Iterator[None]:
    from modules import sd_models

    checkpoint: Any = getattr(getattr(sd_models, "model_data", None), "sd_model", None)
    movable = hasattr(sd_models, "send_model_to_cpu")  # not in SD.Next, which offloads models by rules of its own
    if checkpoint is None or not movable or device.type != "cuda" or _free_bytes(device) >= required:
        yield
        return
    sd_models.send_model_to_cpu(checkpoint)
    try:
        yield
    finally:
        sd_models.send_model_to_device(checkpoint)


def _free_bytes(device: torch.device) -> int:
    """Free memory of a CUDA device. The host's is "cuda" without a number, which torch before 2.5 refuses here."""
    index = torch.cuda.current_device() if device.index is None else device.index
    return torch.cuda.mem_get_info(index)[0]
