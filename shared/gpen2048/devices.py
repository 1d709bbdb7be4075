"""Choosing where and how precisely to compute, for the command line; hosts choose for themselves."""

from __future__ import annotations

import torch

from .errors import InvalidOptionError

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
    """The dtype called `name`; "auto" takes fp16 on CUDA and XPU, fp32 elsewhere."""
    if name == "auto":
        return torch.float16 if device.type in ("cuda", "xpu") else torch.float32
    if name not in PRECISIONS:
        raise InvalidOptionError(f"precision is {name!r}; wanted auto, {', '.join(PRECISIONS)}")
    return PRECISIONS[name]
