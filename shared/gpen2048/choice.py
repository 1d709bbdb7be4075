"""Which implementation of the passes runs on a device: a compiled one where it works there, else plain PyTorch."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import replace
from functools import cache

import torch
from torch import Tensor

from .amx_room import tileable
from .errors import DeviceError, is_out_of_memory
from .layers import Convolution, StyledConvolution
from .levels import Below, Levels, Stored, StripLevels
from .network import NetworkConfig
from .passes import Passes, TorchPasses
from .styles import DecoderLevel
from .trials import waves
from .walking import Engine, WalkLevels
from .workspace import Schedule, Workspace

TF32_EPS = 2.0**-10
WRONG = 0.5  # on values up to 4: far from what rounding makes in any precision
LANES = 16  # channels that compiled loops take at a time; released networks have a multiple of it
TRIAL_CHANNELS = 80  # two blocks of Triton's kernels, the second not full

logger = logging.getLogger(__name__)


def passes_for(device: torch.device, dtype: torch.dtype) -> Passes:
    """The fastest passes that give PyTorch's results on a trial; says in the log, once, why there are none.

    Raises DeviceError where PyTorch itself computes something else on `device` than on the CPU.
    """
    try:
        return _compiled(device.type, device.index, dtype) or _plain(device.type, dtype)
    except torch.cuda.OutOfMemoryError:  # not remembered: a host makes room later
        logger.warning("GPEN uses plain PyTorch on %s this time: there is no memory to try its own passes", device)
        return TorchPasses()


def levels_for(device: torch.device, dtype: torch.dtype, config: NetworkConfig) -> Levels:
    """The fastest levels: a CPU's walks on matrix tiles or vectors, else PyTorch's convolutions and the best passes."""
    if device.type != "cpu":
        return StripLevels(passes_for(device, dtype))
    if any(config.channels(r) % LANES for r in config.resolutions):
        return StripLevels(TorchPasses())
    if dtype in (torch.float32, torch.bfloat16):
        for engine in (_tiles, _lanes) if tileable(config) else (_lanes,):
            levels = _walked_now(engine, dtype)
            if levels is not None:
                return levels
    return StripLevels(passes_for(device, dtype))


def _tiles() -> Engine:
    from .amx_levels import TileEngine

    return TileEngine()


def _lanes() -> Engine:
    from .lane_levels import LaneEngine

    return LaneEngine()


def _walked_now(engine: Callable[[], Engine], dtype: torch.dtype) -> Levels | None:
    try:
        return _walked(engine, dtype)
    except Exception as error:
        if not is_out_of_memory(error):
            raise
        return None  # not remembered: there may be memory later


@cache
def _walked(engine: Callable[[], Engine], dtype: torch.dtype) -> Levels | None:
    """Levels walked by what `engine` makes, if that works here and gives PyTorch's results."""
    try:
        levels = WalkLevels(engine(), StripLevels(passes_for(torch.device("cpu"), dtype)))
        prove_levels(levels, dtype)
        return levels
    except Exception as error:  # whatever a compiler raises, PyTorch can do the work
        if is_out_of_memory(error):
            raise
        name = engine.__name__.strip("_")
        logger.info("GPEN walks over no levels by %s (%s): %s: %s", name, dtype, type(error).__name__, error)
        return None


@cache
def _plain(kind: str, dtype: torch.dtype) -> Passes:
    """PyTorch's passes. Younger kinds of devices have lost results of theirs in some versions, so they are tried."""
    device, passes = torch.device(kind), TorchPasses()
    if kind not in ("cpu", "cuda"):
        wanted = _trial(passes, torch.device("cpu"), dtype)
        worst = max(
            float((a.cpu().float() - b.float()).abs().amax()) for a, b in zip(_trial(passes, device, dtype), wanted)
        )
        if not worst < WRONG:
            raise DeviceError(
                f"PyTorch {torch.__version__} computes wrongly on {device} ({dtype}, off by {worst:.3g}); "
                "update PyTorch, or take the CPU"
            )
    return passes


@cache
def _compiled(kind: str, index: int | None, dtype: torch.dtype) -> Passes | None:
    device = torch.device(kind, index) if index is not None else torch.device(kind)
    try:
        passes = _compiler(kind, dtype)
        if passes is not None:
            prove(passes, device, dtype)
        return passes
    except torch.cuda.OutOfMemoryError:
        raise
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
    # Hosts let CUDA multiply float32 matrices in TF32 (A1111 does), which PyTorch's passes then do.
    tolerance = 16 * max(torch.finfo(dtype).eps, TF32_EPS if device.type == "cuda" else 0.0)
    for one, other in zip(seen, wanted):
        if not torch.allclose(one.float(), other.float(), rtol=tolerance, atol=tolerance):
            raise ArithmeticError(f"a pass differs from PyTorch's by {(one - other).abs().amax():.3g}")


def prove_levels(levels: Levels, dtype: torch.dtype) -> None:
    """Compiles the levels by using them once; raises ArithmeticError if they differ from PyTorch's."""
    seen, wanted = _level_trial(levels, dtype), _level_trial(StripLevels(TorchPasses()), dtype)
    tolerance = 1e-4 if dtype == torch.float32 else 16 * torch.finfo(dtype).eps
    for one, other in zip(seen, wanted):
        difference = (one.float() - other.float()).abs().amax() / other.float().std()
        if not difference <= tolerance:
            raise ArithmeticError(f"a level differs from PyTorch's by {difference:.3g}")


@torch.inference_mode()
def _level_trial(levels: Levels, dtype: torch.dtype) -> list[Tensor]:
    """What the levels make of small images of waves, with the channels of both kinds of tile products."""
    cpu = torch.device("cpu")
    config = NetworkConfig(128, 1, 1 / 8)  # 32 and 16 channels at 64 and 128 px
    walk = levels.walk(config, frugal=False)
    walk = None if walk is None else replace(walk, threads=1)  # with many, the engine may not cover such small levels
    schedule = Schedule(config, 1, dtype, config.size, keep_first=True, walk=walk)
    workspace = Workspace(schedule, cpu)
    feature, below = Stored(waves((1, 16, 128, 128), cpu, dtype)), waves((1, 64, 64, 64), cpu, dtype)
    shrinking, up, second = (waves(shape, cpu, dtype) / 8 for shape in ((32, 16, 3, 3), (16, 64, 3, 3), (16, 32, 3, 3)))
    constants = waves((1, 6, 16, 1), cpu, torch.float32)[..., 0].contiguous()
    colours = waves((1, 3, 32, 1), cpu, torch.float32)[..., 0].contiguous()
    image_below, image = (waves((1, 3, size, size), cpu, torch.float32) for size in (64, 128))
    layer = Convolution(shrinking.float(), constants[0, :2].flatten(), dtype)
    styled = [
        StyledConvolution(weight.float(), colours[0, 0], colours[0, 0, :1], number == 0, 1.0, dtype)
        for number, weight in enumerate((up, second))
    ]
    level = DecoderLevel(styled[0], constants, styled[1], constants, (colours, constants[0, 0, :3]))
    shrunk = levels.shrink(feature, layer, workspace.feature(64), workspace).tensor.clone()
    levels.grow(level, Below(below, image_below), feature, None, image, workspace)
    return [shrunk, image]


def _trial(passes: Passes, device: torch.device, dtype: torch.dtype, channels: int = TRIAL_CHANNELS) -> list[Tensor]:
    """What the passes make of two small images of waves, of more channels than a kernel does at once."""
    c, n = channels, 2
    feature, wide, tall = (waves(shape, device, dtype) for shape in ((n, c, 4, 8), (n, c, 4, 9), (n, 2 * c, 4, 8)))
    constants = waves((n, 6, c, 1), device, torch.float32)[..., 0].contiguous()
    blurred, joined, painted, activated, coloured = (x.clone() for x in (wide, tall, tall, feature, feature))
    below, image = (waves((n, 3, *size), device, torch.float32) for size in ((4, 4), (4, 8)))
    rgb = (waves((n, 3, 2 * c, 1), device, torch.float32)[..., 0].contiguous() / c, constants[0, 0, :3])
    passes.blur(feature, -2, blurred)
    passes.activate(feature.clone(), constants[0, 1], activated)
    passes.colour(image.clone(), waves((c, 3, 1, 1), device, dtype), constants[0, 1], coloured)
    passes.join(wide.clone(), -1, feature, constants, joined)
    passes.paint(feature.clone(), feature, constants, rgb, below, 2, image, painted)
    return [blurred, activated, coloured, joined, painted, image]
