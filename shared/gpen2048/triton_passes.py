"""The passes of `passes.py` on CUDA and ROCm, one kernel each."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from types import ModuleType

import torch
from torch import Tensor

TILE = 1024  # elements of one half that a program holds at a time
MOST_CHANNELS = 64  # of a tile


class TritonPasses:
    """Float32, float16 and bfloat16. Raises ImportError, or Triton's own errors, where Triton does not work."""

    is_plain = False

    def __init__(self) -> None:
        from . import triton_kernels

        self._kernels: ModuleType = triton_kernels

    def colour(self, image: Tensor, weight: Tensor, bias: Tensor, out: Tensor) -> None:
        n, channels, rows, width = out.shape
        weight, bias = weight.to(image.device).flatten(1).contiguous(), bias.to(image.device, torch.float32)
        sides = (width, channels, rows, image.stride(0), *image.stride()[1:], out.stride(0))
        with _on(image):
            self._kernels.colour[_grid(n * rows, width, channels)](image, weight, bias, out, *sides, **_tile(channels))

    def blur(self, x: Tensor, top: int, out: Tensor) -> None:
        n, channels, height, width = x.shape
        rows = out.shape[2]
        tile = _tile(channels)
        with _on(x):
            self._kernels.blur[_grid(n * rows, width + 1, channels)](
                x, out, height, width, channels, top, rows, x.stride(0), out.stride(0), **tile
            )

    def activate(self, x: Tensor, bias: Tensor, out: Tensor) -> None:
        n, channels, rows, width = x.shape
        grid = (n * rows, -(-width * channels // TILE))
        strides = (x.stride(0), out.stride(0))
        with _on(x):
            self._kernels.activate[grid](
                x, bias.to(x.device, torch.float32), out, width * channels, channels, rows, *strides, block=TILE
            )

    def join(self, x: Tensor, top: int, feature: Tensor, constants: Tensor, out: Tensor) -> None:
        n, channels, height, width = x.shape
        rows = out.shape[2]
        strides = (x.stride(0), feature.stride(0), out.stride(0))
        with _on(x):
            self._kernels.join[_grid(n * rows, width - 1, channels)](
                x, feature, constants, out, height, width, channels, top, rows, *strides, **_tile(channels)
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
        rows_and_columns = _grid(n * rows, width, channels)[:2]
        with _on(x):
            self._kernels.paint[rows_and_columns](
                *tensors, image, width, channels, row, rows, *strides, **choices, **_tile(channels)
            )


def _tile(channels: int) -> dict[str, int]:
    """Columns and channels of a program, both powers of two."""
    block = min(MOST_CHANNELS, 1 << (channels - 1).bit_length())
    return {"block_x": TILE // block, "block_c": block}


def _grid(lines: int, columns: int, channels: int) -> tuple[int, int, int]:
    """Lines come first: only that axis of a grid may be longer than 65535."""
    tile = _tile(channels)
    return lines, -(-columns // tile["block_x"]), -(-channels // tile["block_c"])


def _on(x: Tensor) -> AbstractContextManager[object]:
    """Triton launches on the current device."""
    return torch.cuda.device(x.device) if x.is_cuda else nullcontext()
