"""Levels on NVIDIA's tensor cores: those of few channels in Triton's products, the others by library."""

from __future__ import annotations

from types import ModuleType
from typing import Any

import torch
from torch import Tensor

from ..folded.convolution import allows_tf32
from ..folded.layers import Convolution, StyledConvolution
from ..folded.levels import Below, Feature, Stored, StripLevels, strips
from ..folded.passes import Passes
from ..folded.styles import DecoderLevel
from ..folded.window_weights import OUTPUTS, SHRINKING
from ..folded.workspace import Workspace
from .triton_passes import on

TENSOR_CORES = (8, 0)  # compute capability from which they multiply float32 in TF32, and bfloat16
# The fewest channels and columns with which a convolution alone was measured, and was faster than the library's.
FEWEST, NARROWEST = 64, 32
# Rows of a product's result, and what it reads of a row at a time.
BLOCK, BLOCK_BYTES = 128, 128


class TritonLevels(StripLevels):
    """Float32, float16 and bfloat16. Raises ImportError, or Triton's own errors, where Triton does not work.

    Float32 is multiplied as three products in TF32, which are as precise. For that the library knows no way on tensor
    cores, so then convolutions of many channels are done here too. One product in TF32 would be less precise than the
    library's (it cuts where that rounds: 1.2 levels of 255 against 0.4 in the worst pixel, on an H200).
    """

    is_fused = True

    def __init__(self, passes: Passes):
        super().__init__(passes)
        from . import triton_products

        self._kernels: ModuleType = triton_products

    def convolve(self, layer: Convolution | StyledConvolution, x: Tensor, padding: int = 0) -> Tensor:
        if x.dtype == torch.float32 and _can_convolve(layer, x):
            return self._convolve(layer, x, padding)
        return super().convolve(layer, x, padding)

    def _convolve(self, layer: Convolution | StyledConvolution, x: Tensor, padding: int) -> Tensor:
        weight = layer.weight
        outputs, inputs = weight.shape[:2]
        stride, beside = (2, 0) if isinstance(layer, Convolution) else (1, 1)
        n, _, height, width = x.shape
        rows, columns = ((size + 2 * more - 3) // stride + 1 for size, more in ((height, padding), (width, beside)))
        out = torch.empty((n, rows, columns, outputs), dtype=x.dtype, device=x.device).permute(0, 3, 1, 2)
        block_n = BLOCK if outputs % BLOCK == 0 else FEWEST
        block_m = BLOCK * FEWEST // block_n
        sizes = (height, width, rows, columns, -padding, -beside, inputs, outputs, x.stride(0), out.stride(0), stride)
        weight = weight.to(x.device, x.dtype).contiguous(memory_format=torch.channels_last)
        with on(x):
            self._kernels.convolve[(n * rows, -(-columns // block_m), outputs // block_n)](
                x, weight, out, *sizes, block_m, block_n, **_options(x)
            )
        return out

    def shrink(self, feature: Feature, layer: Convolution, out: Tensor, workspace: Workspace) -> Stored:
        if layer.window is None:
            return super().shrink(feature, layer, out, workspace)
        size = 2 * out.shape[2]
        for images, a, b in strips(workspace.schedule, out.shape[2]):
            first = max(2 * a - 2, 0)
            part = feature.part(images, first, min(2 * b + 2, size))
            self._shrink(part, 2 * a - 2 - first, layer, out[images, :, a:b])
            del part  # before the next one is made
        return Stored(out)

    def _shrink(self, x: Tensor, top: int, layer: Convolution, out: Tensor) -> None:
        assert layer.window is not None
        n, channels, height, width = x.shape
        rows, columns = out.shape[2:]
        weight, bias = layer.window.to(x.device, x.dtype), layer.bias.to(x.device, torch.float32)
        sizes = (height, width, top, rows, x.stride(0), out.stride(0), channels, out.shape[1], SHRINKING)
        with on(x):
            self._kernels.shrink[(n * rows, -(-columns // (BLOCK * SHRINKING)))](
                x, weight, bias, out, *sizes, BLOCK, **_options(x, warps=8)
            )

    def grow(
        self, level: DecoderLevel, below: Below, feature: Feature, image: Tensor, workspace: Workspace
    ) -> Tensor | None:
        if level.up is None or level.up.window is None or level.convolution.window is None:
            return super().grow(level, below, feature, image, workspace)
        size, out = image.shape[2], None
        for images, a, b in strips(workspace.schedule, size):
            first, last = max(a - 1, 0), min(b + 1, size)
            part = feature.part(images, first, last)
            joined = self._join(level, below, images, part, first, workspace)
            if b - a == size:
                below.output = None
            out = out if out is not None else workspace.output(size)  # now that most is let go
            part = part[:, :, a - first : b - first]
            self._paint(level, below, images, joined, a - 1 - first, part, a, image[images, :, a:b], out)
            del joined, part
        return out

    def _join(
        self, level: DecoderLevel, below: Below, images: slice, feature: Tensor, first: int, workspace: Workspace
    ) -> Tensor:
        """Rows from `first` on of the second convolution's input, as many as the feature has."""
        assert level.up is not None and level.up.window is not None and level.up_constants is not None
        assert below.output is not None
        x, constants = below.output[images], level.up_constants[images]
        n, channels, rows, size = feature.shape
        joined = workspace.scratch((n, 2 * channels, rows, size))
        strides = (x.stride(0), feature.stride(0), joined.stride(0))
        sizes = (*x.shape[2:], first, rows, *strides, x.shape[1], channels)
        pairs = (rows + first % 2 + 1) // 2
        with on(x):
            self._kernels.join[(n * pairs, -(-x.shape[3] // BLOCK))](
                x, level.up.window.to(x.device, x.dtype), feature, constants, joined, *sizes, BLOCK, **_options(x)
            )
        return joined

    def _paint(
        self,
        level: DecoderLevel,
        below: Below,
        images: slice,
        x: Tensor,
        top: int,
        feature: Tensor,
        row: int,
        image: Tensor,
        out: Tensor | None,
    ) -> None:
        """Rows `row` on of the image, and of the output if there is one; `top` is the row of x above them."""
        assert level.convolution.window is not None and below.image is not None
        n, channels, rows, width = feature.shape
        out = None if out is None else out[images, :, row : row + rows]
        weight, bias = level.rgb
        below_image, constants = below.image[images], level.constants[images]
        tensors = (feature, constants, weight[images], bias, below_image, x if out is None else out, image)
        strides = (x.stride(0), feature.stride(0), 0 if out is None else out.stride(0), image.stride(0))
        group = OUTPUTS // channels
        sizes = (x.shape[2], width, top, row, rows, *strides, out is not None, channels, group)
        with on(x):
            self._kernels.paint[(n * rows, -(-width // (BLOCK // 2 * group)))](
                x, level.convolution.window.to(x.device, x.dtype), *tensors, *sizes, BLOCK // 2, **_options(x)
            )


def _can_convolve(layer: Convolution | StyledConvolution, x: Tensor) -> bool:
    """Whether the product alone fits the layer, a 3x3 convolution that does not double."""
    doubles = isinstance(layer, StyledConvolution) and layer.up
    whole = all(channels % FEWEST == 0 for channels in layer.weight.shape[:2])
    stride = 2 if isinstance(layer, Convolution) else 1
    return whole and layer.weight.shape[2] == 3 and not doubles and x.shape[3] // stride >= NARROWEST


def _options(x: Tensor, warps: int = 4) -> dict[str, Any]:
    """Blocks and precision: for all levels alike, fast ones of those tried on an H200 (torch 2.11, Triton 3.6)."""
    return {"block_k": BLOCK_BYTES // x.dtype.itemsize, "precision": "tf32x3", "num_warps": warps, "num_stages": 3}


def can_fuse(device: torch.device, dtype: torch.dtype) -> bool:
    """Whether `device` has tensor cores for the products, and float32 is not left to TF32, in which they are worse."""
    if device.type != "cuda" or torch.version.hip is not None:
        return False
    if dtype == torch.float32 and allows_tf32():
        return False
    known = dtype in (torch.float32, torch.float16, torch.bfloat16)
    return known and torch.cuda.get_device_capability(device) >= TENSOR_CORES
