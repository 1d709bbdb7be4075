"""Weights that give several neighbouring outputs from all inputs these meet, for `gpu/triton_products.py`.

The FIR filter next to a convolution is folded in. Matrices are (outputs of a group, taps of its window), a window's
taps ordered by row, column and channel.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from ..network import fir_kernel

CHANNELS = (16, 32)  # of the levels that gain by it: with more, libraries lose little between their kernels
MULTIPLE = 64  # of a doubling layer's inputs, so that a window is whole steps of a product
SHRINKING = 2  # columns of a group where an image is halved
OUTPUTS = 64  # of a group's columns and channels in the second convolution


def windows(weight: Tensor, step: int, group: int) -> Tensor:
    """(group * O, h * span * I) of a convolution (O, I, h, w) whose next output is `step` columns further on."""
    outputs, inputs, height, width = weight.shape
    made = weight.new_zeros(group, outputs, height, width + step * (group - 1), inputs)
    for number in range(group):
        made[number, :, :, number * step : number * step + width] = weight.permute(0, 2, 3, 1)
    return made.reshape(group * outputs, -1).contiguous()


def shrinking_windows(weight: Tensor) -> Tensor:
    """(2O, 6 * 8 * I) of a strided convolution (O, I, 3, 3) after the FIR filter."""
    outputs, inputs = weight.shape[:2]
    single = weight.cpu().reshape(outputs * inputs, 1, 3, 3)  # a GPU might fold in TF32
    folded = F.conv_transpose2d(single, fir_kernel()[None, None]).view(outputs, inputs, 6, 6)
    return windows(folded.to(weight.device), 2, SHRINKING)


def doubling_windows(weight: Tensor) -> Tensor:
    """(4O, 3 * 3 * I) of a doubling convolution (O, I, 3, 3) before the FIR filter: both columns of both rows."""
    outputs, inputs = weight.shape[:2]
    single = F.pad(weight.cpu().reshape(outputs * inputs, 1, 3, 3), (3, 3, 3, 3))  # a GPU might fold in TF32
    response = F.conv2d(single, fir_kernel()[None, None]).view(outputs, inputs, 6, 6).to(weight.device)
    # Input i gives output 2i - 2 + t its tap t, so that output 2i + a meets inputs i - 1, i, i + 1 by a + 4, a + 2, a.
    phases = [[response[:, :, a::2, b::2].flip(2, 3).permute(0, 2, 3, 1) for b in (0, 1)] for a in (0, 1)]
    return torch.stack([torch.stack(row) for row in phases]).reshape(4 * outputs, -1).contiguous()


def painting_windows(weight: Tensor) -> Tensor:
    """(64, 3 * span * I) of the second convolution (O, I, 3, 3)."""
    return windows(weight, 1, OUTPUTS // len(weight))
