"""Convolution weights as Intel's matrix tiles want them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

DEPTH = 32  # elements summed by one tile product
WIDTH = 16  # outputs of one tile
LINE = 64  # bytes of a cache line, at which tiles must begin: a tile across lines takes six times as long to load


def pack_convolution(weight: Tensor, exact: bool) -> Tensor:
    """(O, I, 3, 3) as tiles, in the order `amx_kernels` reads them; uint8. `exact`: with what rounding takes away."""
    return aligned([_phase(weight.permute(2, 3, 1, 0), exact)])


def pack_transposed(weight: Tensor, exact: bool) -> Tensor:
    """(I, O, 3, 3) of a transposed convolution by 2: the four parities of its output, each a convolution of its own."""
    taps = weight.permute(2, 3, 0, 1)  # a pixel at 2x sees x - 1 through the last tap and x through the first
    parities = ([2, 0], [1])
    return aligned([_phase(taps[rows][:, columns], exact) for rows in parities for columns in parities])


def aligned(parts: Sequence[Tensor]) -> Tensor:
    """The bytes of all `parts`, beginning at a cache line."""
    data = torch.cat([part.reshape(-1).view(torch.uint8) for part in parts])
    room = torch.empty(len(data) + LINE, dtype=torch.uint8)
    first = -room.data_ptr() % LINE
    return room[first : first + len(data)].copy_(data)


def halves(data: Tensor) -> NDArray[Any]:
    """Packed weights, or memory, as the kernels read it: uint16."""
    return data.numpy().view(np.uint16)


def _phase(taps: Tensor, exact: bool) -> Tensor:
    """(rows, columns, I, O) as (block of outputs, row, depth, part, tile, 16 pairs, 16 outputs, 2) bfloat16."""
    rows, columns, inputs, outputs = taps.shape
    depth = columns * inputs
    tiles = 2 if outputs % (2 * WIDTH) == 0 else 1
    flat = F.pad(taps.reshape(rows, depth, outputs).float(), (0, 0, 0, -depth % DEPTH))
    near = flat.bfloat16()
    parts = torch.stack((near, (flat - near.float()).bfloat16()) if exact else (near,))
    shape = (len(parts), rows, flat.shape[1] // DEPTH, DEPTH // 2, 2, outputs // (tiles * WIDTH), tiles, WIDTH)
    return parts.reshape(shape).permute(5, 1, 2, 0, 6, 3, 7, 4).contiguous()
