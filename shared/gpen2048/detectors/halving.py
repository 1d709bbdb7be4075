"""Copies of a picture halved again and again, and how finely each is detailed."""

from __future__ import annotations

import math
from types import ModuleType

import torch
import torch.nn.functional as F
from torch import Tensor

from ..compiled.pages import uninitialised
from ..compiled.threads import in_rows
from ..geometry.splines import compiled_kernels

DETAIL_BLOCK = 16  # px of the halved copy; detail is told for squares of that side


DETAIL_PLANES = 9  # as large as a plane of the copy, that PyTorch has at once where it tells detail


def detail_bytes(height: int, width: int, number: int) -> int:
    """Bytes that it takes to tell the detail of copy `number` of a picture, where no compiled loops do."""
    return DETAIL_PLANES * torch.float32.itemsize * math.prod(-(-side // 2**number) for side in (height, width))


class Halvings:
    """`image` (C, H, W), float32 in [0, 1], and its halved copies, each made when first asked for.

    Copy n is reduced by 2^n, an odd last row or column counted twice. Where loops are compiled, nothing is kept but the
    detail of copies that are only passed through on the way to smaller ones: memory costs more than halving again.
    """

    def __init__(self, image: Tensor):
        self._copies = {0: image}
        self._details: dict[int, Tensor] = {}

    def copy(self, number: int) -> Tensor:
        """(C, ⌈H / 2^number⌉, ⌈W / 2^number⌉)."""
        if number not in self._copies:
            if number % 2 or number - 1 in self._copies or _kernels_for(self._copies[0]) is None:
                self._copies[number] = _halved(self.copy(number - 1))
            else:
                self._copies[number], self._details[number - 1] = _halved_twice(self.copy(number - 2))
        return self._copies[number]

    def detail(self, number: int) -> Tensor:
        """How finely copy `number` is detailed: (rows, columns) of blocks, 2 · DETAIL_BLOCK px of it wide and high.

        Root mean square of what a pixel lies above the mean of its neighbours, along rows and columns.
        """
        if number not in self._details:
            self._details[number] = _detail(self.copy(number))
        return self._details[number]


def _kernels_for(image: Tensor) -> ModuleType | None:
    return compiled_kernels() if image.device.type == "cpu" and image.dtype == torch.float32 else None


def _halved(image: Tensor) -> Tensor:
    kernels = _kernels_for(image)
    channels, height, width = image.shape
    if kernels is None:
        return F.avg_pool2d(image[None], 2, ceil_mode=True, count_include_pad=False)[0]
    half = uninitialised((channels, -(-height // 2), -(-width // 2)), image.device)
    in_rows(half.shape[1], kernels.halve, image.detach().contiguous().numpy(), half.numpy())
    return half


def _halved_twice(image: Tensor) -> tuple[Tensor, Tensor]:
    """The copy of the copy, and the detail of the copy; by compiled loops alone."""
    kernels = _kernels_for(image)
    assert kernels is not None
    height, width = (-(-side // 2) for side in image.shape[1:])
    quarter = uninitialised((len(image), -(-height // 2), -(-width // 2)), image.device)
    squares = _squares_for((height, width), image)
    given = image.detach().contiguous().numpy()
    in_rows(quarter.shape[1], kernels.halve_twice, given, quarter.numpy(), DETAIL_BLOCK, squares.numpy())
    return quarter, _pooled(squares)


def _detail(image: Tensor) -> Tensor:
    kernels = _kernels_for(image)
    if kernels is None:
        return _pooled(torch.stack([_squares_by_pooling(plane[None]) for plane in image]).mean(dim=0))
    squares = _squares_for((image.shape[1], image.shape[2]), image)
    in_rows(len(squares), kernels.detail, image.detach().contiguous().numpy(), DETAIL_BLOCK, squares.numpy())
    return _pooled(squares)


def _squares_for(size: tuple[int, int], like: Tensor) -> Tensor:
    return like.new_empty((-(-size[0] // 2), -(-size[1] // (2 * DETAIL_BLOCK))))


def _pooled(squares: Tensor) -> Tensor:
    pooled = F.avg_pool2d(squares[None, None], (DETAIL_BLOCK, 1), ceil_mode=True, count_include_pad=False)[0, 0]
    return pooled.sqrt()


def _squares_by_pooling(image: Tensor) -> Tensor:
    right, below = _shifted(image, 2), _shifted(image, 1)
    left, above = _shifted(image.flip(2), 2).flip(2), _shifted(image.flip(1), 1).flip(1)
    left[:, :, 0], above[:, 0] = right[:, :, 0], below[:, 0]
    along, across = (left + right) / 2 - image, (above + below) / 2 - image
    squares = (along.square() + across.square())[:, ::2, ::2].mean(dim=0, keepdim=True) / 4
    return F.avg_pool2d(squares[None], (1, DETAIL_BLOCK), ceil_mode=True, count_include_pad=False)[0, 0]


def _shifted(image: Tensor, axis: int) -> Tensor:
    """Each sample's next along `axis`; the last one's is itself."""
    return torch.cat((image.narrow(axis, 1, image.shape[axis] - 1), image.narrow(axis, -1, 1)), dim=axis)
