"""The passes of `folded/passes.py` on CUDA and ROCm, one kernel each."""

from __future__ import annotations

import logging
from contextlib import AbstractContextManager, nullcontext
from functools import cache
from importlib import import_module
from pathlib import Path
from types import ModuleType

import torch
from torch import Tensor

# Elements of one half that a program holds at a time, and channels of them; at 2048 px an H200 paints 2048 faster.
TILE, MOST_CHANNELS = 1024, 64
WIDE_TILE = 2048  # where all channels are held
ROWS = 8  # that a program filters one after the other

logger = logging.getLogger(__name__)


class TritonPasses:
    """Float32, float16 and bfloat16. Raises ImportError, or Triton's own errors, where Triton does not work."""

    is_plain = False

    def __init__(self) -> None:
        from . import triton_kernels

        _announce()
        self._kernels: ModuleType = triton_kernels

    def colour(self, image: Tensor, weight: Tensor, bias: Tensor, out: Tensor) -> None:
        n, channels, rows, width = out.shape
        weight, bias = weight.to(image.device).flatten(1).contiguous(), bias.to(image.device, torch.float32)
        sides = (width, channels, rows, image.stride(0), *image.stride()[1:], out.stride(0))
        with on(image):
            self._kernels.colour[_grid(n * rows, width, channels)](image, weight, bias, out, *sides, **_tile(channels))

    def blur(self, x: Tensor, top: int, out: Tensor) -> None:
        n, channels, height, width = x.shape
        rows = out.shape[2]
        sides = (height, width, channels, top, rows, x.stride(0), out.stride(0))
        with on(x):
            self._kernels.blur[_grid(n * -(-rows // ROWS), width + 1, channels)](
                x, out, *sides, block_y=ROWS, **_tile(channels)
            )

    def activate(self, x: Tensor, bias: Tensor, out: Tensor) -> None:
        n, channels, rows, width = x.shape
        grid = (n * rows, -(-width * channels // TILE))
        strides = (x.stride(0), out.stride(0))
        with on(x):
            self._kernels.activate[grid](
                x, bias.to(x.device, torch.float32), out, width * channels, channels, rows, *strides, block=TILE
            )

    def join(self, x: Tensor, top: int, feature: Tensor, constants: Tensor, out: Tensor) -> None:
        n, channels, height, width = x.shape
        rows = out.shape[2]
        sides, strides = (height, width, channels, top, rows), (x.stride(0), feature.stride(0), out.stride(0))
        with on(x):
            self._kernels.join[_grid(n * -(-rows // ROWS), width - 1, channels)](
                x, feature, constants, out, *sides, *strides, block_y=ROWS, **_tile(channels)
            )

    def paint(
        self,
        x: Tensor,
        feature: Tensor,
        constants: Tensor,
        rgb: tuple[Tensor, Tensor],
        below: Tensor | None,
        row: int,
        image: Tensor,
        out: Tensor | None,
    ) -> None:
        n, channels, rows, width = x.shape
        weight, bias = rgb
        tensors = (x, feature, constants, weight, bias, image if below is None else below, x if out is None else out)
        strides = (x.stride(0), feature.stride(0), 0 if out is None else out.stride(0), image.stride(0))
        choices = {"has_below": below is not None, "has_out": out is not None}
        tile = _tile(channels, WIDE_TILE, channels)  # all channels at once: a colour is the sum of them
        with on(x):
            self._kernels.paint[(n * rows, -(-width // tile["block_x"]))](
                *tensors, image, width, channels, row, rows, *strides, **choices, **tile
            )


def _tile(channels: int, tile: int = TILE, most: int = MOST_CHANNELS) -> dict[str, int]:
    """Columns and channels of a program, both powers of two."""
    block = 1 << (min(most, channels) - 1).bit_length()
    return {"block_x": max(tile // block, 1), "block_c": block}


def _grid(lines: int, columns: int, channels: int) -> tuple[int, int, int]:
    """Lines come first: only that axis of a grid may be longer than 65535."""
    tile = _tile(channels)
    return lines, -(-columns // tile["block_x"]), -(-channels // tile["block_c"])


def on(x: Tensor) -> AbstractContextManager[object]:
    """Triton launches on the current device."""
    return torch.cuda.device(x.device) if x.is_cuda else nullcontext()


@cache
def _announce() -> None:
    """Says in the log, before kernels are compiled, that this takes a while; nothing where Triton has kept some."""
    knobs = getattr(import_module("triton"), "knobs", None)  # since Triton 3.4
    try:
        folder = Path.home() / ".triton" / "cache" if knobs is None else Path(knobs.cache.dir)
        kept = any(folder.glob("*/join.json"))
    except (OSError, RuntimeError):  # no home
        kept = False
    if not kept:
        logger.warning("GPEN compiles its kernels for this GPU; once, for about a quarter of a minute")
