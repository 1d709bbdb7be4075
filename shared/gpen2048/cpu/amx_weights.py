"""Convolution weights as Intel's matrix tiles want them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from ..compiled.pages import aligned

DEPTH = 32  # elements summed by one tile product
WIDTH = 16  # outputs of one tile


def pack_convolution(weight: Tensor, exact: bool) -> Tensor:
    """(O, I, 3, 3) as tiles, in the order `amx_kernels` reads them; uint8. `exact`: with what rounding takes away."""
    return _packed(weight.permute(2, 3, 1, 0), [([0, 1, 2], [0, 1, 2])], exact)


def pack_transposed(weight: Tensor, exact: bool) -> Tensor:
    """(I, O, 3, 3) of a transposed convolution by 2: the four parities of its output, each a convolution of its own."""
    parities = ([2, 0], [1])  # a pixel at 2x sees x - 1 through the last tap and x through the first
    return _packed(weight.permute(2, 3, 0, 1), [(rows, columns) for rows in parities for columns in parities], exact)


def _packed(taps: Tensor, phases: Sequence[tuple[list[int], list[int]]], exact: bool) -> Tensor:
    """All phases of `taps` (3, 3, I, O) from a cache line on.

    Block by block, since what lies between weights and tiles takes several times their memory.
    """
    inputs, outputs = taps.shape[2:]
    width = WIDTH * (2 if outputs % (2 * WIDTH) == 0 else 1)
    depths = sum(len(rows) * -(-len(columns) * inputs // DEPTH) * DEPTH for rows, columns in phases)
    packed = aligned(depths * outputs * (2 if exact else 1) * torch.bfloat16.itemsize)
    rest = packed
    for rows, columns in phases:
        for first in range(0, outputs, width):
            data = _block(taps[rows, :, :, first : first + width][:, columns], exact).view(-1).view(torch.uint8)
            rest[: len(data)] = data
            rest = rest[len(data) :]
    return packed


def halves(data: Tensor) -> NDArray[Any]:
    """Packed weights, or memory, as the kernels read it: uint16."""
    return data.numpy().view(np.uint16)


def _block(taps: Tensor, exact: bool) -> Tensor:
    """(rows, columns, I, 16 or 32 outputs) as (row, depth, part, tile, 16 pairs, 16 outputs, 2) bfloat16."""
    rows, columns, inputs, outputs = taps.shape
    depth = columns * inputs
    flat = F.pad(taps.reshape(rows, depth, outputs).float(), (0, 0, 0, -depth % DEPTH))
    near = flat.bfloat16()
    parts = torch.stack((near, (flat - near.float()).bfloat16()) if exact else (near,))
    shape = (len(parts), rows, flat.shape[1] // DEPTH, DEPTH // 2, 2, outputs // WIDTH, WIDTH)
    return parts.view(shape).permute(1, 2, 0, 5, 3, 6, 4).contiguous()
