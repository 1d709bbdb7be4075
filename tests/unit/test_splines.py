"""The compiled and the plain reads against another's B-spline."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from gpen2048.geometry import splines
from gpen2048.geometry.splines import sample_spline
from scipy import ndimage
from torch import Tensor

MATRIX = np.array([[0.6, -0.25, 9.3], [0.25, 0.6, 2.2]])
SIZE = (31, 23)


@pytest.fixture(params=["compiled", "plain"], autouse=True)
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    if request.param == "compiled":
        assert splines.compiled_kernels() is not None  # facexlib brings numba
    else:
        monkeypatch.setattr(splines, "compiled_kernels", lambda: None)


def _grid(channels: int) -> Tensor:
    return torch.rand(channels, 30, 29, generator=torch.Generator().manual_seed(channels))


def _scipy(grid: Tensor) -> Tensor:
    """scipy's spline on coefficients as they are, an implementation of its own."""
    rows, columns = np.mgrid[: SIZE[0], : SIZE[1]]
    x, y = np.einsum("ij,jhw->ihw", MATRIX, np.stack((columns, rows, np.ones_like(rows))))
    read = [ndimage.map_coordinates(channel.double().numpy(), (y, x), order=3, prefilter=False) for channel in grid]
    return torch.from_numpy(np.stack(read)).float()


@pytest.mark.parametrize("channels", [1, 3, 4])
def test_reading_is_scipys(channels: int) -> None:
    grid = _grid(channels)
    assert (sample_spline(grid, MATRIX, SIZE) - _scipy(grid)).abs().max() < 2e-5


def test_values_stay_within_limits() -> None:
    found = sample_spline(_grid(3), MATRIX, SIZE, (0.4, 0.6))
    assert torch.allclose(found, sample_spline(_grid(3), MATRIX, SIZE).clamp(0.4, 0.6))
    assert found.min() == torch.tensor(0.4) and found.max() == torch.tensor(0.6)


def test_any_layout_is_read() -> None:
    grid = _grid(3)
    interleaved = grid.permute(1, 2, 0).contiguous().permute(2, 0, 1)
    assert torch.equal(sample_spline(interleaved, MATRIX, SIZE), sample_spline(grid, MATRIX, SIZE))


def test_the_smallest_grids_are_read() -> None:
    at_origin = np.array([[0.0, 0, 0], [0, 0, 0]])
    assert torch.allclose(sample_spline(torch.full((3, 4, 4), 0.5), at_origin + 1, (2, 2)), torch.tensor(0.5))
