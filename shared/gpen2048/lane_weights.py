"""Convolution weights as `lane_products` wants them: of 16 outputs for each input, one after the other; float32."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from .numba_lanes import COUNT
from .pages import aligned
from .winograd import POINTS, transformed

PARITIES = ([2, 0], [1])  # a pixel at 2x sees x - 1 through the last tap and x through the first


def pack_points(weight: Tensor) -> Tensor:
    """(O, I, 3, 3) for Winograd's convolution: (36, O / 16, I, 16).

    Block by block, since what lies between takes as much memory again.
    """
    outputs, inputs = weight.shape[:2]
    packed = _empty(POINTS**2 * outputs * inputs).view(POINTS**2, outputs // COUNT, inputs, COUNT)
    for number in range(outputs // COUNT):
        packed[:, number] = transformed(weight[number * COUNT : (number + 1) * COUNT]).transpose(1, 2)
    return packed.flatten()


def pack_taps(weight: Tensor) -> Tensor:
    """(O, I, 3, 3) for a plain convolution: (O / 16, 9, I, 16)."""
    return _packed([weight.permute(2, 3, 1, 0).flatten(0, 1)])


def pack_parities(weight: Tensor) -> Tensor:
    """(I, O, 3, 3) of a transposed convolution by 2: the four parities of its output, each a convolution of its own."""
    taps = weight.permute(2, 3, 0, 1)
    return _packed([taps[rows][:, columns].flatten(0, 1) for rows in PARITIES for columns in PARITIES])


def _packed(phases: Sequence[Tensor]) -> Tensor:
    """Taps (T, I, O) of each phase as (O / 16, T, I, 16)."""
    packed = _empty(sum(taps.numel() for taps in phases))
    rest = packed
    for taps in phases:
        blocks = taps.reshape(*taps.shape[:2], -1, COUNT).permute(2, 0, 1, 3)
        rest[: taps.numel()].view(blocks.shape).copy_(blocks)
        rest = rest[taps.numel() :]
    return packed


def _empty(elements: int) -> Tensor:
    return aligned(elements * torch.float32.itemsize).view(torch.float32)
