"""Copies of a picture halved again and again, and how finely each is detailed."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from .numba_passes import in_rows
from .pages import uninitialised
from .sampling import Kernel, compiled_kernels

DETAIL_BLOCK = 16  # px of the halved copy; detail is told for squares of that side


class Halvings:
    """`image` (C, H, W), float32 in [0, 1], and its halved copies, each made when first asked for.

    Copy n is reduced by 2^n, an odd last row or column counted twice.
    """

    def __init__(self, image: Tensor):
        self._copies = [image]
        self._details: list[Tensor] = []

    def copy(self, number: int) -> Tensor:
        """(C, ⌈H / 2^number⌉, ⌈W / 2^number⌉)."""
        while len(self._copies) <= number:
            half, detail = _halve(self._copies[-1])
            self._copies.append(half)
            self._details.append(detail)
        return self._copies[number]

    def detail(self, number: int) -> Tensor:
        """How finely copy `number` is detailed: (rows, columns) of blocks, 2 · DETAIL_BLOCK px of it wide and high.

        Root mean square of what a pixel lies above the mean of its neighbours, along rows and columns.
        """
        self.copy(number + 1)
        return self._details[number]


def _halve(image: Tensor) -> tuple[Tensor, Tensor]:
    kernels = compiled_kernels() if image.device.type == "cpu" and image.dtype == torch.float32 else None
    half, squares = _by_pooling(image) if kernels is None else _by_kernel(kernels.halve, image)
    pooled = F.avg_pool2d(squares[None, None], (DETAIL_BLOCK, 1), ceil_mode=True, count_include_pad=False)[0, 0]
    return half, pooled.sqrt()


def _by_kernel(kernel: Kernel, image: Tensor) -> tuple[Tensor, Tensor]:
    channels, height, width = image.shape
    half = uninitialised((channels, -(-height // 2), -(-width // 2)), image.device)
    squares = image.new_empty((half.shape[1], -(-half.shape[2] // DETAIL_BLOCK)))
    in_rows(len(squares), kernel, image.detach().contiguous().numpy(), DETAIL_BLOCK, half.numpy(), squares.numpy())
    return half, squares


def _by_pooling(image: Tensor) -> tuple[Tensor, Tensor]:
    height, width = image.shape[1:]
    even = F.pad(image, (0, width % 2, 0, height % 2), mode="replicate")
    right, below = _shifted(image, 2), _shifted(image, 1)
    left, above = _shifted(image.flip(2), 2).flip(2), _shifted(image.flip(1), 1).flip(1)
    left[:, :, 0], above[:, 0] = right[:, :, 0], below[:, 0]
    along, across = (left + right) / 2 - image, (above + below) / 2 - image
    squares = (along.square() + across.square())[:, ::2, ::2].mean(dim=0, keepdim=True) / 4
    blocks = F.avg_pool2d(squares[None], (1, DETAIL_BLOCK), ceil_mode=True, count_include_pad=False)[0, 0]
    return F.avg_pool2d(even, 2), blocks


def _shifted(image: Tensor, axis: int) -> Tensor:
    """Each sample's next along `axis`; the last one's is itself."""
    return torch.cat((image.narrow(axis, 1, image.shape[axis] - 1), image.narrow(axis, -1, 1)), dim=axis)
