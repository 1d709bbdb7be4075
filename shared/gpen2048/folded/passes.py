"""Everything between two convolutions, in three passes over memory: plain PyTorch for any device and precision.

Tensors are (N, C, H, W) in channels_last order; `constants` (N, 6, C) float32 are those of
`folding.StyledConvolution.constants`. `top` is the row of the input (possibly negative) that the filter's first tap
meets for the first row of the output; rows and columns outside the input are zero.
"""

from __future__ import annotations

from typing import Protocol

import torch
import torch.nn.functional as F
from torch import Tensor

from .convolution import activate, convolve
from .fir import filtered


class Passes(Protocol):
    """One implementation of the passes; all agree within rounding."""

    @property
    def is_plain(self) -> bool:
        """Whether they are PyTorch's own operations, with temporaries between them."""
        ...

    def colour(self, image: Tensor, weight: Tensor, bias: Tensor, out: Tensor) -> None:
        """The first encoder layer: 1x1 convolution of `image` (N, 3, H, W), any float, and leaky ReLU without gain."""
        ...

    def blur(self, x: Tensor, top: int, out: Tensor) -> None:
        """FIR filter after padding the columns by 2: `out` is one column wider than `x`."""
        ...

    def activate(self, x: Tensor, bias: Tensor, out: Tensor) -> None:
        """Leaky ReLU, without gain, of `x` plus a bias (C,) in float32; may overwrite `x`."""
        ...

    def join(self, x: Tensor, top: int, feature: Tensor, constants: Tensor, out: Tensor) -> None:
        """FIR filter after padding the columns by 1, then as `paint`; `out` (N, 2C, H, W) is one column narrower."""
        ...

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
        """Activates both halves, makes them into the `image`, stores them for the next convolution in `out`.

        First half: leaky(x * gain + bias); second: leaky(feature * feature gain + feature bias). `rgb` is the weight
        (N, 3, 2C) and bias (3,). `image` (N, 3, H, W) float32 gets their product with both halves, plus rows `row` on
        of the doubled image `below`. `out` (N, 2C, H, W) gets both halves times the next modulation.
        """
        ...


class TorchPasses:
    """Each step an operation of PyTorch, in place where it can be."""

    is_plain = True

    def colour(self, image: Tensor, weight: Tensor, bias: Tensor, out: Tensor) -> None:
        pixels = image.to(out.dtype).contiguous(memory_format=torch.channels_last)
        self.activate(convolve(pixels, weight), bias, out)

    def blur(self, x: Tensor, top: int, out: Tensor) -> None:
        out.copy_(filtered(x, top, out.shape[2], columns=2))

    def activate(self, x: Tensor, bias: Tensor, out: Tensor) -> None:
        x += bias.to(x)[:, None, None]
        out.copy_(activate(x))

    def join(self, x: Tensor, top: int, feature: Tensor, constants: Tensor, out: Tensor) -> None:
        channels = x.shape[1]
        y = filtered(x, top, out.shape[2], columns=1)
        first, second = _activations(y, feature, constants)
        _modulate(first, constants[:, 4], out[:, :channels])
        _modulate(second, constants[:, 5], out[:, channels:])

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
        channels = x.shape[1]
        weight, bias = rgb
        if below is None:
            image.copy_(bias[:, None, None].expand_as(image))
        else:
            torch.add(enlarge(below, (row, row + image.shape[2])), bias[:, None, None], out=image)
        for number, half in enumerate(_activations(x, feature, constants)):
            span = slice(number * channels, (number + 1) * channels)
            pixels = half.permute(0, 2, 3, 1).flatten(1, 2)
            contribution = torch.bmm(pixels, weight[:, :, span].transpose(1, 2))
            image.add_(contribution.view(len(half), *half.shape[2:], 3).permute(0, 3, 1, 2))
            if out is not None:
                _modulate(half, constants[:, 4 + number], out[:, span])


def _activations(x: Tensor, feature: Tensor, constants: Tensor) -> tuple[Tensor, Tensor]:
    """Both halves in float32; overwrites x if that is float32, never the feature."""
    gain, bias, feature_gain, feature_bias = (constants[:, row, :, None, None] for row in range(4))
    # Not addcmul, whose results MPS lost before torch 2.4 where they were channels last.
    first = x.mul_(gain) if x.dtype == torch.float32 else x * gain
    return activate(first.add_(bias)), activate((feature * feature_gain).add_(feature_bias))


def _modulate(x: Tensor, modulation: Tensor, out: Tensor) -> None:
    torch.mul(x, modulation[:, :, None, None], out=out)


def enlarge(image: Tensor, rows: tuple[int, int]) -> Tensor:
    """Rows `rows` (even bounds) of the image doubled by the FIR filter; image (N, 3, h, w), zero outside.

    Zeros between pixels, then [1, 3, 3, 1]: the same as bilinear interpolation between zero-padded pixels.
    """
    first, last = rows[0] // 2 - 1, rows[1] // 2 + 1
    height = image.shape[2]
    above, below = max(-first, 0), max(last - height, 0)
    part = F.pad(image[:, :, max(first, 0) : min(last, height)], (1, 1, above, below))
    return F.interpolate(part, scale_factor=2.0, mode="bilinear", align_corners=False)[:, :, 2:-2, 2:-2]
