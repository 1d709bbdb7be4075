"""The passes of `folded/passes.py` on the CPU, each once over memory."""

from __future__ import annotations

from types import ModuleType
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..network import FIR_TAPS
from .threads import in_rows
from .views import as_it_lies

Array = np.ndarray[Any, Any]
FIR_SCALE = 1 / sum(FIR_TAPS) ** 2  # the compiled loops use the bare taps


class NumbaPasses:
    """Float32 and bfloat16 on the CPU. Raises ImportError, or numba's own errors, where numba does not work."""

    is_plain = False

    def __init__(self) -> None:
        from . import numba_kernels

        self._kernels: ModuleType = numba_kernels

    def colour(self, image: Tensor, weight: Tensor, bias: Tensor, out: Tensor) -> None:
        for n in range(len(image)):
            layer = layer_of(image[n], weight, bias)
            in_rows(out.shape[2], self._kernels.colour, layer, out.shape[3], out.shape[1], flat(out[n]))

    def blur(self, x: Tensor, top: int, out: Tensor) -> None:
        _, channels, height, width = x.shape
        for n in range(len(x)):
            source, target = flat(x[n]), flat(out[n])
            shape = (height, width, channels)
            in_rows(out.shape[2], self._kernels.blur, source, shape, top, np.float32(FIR_SCALE), target)

    def activate(self, x: Tensor, bias: Tensor, out: Tensor) -> None:
        _, channels, height, width = x.shape
        for n in range(len(x)):
            arrays = (flat(x[n]), width * channels, bias.float().numpy(), channels, flat(out[n]))
            in_rows(height, self._kernels.activate, *arrays)

    def join(self, x: Tensor, top: int, feature: Tensor, constants: Tensor, out: Tensor) -> None:
        _, channels, height, width = x.shape
        constants = torch.cat((constants[:, :1] * FIR_SCALE, constants[:, 1:]), dim=1)
        for n in range(len(x)):
            arrays = (flat(feature[n]), constants[n].numpy().ravel(), flat(out[n]))
            in_rows(out.shape[2], self._kernels.join, flat(x[n]), (height, width, channels), top, *arrays)

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
        _, channels, height, width = x.shape
        weight, bias = rgb
        nothing = np.empty(0, np.float32)
        for n in range(len(x)):
            source = flat(x[n])
            in_rows(
                height,
                self._kernels.paint,
                source,
                channels,
                width,
                flat(feature[n]),
                constants[n].numpy().ravel(),
                weight[n].numpy().ravel(),
                bias.numpy(),
                nothing if below is None else flat(below[n]),
                row,
                flat(image[n]),
                np.empty(0, source.dtype) if out is None else flat(out[n]),
            )


def layer_of(image: Tensor, weight: Tensor, bias: Tensor) -> tuple[Array, int, int, Array]:
    """What `numba_rows.colour_row` makes the first encoder layer of: an image (3, H, W), in float32 as it lies.

    Pixels as they lie in memory, elements from pixel to pixel and from colour to colour, and weights (3, C) with the
    bias (C,) after them.
    """
    if image.dtype != torch.float32 or image.stride(1) != image.shape[2] * image.stride(2):
        image = image.float().contiguous()
    plane, _, step = image.stride()
    weights = torch.cat((weight[:, :, 0, 0].float().t(), bias.float()[None]))
    return as_it_lies(image).numpy(), step, plane, weights.numpy().ravel()


def flat(x: Tensor) -> Array:
    """The memory of one channels_last image (C, H, W), as the kernels want it."""
    x = x.permute(1, 2, 0)
    if not x.is_contiguous():
        raise ValueError(f"expected a channels_last image, got strides {x.stride()} for {tuple(x.shape)}")
    return elements(x.reshape(-1))


def elements(x: Tensor) -> Array:
    """A flat tensor's memory; bfloat16 as its bits."""
    return x.view(torch.int16).numpy().view(np.uint16) if x.dtype == torch.bfloat16 else x.numpy()
