"""Choosing where and how precisely to compute, for the command line; hosts choose for themselves."""

from __future__ import annotations

import torch

from .errors import InvalidOptionError

FAST_HALF = (7, 0)  # compute capability from which NVIDIA's cards are faster in float16
BFLOAT16 = (8, 0)  # from which cuDNN convolves bfloat16
# Which give NaN in float16 (ComfyUI, model_management.py): GTX 16, and their kin for laptops, offices and mines.
NAMES_WITHOUT_HALF = ("GTX 16", "T500", "T550", "T600", "T1000", "T1200", "T2000", "MX450", "MX550", "CMP 30HX")
PRECISIONS = {"fp32": torch.float32, "fp16": torch.float16, "bf16": torch.bfloat16}


def choose_device(name: str = "auto") -> torch.device:
    """The device called `name`; "auto" takes CUDA, then XPU, then MPS, then the CPU."""
    if name == "auto":
        return torch.device(next((kind for kind in ("cuda", "xpu", "mps") if _available(kind)), "cpu"))
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise InvalidOptionError(f"device is {name!r}; wanted auto, cpu, cuda, cuda:1, xpu or mps") from error
    if device.type != "cpu" and not _available(device.type):
        raise InvalidOptionError(f"device {name} is not available to this PyTorch ({torch.__version__})")
    return device


def _available(kind: str) -> bool:
    module = getattr(torch, kind, None) or getattr(torch.backends, kind, None)
    return module is not None and hasattr(module, "is_available") and bool(module.is_available())


def choose_precision(name: str, device: torch.device) -> torch.dtype:
    """The dtype called `name`; "auto" takes fp16 on XPU and where it is fast and sound on CUDA, fp32 elsewhere."""
    if name == "auto":
        return torch.float16 if device.type == "xpu" or has_float16(device) else torch.float32
    if name not in PRECISIONS:
        raise InvalidOptionError(f"precision is {name!r}; wanted auto, {', '.join(PRECISIONS)}")
    return PRECISIONS[name]


def has_float16(device: torch.device) -> bool:
    """Whether half precision is fast and sound on a CUDA `device`; ROCm's all have it."""
    if device.type != "cuda" or torch.version.hip is not None:
        return device.type == "cuda"
    name, capability = torch.cuda.get_device_name(device), torch.cuda.get_device_capability(device)
    return capability >= FAST_HALF and not any(part in name for part in NAMES_WITHOUT_HALF)


def has_bfloat16(device: torch.device) -> bool:
    """Whether PyTorch convolves bfloat16 on `device` as it does float16; on devices but NVIDIA's it is taken to."""
    if device.type != "cuda" or torch.version.hip is not None:
        return True
    return torch.cuda.get_device_capability(device) >= BFLOAT16
