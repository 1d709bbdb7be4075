"""Sharpness of faces, against scikit-image's measure of blur and known blurs, grain and enlargements."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from gpen2048.appearance.colour import luma
from gpen2048.appearance.sharpness import REBLUR, detail_size, grain, sharpness
from gpen2048.appearance.texture import blurred
from gpen2048.faces import Face
from gpen2048.geometry.resampling import lanczos_resize
from torch import Tensor


@pytest.fixture(scope="module")
def close_up(portrait: Tensor) -> Tensor:
    """The portrait's face with some surroundings, (3, 256, 256)."""
    return portrait[:, :256, 100:356].contiguous()


@pytest.fixture(scope="module")
def face(portrait_face: Face) -> Face:
    return Face(portrait_face.box - [100, 0, 100, 0], portrait_face.landmarks - [100, 0])


def enlarged(image: Tensor, face: Face, scale: float) -> tuple[Tensor, Face]:
    size = (round(image.shape[1] * scale), round(image.shape[2] * scale))
    moved = Face((face.box + 0.5) * scale - 0.5, (face.landmarks + 0.5) * scale - 0.5)
    return lanczos_resize(image, scale, size).clamp(0, 1), moved


@pytest.mark.parametrize("sigma", [0.0, 1.0, 3.0])
def test_without_grain_it_is_the_published_measure(close_up: Tensor, sigma: float) -> None:
    measure = pytest.importorskip("skimage.measure", reason="needs scikit-image's blur_effect")
    grey = luma((blurred(close_up, sigma) if sigma else close_up)[None])
    blur = measure.blur_effect(grey[0, 0].double().numpy(), h_size=REBLUR)
    assert sharpness(grey) == pytest.approx(1 - blur, abs=0.01)


def test_the_more_blurred_the_less_detail(close_up: Tensor, face: Face) -> None:
    sizes = [detail_size(blurred(close_up, sigma), face) for sigma in (0.3, 0.7, 1.0, 1.5, 2.0, 3.0, 5.0)]
    assert (np.diff(sizes) < 0).all()
    assert detail_size(close_up, face) == pytest.approx(face.size, rel=0.02)  # the photo is sharp
    assert sizes[-1] < face.size / 5


@pytest.mark.parametrize("scale", [2.0, 4.0, 8.0])
def test_enlarging_adds_no_detail(close_up: Tensor, face: Face, scale: float) -> None:
    large, large_face = enlarged(close_up, face, scale)
    assert large_face.size == pytest.approx(scale * face.size)
    assert detail_size(large, large_face) < 2.2 * face.size


@pytest.mark.parametrize("scale", [0.25, 0.5])
def test_a_sharp_small_face_has_the_detail_of_its_size(close_up: Tensor, face: Face, scale: float) -> None:
    small, small_face = enlarged(close_up, face, scale)
    assert detail_size(small, small_face) == pytest.approx(small_face.size, rel=0.05)


def test_grain_is_measured_and_is_no_detail(close_up: Tensor, face: Face) -> None:
    noise = torch.randn(close_up.shape, generator=torch.Generator().manual_seed(5)) * 8 / 255
    soft = blurred(close_up, 2.0)
    # luma of independent noise in three channels is 0.75 times as strong
    assert grain(luma((soft + noise)[None])) == pytest.approx(0.75 * 8 / 255, rel=0.1)
    assert detail_size(soft + noise, face) < 1.5 * detail_size(soft, face)


def test_the_head_s_tilt_does_not_matter(close_up: Tensor, face: Face) -> None:
    for quarters in (1, 2, 3):
        turned = torch.rot90(close_up, quarters, (1, 2))
        points = face.landmarks
        for _ in range(quarters):
            points = np.stack((points[:, 1], 255 - points[:, 0]), axis=1)
        low, high = points.min(axis=0) - 20, points.max(axis=0) + 20
        tilted = Face(np.concatenate((low, high)), points)
        assert detail_size(turned, tilted) / tilted.size == pytest.approx(
            detail_size(close_up, face) / face.size, rel=0.1
        )


@pytest.mark.parametrize("size", [1, 20])
def test_flat_and_tiny_pictures_have_no_detail(face: Face, size: int) -> None:
    assert detail_size(torch.full((3, size, size), 0.5), face) == 0
