"""Resizing against Pillow, warping against signals whose answer is known in closed form."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from gpen2048.geometry import filtering, splines
from gpen2048.geometry.filtering import Taps, filter_axes, lanczos, reflect
from gpen2048.geometry.resampling import in_tiles, lanczos_resize, warp
from gpen2048.geometry.transforms import shift_origin
from PIL import Image
from torch import Tensor


@pytest.fixture(params=["compiled", "plain"])
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    if request.param == "compiled":
        assert splines.compiled_kernels() is not None  # facexlib brings numba
    else:
        without_kernels(monkeypatch)


def without_kernels(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (splines, filtering):
        monkeypatch.setattr(module, "compiled_kernels", lambda: None)


def _pillow(image: Tensor, size: tuple[int, int]) -> Tensor:
    channels = [Image.fromarray(channel.numpy()) for channel in image]
    resized = [channel.resize((size[1], size[0]), Image.Resampling.LANCZOS) for channel in channels]
    return torch.stack([torch.from_numpy(np.array(channel)) for channel in resized])


@pytest.mark.usefixtures("way")
@pytest.mark.parametrize("scale", [2, 4, 0.5, 0.25])
def test_resizing_is_pillows_lanczos(scale: float) -> None:
    image = torch.rand(3, 40, 64, generator=torch.Generator().manual_seed(1))
    size = (int(40 * scale), int(64 * scale))
    assert (lanczos_resize(image, scale, size) - _pillow(image, size)).abs().max() < 2e-6


@pytest.mark.usefixtures("way")
@pytest.mark.parametrize("size", [(40, 64), (7, 130), (1, 1)])
@pytest.mark.parametrize("interleaved", [False, True])
def test_filters_are_the_sums_of_their_taps(size: tuple[int, int], interleaved: bool) -> None:
    """Of any first samples, in any order, some columns unseen; rows and columns beside the lanes."""
    generator = np.random.default_rng(1)
    image = torch.from_numpy(generator.random((2, *size), np.float32))
    image = image.permute(1, 2, 0).contiguous().permute(2, 0, 1) if interleaved else image
    rows, columns = (
        Taps(generator.integers(length // 3, length - taps + 1, count), generator.standard_normal((count, taps)))
        for length, count, taps in zip(size, (21, 67), (min(5, size[0]), min(9, size[1])))
    )
    dense = [np.zeros((len(axis.first), length)) for axis, length in zip((rows, columns), size)]
    for matrix, axis in zip(dense, (rows, columns)):
        for line, first, weights in zip(matrix, axis.first, axis.weights):
            line[first : first + len(weights)] = weights
    wanted = np.einsum("yh,chw,xw->cyx", dense[0], image.double().numpy(), dense[1])
    assert np.abs(filter_axes(image, columns, rows).numpy() - wanted).max() < 1e-5


@pytest.mark.parametrize("length", [1, 5, 40])
def test_taps_beyond_the_border_are_those_of_what_they_mirror(length: int) -> None:
    """Longer kernels than the axis, which is mirrored more than once."""
    taps = lanczos(length, -30.0, 1.7, 50, 3.0, reflected=True)
    assert taps.first.min() >= 0 and taps.first.max() + taps.weights.shape[1] <= length
    source = np.random.default_rng(2).random(length)
    mirrored = np.pad(source, 400, mode="symmetric")
    free = lanczos(len(mirrored), 400 - 30.0, 1.7, 50, 3.0)
    for n in range(50):
        found = source[taps.first[n] :][: taps.weights.shape[1]] @ taps.weights[n]
        wanted = mirrored[free.first[n] :][: free.weights.shape[1]] @ free.weights[n]
        assert found == pytest.approx(wanted, abs=1e-12)


def test_scale_one_is_the_very_image() -> None:
    image = torch.rand(3, 5, 7)
    assert lanczos_resize(image, 1, (5, 7)) is image


@pytest.mark.usefixtures("way")
@pytest.mark.parametrize("size", [(1, 1), (1, 9), (9, 1)])
def test_the_smallest_images_enlarge(size: tuple[int, int]) -> None:
    image = torch.full((3, *size), 0.25)
    large = lanczos_resize(image, 4, (size[0] * 4, size[1] * 4))
    assert torch.allclose(large, torch.full_like(large, 0.25), atol=1e-6)


@pytest.mark.usefixtures("way")
def test_beyond_the_border_it_goes_on_as_there() -> None:
    """As where two axes of other proportions share a scale."""
    image = torch.rand(3, 4, 6, generator=torch.Generator().manual_seed(2))
    large = lanczos_resize(image, 2.0, (8, 40))
    assert bool(torch.isfinite(large).all()) and torch.equal(large[:, :, :12], lanczos_resize(image, 2.0, (8, 12)))
    assert torch.allclose(large[:, :, 20:], large[:, :, 20:21].expand(-1, -1, 20))


def _rotation(angle: float, scale: float, shift: tuple[float, float]) -> np.ndarray:
    turn = scale * np.array([[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]])
    return np.column_stack((turn, shift))


@pytest.mark.usefixtures("way")
@pytest.mark.parametrize("scale", [0.04, 0.3, 1.0, 3.0, 13.0])
@pytest.mark.parametrize("degrees", [0, 7, 90, 133])
def test_a_slow_wave_is_warped_exactly(scale: float, degrees: float) -> None:
    """A wave well inside the pass band of source and output, at any angle and magnification."""
    side = int(80 * max(1.0, scale))
    wave = 0.05 / max(1.0, scale)  # cycles per source pixel
    y, x = torch.meshgrid(torch.arange(side), torch.arange(side), indexing="ij")
    source = torch.sin(2 * math.pi * wave * (0.8 * x + 0.6 * y))[None].float()
    size = (33, 47)
    middle = np.array([size[1] / 2, size[0] / 2])
    matrix = _rotation(math.radians(degrees), scale, (0, 0))
    matrix[:, 2] = side / 2 - matrix[:, :2] @ middle
    rows, columns = np.mgrid[0 : size[0], 0 : size[1]]
    at_x, at_y = np.einsum("ij,jhw->ihw", matrix, np.stack((columns, rows, np.ones_like(rows))))
    inside = torch.from_numpy(
        (np.minimum(at_x, at_y) > 8 * max(1, scale)) & (np.maximum(at_x, at_y) < side - 9 * max(1, scale))
    )
    wanted = torch.from_numpy(np.sin(2 * math.pi * wave * (0.8 * at_x + 0.6 * at_y)))
    assert inside.sum() > 30
    assert (warp(source, matrix, size)[0] - wanted)[inside].abs().max() < 8e-3


@pytest.mark.usefixtures("way")
def test_strips_do_not_show() -> None:
    source = torch.rand(1, 60, 60, generator=torch.Generator().manual_seed(2))
    matrix = _rotation(0.3, 0.04, (20, 10))
    whole = warp(source, matrix, (1100, 300))
    part = warp(source, matrix @ np.array([[1, 0, 0], [0, 1, 500], [0, 0, 1]]), (30, 300))
    assert (whole[:, 500:530] - part).abs().max() < 2e-4


@pytest.mark.parametrize("degrees", [0, 7, 45, 133])
@pytest.mark.parametrize("scale", [0.04, 0.2, 0.8, 1.3])
@pytest.mark.parametrize("interleaved", [False, True])
def test_the_compiled_tiles_are_the_plain_warp(
    degrees: float, scale: float, interleaved: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Several tiles, the last ones cut, and a border in some."""
    source = torch.rand(3, 200, 180, generator=torch.Generator().manual_seed(3))
    if interleaved:
        source = source.permute(1, 2, 0).contiguous().permute(2, 0, 1)
    matrix = _rotation(math.radians(degrees), scale, (60, 40))
    assert in_tiles(source, matrix)
    tiles = warp(source, matrix, (150, 270), limits=(0.1, 0.9))
    without_kernels(monkeypatch)
    assert not in_tiles(source, matrix)
    plain = warp(source, matrix, (150, 270), limits=(0.1, 0.9))
    assert (tiles - plain).abs().max() < 2e-4  # grid_sample places a pixel within 1e-4 of one
    assert tiles.min() >= np.float32(0.1) and tiles.max() <= np.float32(0.9)


def test_a_part_of_a_tiled_warp_is_that_part_of_the_whole() -> None:
    source = torch.rand(3, 300, 300, generator=torch.Generator().manual_seed(4))
    matrix = _rotation(0.2, 0.9, (20, 10))
    whole = warp(source, matrix, (260, 240))
    part = warp(source, shift_origin(matrix, (50, 128)), (128, 190))
    assert (whole[:, 128:256, 50:] - part).abs().max() < 5e-6


def test_a_picture_that_wants_gradients_is_read_all_the_same() -> None:
    source = torch.rand(3, 40, 40)
    matrix = _rotation(0.2, 0.9, (5, 5))
    with torch.no_grad():
        assert torch.equal(warp(source.clone().requires_grad_(), matrix, (20, 20)), warp(source, matrix, (20, 20)))


def test_not_a_number_stays_near_its_place() -> None:
    source = torch.full((3, 300, 300), 0.5)
    source[:, 20, 20] = math.nan
    shown = warp(source, np.array([[1.0, 0, 0], [0, 1, 0]]), (300, 300), limits=(0, 1))
    assert shown[:, 20, 20].isnan().all() and torch.allclose(shown[:, 160:, 160:], torch.tensor(0.5))


@pytest.mark.usefixtures("way")
def test_the_border_is_continued_by_reflection() -> None:
    assert reflect(np.array([-3, -2, -1, 0, 3, 4, 5, 8, 9]), 4).tolist() == [2, 1, 0, 0, 3, 3, 2, 0, 1]
    source = torch.zeros(1, 30, 30)
    source[:, :, :15] = 1
    shown = warp(source, np.array([[1.0, 0, -20], [0, 1, 0]]), (30, 20))  # wholly left of the image
    assert torch.allclose(shown[:, :, 8:], torch.ones(1, 30, 12), atol=0.02)


@pytest.mark.usefixtures("way")
@pytest.mark.parametrize("degrees", [0, 20])
def test_a_constant_stays_constant(degrees: float) -> None:
    source = torch.full((3, 50, 50), 0.7)
    for scale in (0.05, 1, 20):
        shown = warp(source, _rotation(math.radians(degrees), scale, (-10, 30)), (40, 40))
        assert (shown - 0.7).abs().max() < 1e-4


@pytest.mark.usefixtures("way")
def test_beyond_the_output_s_nyquist_nothing_is_left() -> None:
    """A sine at twice the output's Nyquist frequency keeps at most 5 % of its amplitude."""
    y, x = torch.meshgrid(torch.arange(1024), torch.arange(1024), indexing="ij")
    for shrink in (4.0, 27.0):
        source = torch.sin(2 * math.pi / shrink * (x if shrink == 4 else y))[None].float()
        for degrees in (0, 5):
            shown = warp(source, _rotation(math.radians(degrees), shrink, (150, 150)), (16, 16))
            assert shown.abs().max() <= 0.05
