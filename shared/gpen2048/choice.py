"""Which implementation of the passes runs on a device: a compiled one where it works there, else plain PyTorch."""

from __future__ import annotations

import logging
from functools import cache

import torch
from torch import Tensor

from .passes import Passes, TorchPasses

logger = logging.getLogger(__name__)


def passes_for(device: torch.device, dtype: torch.dtype) -> Passes:
    """The fastest passes that give PyTorch's results on a trial; says in the log, once, why there are none."""
    return _compiled(device.type, device.index, dtype) or TorchPasses()


@cache
def _compiled(kind: str, index: int | None, dtype: torch.dtype) -> Passes | None:
    device = torch.device(kind, index) if index is not None else torch.device(kind)
    try:
        passes = _compiler(kind, dtype)
        if passes is not None:
            prove(passes, device, dtype)
        return passes
    except Exception as error:  # whatever a compiler raises, PyTorch can do the work
        logger.info("GPEN uses plain PyTorch on %s (%s): %s: %s", device, dtype, type(error).__name__, error)
        return None


def _compiler(kind: str, dtype: torch.dtype) -> Passes | None:
    if kind == "cpu" and dtype in (torch.float32, torch.bfloat16):
        from .numba_passes import NumbaPasses

        return NumbaPasses()
    if kind == "cuda":
        from .triton_passes import TritonPasses

        return TritonPasses()
    return None


def prove(passes: Passes, device: torch.device, dtype: torch.dtype) -> None:
    """Compiles the passes by using them once; raises ArithmeticError if they differ from PyTorch's."""
    seen, wanted = _trial(passes, device, dtype), _trial(TorchPasses(), device, dtype)
    tolerance = 16 * torch.finfo(dtype).eps
    for one, other in zip(seen, wanted):
        if not torch.allclose(one.float(), other.float(), rtol=tolerance, atol=tolerance):
            raise ArithmeticError(f"a pass differs from PyTorch's by {(one - other).abs().amax():.3g}")


def _trial(passes: Passes, device: torch.device, dtype: torch.dtype) -> list[Tensor]:
    """What the passes make of a small image of waves."""
    feature, wide, tall = (_waves(shape, device, dtype) for shape in ((1, 16, 4, 8), (1, 16, 4, 9), (1, 32, 4, 8)))
    constants = _waves((1, 6, 16, 1), device, torch.float32)[..., 0].contiguous()
    blurred, joined, painted, activated = wide.clone(), tall.clone(), tall.clone(), feature.clone()
    below, image = (_waves((1, 3, *size), device, torch.float32) for size in ((4, 4), (4, 8)))
    rgb = (_waves((1, 3, 32, 1), device, torch.float32)[..., 0].contiguous(), constants[0, 0, :3])
    passes.blur(feature, -2, blurred)
    passes.activate(feature.clone(), activated)
    passes.join(wide.clone(), -1, feature, constants, joined)
    passes.paint(feature.clone(), feature, constants, rgb, below, 2, image, painted)
    return [blurred, activated, joined, painted, image]


def _waves(shape: tuple[int, ...], device: torch.device, dtype: torch.dtype) -> Tensor:
    n, c, h, w = shape
    values = torch.sin(torch.arange(n * c * h * w, dtype=torch.float32) * 0.7)
    return values.view(n, h, w, c).to(device, dtype).permute(0, 3, 1, 2)
