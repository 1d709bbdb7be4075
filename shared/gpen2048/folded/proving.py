"""Implementations tried on a device before they are used: whether they give PyTorch's results, and how fast."""

from __future__ import annotations

import time
from dataclasses import replace

import torch
from torch import Tensor

from ..cancelling import check_cancelled
from ..compiled.pages import uninitialised
from ..defaults import no_autocast
from ..network import NetworkConfig
from .convolution import allows_tf32, multiplies_in_tf32
from .layers import Convolution, StyledConvolution
from .levels import Below, Levels, Recomputed, Stored, StripLevels
from .passes import Passes, TorchPasses
from .styles import DecoderLevel
from .trials import waves
from .workspace import Schedule, Workspace

TF32_EPS = 2.0**-10
TRIAL_CHANNELS = 80  # two blocks of Triton's kernels, the second not full
PROOF, TIMED = 128, 512  # px of a level that is only right or wrong, and of one that takes long enough to be timed
EXACT = 1e-4  # of a level's standard deviation: what float32 may differ by
RUNS = 5


def prove(passes: Passes, device: torch.device, dtype: torch.dtype) -> None:
    """Compiles the passes by using them once; raises ArithmeticError if they differ from PyTorch's."""
    seen, wanted = passes_trial(passes, device, dtype), passes_trial(TorchPasses(), device, dtype)
    tolerance = 16 * _eps(device, dtype)
    for one, other in zip(seen, wanted):
        if not torch.allclose(one.float(), other.float(), rtol=tolerance, atol=tolerance):
            raise ArithmeticError(f"a pass differs from PyTorch's by {(one - other).abs().amax():.3g}")


def prove_levels(levels: Levels, device: torch.device, dtype: torch.dtype) -> None:
    """Compiles the levels by using them once; raises ArithmeticError if they differ from PyTorch's.

    Fused ones must also be right with 32 channels and something left to a next level, and convolve many channels.
    """
    _prove_level(levels, device, dtype, last=True)
    if isinstance(levels, StripLevels) and levels.is_fused:
        _prove_level(levels, device, dtype, last=False)
        layer = StyledConvolution(*_many_channels(device), False, 1.0, dtype)
        x = waves((1, 128, 4, 64), device, dtype)
        _compare([levels.convolve(layer, x, 1)], [layer(x, 1)], device, dtype)


def _prove_level(levels: Levels, device: torch.device, dtype: torch.dtype, *, last: bool) -> None:
    ways = (levels, StripLevels(TorchPasses()))
    seen, wanted = (_LevelTrial(way, device, dtype, PROOF, last=last).run() for way in ways)
    _compare(seen, wanted, device, dtype)


def _compare(seen: list[Tensor], wanted: list[Tensor], device: torch.device, dtype: torch.dtype) -> None:
    tolerance = max(EXACT, 16 * _eps(device, dtype))
    for one, other in zip(seen, wanted):
        difference = (one.float() - other.float()).abs().amax() / other.float().std()
        if not difference <= tolerance:
            raise ArithmeticError(f"a level differs from PyTorch's by {difference:.3g}")


def _many_channels(device: torch.device) -> tuple[Tensor, Tensor, Tensor]:
    """Weight, bias and feature gain of a layer with 64 outputs."""
    weight, bias = (waves(shape, device, torch.float32) for shape in ((64, 128, 3, 3), (1, 1, 1, 128)))
    return weight, bias.flatten(), bias.flatten()[:1]


def level_seconds(levels: Levels, device: torch.device, dtype: torch.dtype) -> float:
    """The least that an encoder and a decoder level take, launches included, once all is compiled; CUDA only."""
    trial = _LevelTrial(levels, device, dtype, TIMED)
    trial.run()
    return min(_seconds(trial, device) for _ in range(RUNS))


def _seconds(trial: _LevelTrial, device: torch.device) -> float:
    torch.cuda.synchronize(device)
    start = time.perf_counter()
    trial.run()
    torch.cuda.synchronize(device)
    return time.perf_counter() - start


def _eps(device: torch.device, dtype: torch.dtype) -> float:
    """Hosts let CUDA multiply float32 matrices in TF32 (A1111 does), which PyTorch's ways then do."""
    rough = device.type == "cuda" and (allows_tf32() or multiplies_in_tf32())
    return max(torch.finfo(dtype).eps, TF32_EPS if rough else 0.0)


def passes_trial(
    passes: Passes, device: torch.device, dtype: torch.dtype, channels: int = TRIAL_CHANNELS
) -> list[Tensor]:
    """What the passes make of two small images of waves, of more channels than a kernel does at once."""
    c, n = channels, 2
    feature, wide, tall = (waves(shape, device, dtype) for shape in ((n, c, 4, 8), (n, c, 4, 9), (n, 2 * c, 4, 8)))
    constants = waves((n, 6, c, 1), device, torch.float32)[..., 0].contiguous()
    blurred, joined, painted, activated, coloured = (x.clone() for x in (wide, tall, tall, feature, feature))
    below, image = (waves((n, 3, *size), device, torch.float32) for size in ((4, 4), (4, 8)))
    rgb = (waves((n, 3, 2 * c, 1), device, torch.float32)[..., 0].contiguous() / c, constants[0, 0, :3])
    colouring = waves((c, 3, 1, 1), device, dtype)
    for use in (
        lambda: passes.blur(feature, -2, blurred),
        lambda: passes.activate(feature.clone(), constants[0, 1], activated),
        lambda: passes.colour(image.clone(), colouring, constants[0, 1], coloured),
        lambda: passes.join(wide.clone(), -1, feature, constants, joined),
        lambda: passes.paint(feature.clone(), feature, constants, rgb, below, 2, image, painted),
    ):
        check_cancelled("compiling")
        use()
    return [blurred, activated, coloured, joined, painted, image]


class _LevelTrial:
    """A level of waves: the last one, with 16 channels, or the one before, with 32; both kinds of a CPU's products."""

    def __init__(self, levels: Levels, device: torch.device, dtype: torch.dtype, size: int, *, last: bool = True):
        self._levels = levels
        config = NetworkConfig(size if last else 2 * size, 1, size / (1024 if last else 512))
        walk = levels.walk(config, frugal=False)
        walk = None if walk is None else replace(walk, threads=1)  # with many, an engine may not cover small levels
        again = last and device.type == "cpu"  # as walks make the first layer
        schedule = Schedule(config, 1, dtype, config.size, keep_first=not again, walk=walk)
        self._workspace = Workspace(schedule, device)
        c, half = config.channels(size), size // 2
        colouring, offset = (waves(shape, device, torch.float32) for shape in ((c, 3, 1, 1), (1, c, 1, 1)))
        first = Convolution(colouring, offset.flatten(), dtype)
        picture, passes = waves((1, 3, size, size), device, torch.float32), TorchPasses()
        stored = Stored(waves((1, c, size, size), device, dtype))
        self._feature = Recomputed(picture, first, dtype, passes) if again else stored
        self._below = waves((1, 4 * c, half, half), device, dtype), waves((1, 3, half, half), device, torch.float32)
        self._image = uninitialised((1, size, size, 3), device).permute(0, 3, 1, 2)
        shrinking, up, second = (
            waves(shape, device, torch.float32) / 8 for shape in ((2 * c, c, 3, 3), (c, 4 * c, 3, 3), (c, 2 * c, 3, 3))
        )
        constants = waves((1, 6, c, 1), device, torch.float32)[..., 0].contiguous()
        colours = waves((1, 3, 2 * c, 1), device, torch.float32)[..., 0].contiguous()
        self._layer = Convolution(shrinking, constants[0, :2].flatten(), dtype)
        styled = [
            StyledConvolution(weight, colours[0, 0], colours[0, 0, :1], number == 0, 1.0, dtype)
            for number, weight in enumerate((up, second))
        ]
        self._level = DecoderLevel(styled[0], constants, styled[1], constants, (colours, constants[0, 0, :3]))

    @torch.inference_mode()
    def run(self) -> list[Tensor]:
        """What the encoder and the decoder level make."""
        workspace, half = self._workspace, self._image.shape[2] // 2
        with no_autocast(self._image.device):
            check_cancelled("compiling")
            shrunk = self._levels.shrink(self._feature, self._layer, workspace.feature(half), workspace).tensor.clone()
            check_cancelled("compiling")
            out = self._levels.grow(self._level, Below(*self._below), self._feature, self._image, workspace)
        return [shrunk, self._image, *([] if out is None else [out])]
