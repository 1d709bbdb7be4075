"""The compiled and the plain reads against another's B-spline."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from types import ModuleType, SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest
import torch
from gpen2048.geometry import splines
from gpen2048.geometry.filtering import filter_axes, inverse_spline
from gpen2048.geometry.splines import SPLINE_REACH, Limits, sample_spline, warp_by_spline
from scipy import ndimage
from torch import Tensor

MATRIX = np.array([[0.6, -0.25, 9.3], [0.25, 0.6, 2.2]])
SIZE = (31, 23)


def _grid(channels: int) -> Tensor:
    return torch.rand(channels, 30, 29, generator=torch.Generator().manual_seed(channels))


def _scipy(grid: Tensor, *, prefilter: bool) -> Tensor:
    """scipy's spline, an implementation of its own, through samples or on coefficients as they are."""
    rows, columns = np.mgrid[: SIZE[0], : SIZE[1]]
    x, y = np.einsum("ij,jhw->ihw", MATRIX, np.stack((columns, rows, np.ones_like(rows))))
    read = [
        ndimage.map_coordinates(channel.double().numpy(), (y, x), order=3, mode="reflect", prefilter=prefilter)
        for channel in grid
    ]
    return torch.from_numpy(np.stack(read)).float()


def _warped(image: Tensor, limits: Limits = splines.UNLIMITED) -> Tensor:
    assert splines.is_compiled(image)  # facexlib brings numba
    out = torch.empty(len(image), *SIZE)
    warp_by_spline(image, MATRIX, out, limits)
    return out


@pytest.mark.parametrize("channels", [1, 3, 4])
def test_reading_is_scipys(channels: int) -> None:
    grid = _grid(channels)
    assert (sample_spline(grid, MATRIX, SIZE) - _scipy(grid, prefilter=False)).abs().max() < 2e-5
    assert (_warped(grid) - _scipy(grid, prefilter=True)).abs().max() < 2e-5


def test_coefficients_are_scipys() -> None:
    grid = _grid(3)
    wanted = ndimage.spline_filter1d(ndimage.spline_filter1d(grid.double().numpy(), axis=1), axis=2)
    found = filter_axes(grid, inverse_spline(29), inverse_spline(30))
    inner = slice(SPLINE_REACH, -SPLINE_REACH)
    assert found.shape == (3, 6, 5) and np.abs(found.numpy() - wanted[:, inner, inner]).max() < 2e-6


def test_values_stay_within_limits() -> None:
    grid, limits = _grid(3), (0.4, 0.6)
    for found, free in (
        (sample_spline(grid, MATRIX, SIZE, limits), sample_spline(grid, MATRIX, SIZE)),
        (_warped(grid, limits), _warped(grid)),
    ):
        assert torch.allclose(found, free.clamp(*limits))
        assert found.min() == torch.tensor(0.4) and found.max() == torch.tensor(0.6)


def test_any_layout_is_read() -> None:
    grid = _grid(3)
    interleaved = grid.permute(1, 2, 0).contiguous().permute(2, 0, 1)
    assert torch.equal(sample_spline(interleaved, MATRIX, SIZE), sample_spline(grid, MATRIX, SIZE))
    assert torch.equal(_warped(interleaved), _warped(grid))


@pytest.mark.parametrize("wrong", [np.nan, 0.01])
@pytest.mark.parametrize("number", range(3))
def test_kernels_that_are_wrong_are_not_used(number: int, wrong: float, monkeypatch: pytest.MonkeyPatch) -> None:
    """In any of the three things that they are tried at."""
    kernels, calls = splines.compiled_kernels(), iter(range(3))
    assert kernels is not None
    tried = SimpleNamespace(warp_tiles=kernels.warp_tiles, filter_groups=kernels.filter_groups)
    splines._prove(cast(ModuleType, tried))

    def spoilt(kernel: Callable[..., None], *arguments: Any) -> None:
        kernel(*arguments)
        if next(calls) == number:
            arguments[-3].flat[-1] += wrong

    for name in ("warp_tiles", "filter_groups"):
        monkeypatch.setattr(tried, name, partial(spoilt, getattr(kernels, name)))
    with pytest.raises(ArithmeticError, match="off by"):
        splines._prove(cast(ModuleType, tried))


def test_the_smallest_grids_are_read() -> None:
    at_origin = np.array([[0.0, 0, 0], [0, 0, 0]])
    assert torch.allclose(sample_spline(torch.full((3, 4, 4), 0.5), at_origin + 1, (2, 2)), torch.tensor(0.5))
    out = torch.empty(3, 2, 2)
    warp_by_spline(torch.full((3, 1, 1), 0.5), at_origin, out, splines.UNLIMITED)
    assert torch.allclose(out, torch.tensor(0.5))
