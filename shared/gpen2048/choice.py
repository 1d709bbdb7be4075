"""Which implementation of the passes runs on a device: a compiled one where it works there, else plain PyTorch."""

from __future__ import annotations

import logging
from collections.abc import Callable
from functools import cache, partial

import torch

from .cpu.amx_room import MissingTilesError, tileable
from .cpu.walking import Engine, WalkLevels
from .errors import DeviceError, is_out_of_memory
from .folded.levels import Levels, StripLevels
from .folded.passes import Passes, TorchPasses
from .folded.proving import level_seconds, passes_trial, prove, prove_levels
from .gpu.triton_levels import TritonLevels, can_fuse
from .network import NetworkConfig

WRONG = 0.5  # on values up to 4: far from what rounding makes in any precision
LANES = 16  # channels that compiled loops take at a time; released networks have a multiple of it

logger = logging.getLogger(__name__)


def passes_for(device: torch.device, dtype: torch.dtype, config: NetworkConfig | None = None) -> Passes:
    """The fastest passes that give PyTorch's results on a trial; says in the log, once, why there are none.

    `config` is that of a network whose channels the loops compiled for a CPU may not fit.
    Raises DeviceError where PyTorch itself computes something else on `device` than on the CPU.
    """
    if config is not None and device.type == "cpu" and not _in_lanes(config):
        return TorchPasses()
    try:
        return _compiled(device.type, device.index, dtype) or _plain(device.type, dtype)
    except torch.cuda.OutOfMemoryError:  # not remembered: a host makes room later
        logger.warning("GPEN uses plain PyTorch on %s this time: there is no memory to try its own passes", device)
        return TorchPasses()


def levels_for(device: torch.device, dtype: torch.dtype, config: NetworkConfig) -> Levels:
    """The fastest levels, else PyTorch's convolutions and the best passes.

    Those are a CPU's walks on matrix tiles or vectors, and on NVIDIA's tensor cores Triton's products.
    """
    if device.type != "cpu":
        fused = partial(_fused, device.type, device.index, dtype)
        levels = _unless_short_of_memory(fused) if can_fuse(device, dtype) else None
        return levels or StripLevels(passes_for(device, dtype))
    if dtype in (torch.float32, torch.bfloat16) and _in_lanes(config):
        for engine in (_tiles, _lanes) if tileable(config) else (_lanes,):
            levels = _unless_short_of_memory(partial(_walked, engine, dtype))
            if levels is not None:
                return levels
    return StripLevels(passes_for(device, dtype, config))


def _in_lanes(config: NetworkConfig) -> bool:
    return all(config.channels(resolution) % LANES == 0 for resolution in config.resolutions)


def _tiles() -> Engine:
    from .cpu.amx_levels import TileEngine

    return TileEngine()


def _lanes() -> Engine:
    from .cpu.lane_levels import LaneEngine

    return LaneEngine()


def _unless_short_of_memory(make: Callable[[], Levels | None]) -> Levels | None:
    try:
        return make()
    except Exception as error:
        if not is_out_of_memory(error):
            raise
        return None  # not remembered: there may be memory later


@cache
def _fused(kind: str, index: int | None, dtype: torch.dtype) -> Levels | None:
    """Levels with products by Triton, if they work on this device, give PyTorch's results and are not slower."""
    device = torch.device(kind, index) if index is not None else torch.device(kind)
    passes = _compiled(kind, index, dtype)
    if passes is None:
        return None
    try:
        levels = TritonLevels(passes)
        prove_levels(levels, device, dtype)
        ours, theirs = (level_seconds(way, device, dtype) for way in (levels, StripLevels(passes)))
        if ours > theirs:
            raise ArithmeticError(f"a level takes {ours / theirs:.2f} times as long as by library")
        return levels
    except Exception as error:  # whatever a compiler raises, the library can do the work
        if is_out_of_memory(error):
            raise
        logger.info("GPEN fuses no levels on %s (%s): %s: %s", device, dtype, type(error).__name__, error)
        return None


@cache
def _walked(engine: Callable[[], Engine], dtype: torch.dtype) -> Levels | None:
    """Levels walked by what `engine` makes, if that works here and gives PyTorch's results."""
    try:
        levels = WalkLevels(engine(), StripLevels(passes_for(torch.device("cpu"), dtype)))
        prove_levels(levels, torch.device("cpu"), dtype)
        return levels
    except Exception as error:  # whatever a compiler raises, PyTorch can do the work
        if is_out_of_memory(error):
            raise
        name = engine.__name__.strip("_")
        # As text: an exception kept in a variable of a frame that it holds would keep every caller's variables.
        reason = str(error) if isinstance(error, OSError) else f"{type(error).__name__}: {error}"
        level = logging.DEBUG if isinstance(error, MissingTilesError) else logging.INFO
        logger.log(level, "GPEN walks over no levels by %s (%s): %s", name, dtype, reason)
        return None


@cache
def _plain(kind: str, dtype: torch.dtype) -> Passes:
    """PyTorch's passes. Younger kinds of devices have lost results of theirs in some versions, so they are tried."""
    device, passes = torch.device(kind), TorchPasses()
    if kind not in ("cpu", "cuda"):
        wanted = passes_trial(passes, torch.device("cpu"), dtype)
        worst = max(
            float((a.cpu().float() - b.float()).abs().amax())
            for a, b in zip(passes_trial(passes, device, dtype), wanted)
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
        from .compiled.numba_passes import NumbaPasses

        return NumbaPasses()
    if kind == "cuda":
        from .gpu.triton_passes import TritonPasses

        return TritonPasses()
    return None
