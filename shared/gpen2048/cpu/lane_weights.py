"""Convolution weights as `lane_kernels` wants them: of every kind, and of 16 outputs for each input; float32."""

from __future__ import annotations

import torch
from torch import Tensor

from ..compiled.numba_lanes import COUNT
from ..compiled.pages import aligned
from .winograd import KINDS, Matrix, transformed


def pack(weight: Tensor, matrix: Matrix) -> Tensor:
    """(3, 3, I, O), transformed by `matrix`, as (36, O / 16, I, 16), flat.

    Block by block, since what lies between takes as much memory again.
    """
    inputs, outputs = weight.shape[2:]
    packed = aligned(KINDS**2 * inputs * outputs * torch.float32.itemsize).view(torch.float32)
    blocks = packed.view(KINDS**2, outputs // COUNT, inputs, COUNT)
    for number in range(outputs // COUNT):
        blocks[:, number] = transformed(weight[..., number * COUNT : (number + 1) * COUNT], matrix)
    return packed
