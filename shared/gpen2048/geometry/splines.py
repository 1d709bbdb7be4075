"""Reading a grid at the positions of a similarity: by compiled loops on the CPU, else by PyTorch's grid_sample."""

from __future__ import annotations

import logging
import math
from functools import cache
from types import ModuleType

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from ..compiled.threads import in_rows
from .transforms import Matrix, positions

logger = logging.getLogger(__name__)
SPLINE_POLE = math.sqrt(3) - 2  # of the cubic B-spline's inverse filter (Unser, "Splines: a perfect fit", 1999)
PIXEL = 4  # channels that compiled loops have room for
TILE = (128, 128)  # rows and columns of the output, whose coefficients fit into the cache
SPLINE_REACH = 12  # samples: |pole|^12 < 2e-7
Limits = tuple[float, float]
UNLIMITED: Limits = (-math.inf, math.inf)


def sample_spline(grid: Tensor, matrix: Matrix, size: tuple[int, int], limits: Limits = UNLIMITED) -> Tensor:
    """Cubic B-spline of the coefficients `grid` (C, H, W) float32 at `matrix` @ (p, 1) of each pixel p: (C, *size).

    A position needs one sample of the grid before it and two behind. Sixteen taps are four bilinear reads here: two
    neighbouring weights of one sign are one linear interpolation (Sigg and Hadwiger, GPU Gems 2, chapter 20).
    """
    x, y = positions(matrix, size, grid.device)
    x_reads, y_reads = _linear_reads(x, grid.shape[2]), _linear_reads(y, grid.shape[1])
    out = grid.new_zeros((grid.shape[0], *size))
    for y, y_weight in y_reads:
        for x, x_weight in x_reads:
            out.addcmul_(_read(grid, x, y), x_weight * y_weight)
    return out.clamp_(*limits)


def warp_by_spline(image: Tensor, matrix: Matrix, out: Tensor, limits: Limits) -> None:
    """Fills `out` (C, h, w) from the cubic B-spline through the pixels of `image` (C, H, W), which `is_compiled`.

    It is continued by reflection, read at `matrix` @ (p, 1) of each pixel p of `out`, and kept within `limits`.
    """
    kernels = compiled_kernels()
    assert kernels is not None
    tiles = math.prod(-(-side // length) for side, length in zip(out.shape[1:], TILE))
    in_rows(
        tiles,
        kernels.warp_tiles,
        image.detach().numpy(),
        np.ascontiguousarray(matrix),
        _floats(limits),
        TILE,
        out.numpy(),
    )


def is_compiled(image: Tensor) -> bool:
    """Whether compiled loops read `image` (C, H, W)."""
    suits = image.device.type == "cpu" and image.dtype == torch.float32 and len(image) <= PIXEL
    return suits and compiled_kernels() is not None


def _floats(limits: Limits) -> tuple[np.float32, np.float32]:
    return np.float32(limits[0]), np.float32(limits[1])


@cache
def compiled_kernels() -> ModuleType | None:
    """`picture_kernels`, if they give PyTorch's results on a trial; says in the log, once, why not."""
    try:
        from ..compiled import picture_kernels as kernels

        _prove(kernels)
        return kernels
    except Exception as error:  # whatever a compiler raises, PyTorch can do the work
        logger.info("GPEN resamples by plain PyTorch: %s: %s", type(error).__name__, error)
        return None


def _prove(kernels: ModuleType) -> None:
    """Compiles the kernels by using them once; raises ArithmeticError if they give something else than they should.

    Cubic B-splines go through a parabola exactly, but where its reflection is near.
    """
    matrix, size = np.array([[0.7, 0.3, 16.2], [-0.3, 0.7, 18.1]]), (6, 21)  # of rows that end beside the sixteen lanes
    grid, wanted = (
        torch.stack((x, y, x * y)) for x, y in (_parabolas(np.eye(2, 3), (40, 50)), _parabolas(matrix, size))
    )
    found, again = torch.empty_like(wanted), torch.empty_like(grid)
    for place, out in ((matrix, found), (np.eye(2, 3), again)):
        kernels.warp_tiles(grid.numpy(), place, _floats(UNLIMITED), TILE, out.numpy(), 0, 1)
    errors = float((found - wanted).abs().max()), float((again - grid).abs().max()), _filter_error(kernels)
    if not all(error < 1e-4 for error in errors):  # nor not-a-number
        raise ArithmeticError(f"compiled splines are off by {errors}")


def _filter_error(kernels: ModuleType) -> float:
    """Of the mean of two neighbours of a ramp, along both axes."""
    ramp = np.arange(40 * 50, dtype=np.float32).reshape(1, 40, 50)
    out = np.empty((1, 37, 45), np.float32)
    rows, columns = ((np.arange(count), np.full((count, 2), 0.5, np.float32)) for count in out.shape[1:])
    kernels.filter_groups(ramp.ravel(), (40 * 50, 50, 1), (0, 50), *rows, *columns, out, 0, 3)
    return float(np.abs(out - ramp[:, :37, :45] - 25.5).max())


def _parabolas(matrix: Matrix, size: tuple[int, int]) -> tuple[Tensor, Tensor]:
    x, y = (position / 50 for position in positions(matrix, size, torch.device("cpu")))
    return x.square(), y.square()


def _read(grid: Tensor, x: Tensor, y: Tensor) -> Tensor:
    """Linear interpolation of `grid` (C, H, W) at `x`, `y` (h, w), in grid_sample's [-1, 1]; its edge beyond.

    MPS has no padding by the border before torch 2.13, and needs none at clamped positions.
    """
    at = torch.stack((x, y), dim=-1)[None].clamp_(-1, 1)
    return F.grid_sample(grid[None], at, mode="bilinear", padding_mode="zeros", align_corners=True)[0]


def _unit(length: int) -> float:
    """One pixel in grid_sample's coordinates, which run from -1 to 1 over `length` pixel centres."""
    return 2 / max(length - 1, 1)


def _linear_reads(position: Tensor, length: int) -> list[tuple[Tensor, Tensor]]:
    """Places, in grid_sample's [-1, 1], and weights of two linear reads for the four B-spline taps about `position`."""
    floor = position.floor()
    t = position - floor
    w0, w3 = (1 - t) ** 3 / 6, t**3 / 6
    right = w3 + (1 + 3 * t + 3 * t**2 - 3 * t**3) / 6
    left = 1 - right
    places = ((floor - w0 / left, left), (floor + 1 + w3 / right, right))
    return [(place * _unit(length) - 1, weight) for place, weight in places]
