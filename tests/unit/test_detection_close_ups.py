"""Close-ups of faces: where they look, and that what is seen there is told where it lies in the image."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from gpen2048.detectors.close_ups import CloseUp, swapped_sides
from gpen2048.detectors.halving import Halvings
from numpy.typing import NDArray
from torch import Tensor

POINTS = np.array([[-0.25, -0.15], [0.25, -0.15], [0, 0.1], [-0.2, 0.3], [0.2, 0.3]])  # of the face's size
WHITE = torch.tensor([151.0, 138.0, 132.0])  # less the mean, blue first


def face(size: float, middle: tuple[float, float], tilt: float = 0) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    cos, sin = math.cos(math.radians(tilt)), math.sin(math.radians(tilt))
    landmarks = POINTS * size @ np.array([[cos, sin], [-sin, cos]]) + middle
    return np.array([*middle, *middle]) + np.array([-1, -1, 1, 1]) * size / 2, landmarks


def dots(size: tuple[int, int], places: NDArray[np.float64], sigma: float) -> Tensor:
    y, x = torch.meshgrid(torch.arange(size[0]), torch.arange(size[1]), indexing="ij")
    shown = [torch.exp(-((x - u) ** 2 + (y - v) ** 2) / (2 * sigma**2)) for u, v in places.tolist()]
    return torch.stack(shown).amax(dim=0).expand(3, -1, -1).contiguous()


def centre(plane: Tensor) -> NDArray[np.float64]:
    """Of mass, counted from the corner."""
    y, x = (torch.arange(length) + 0.5 for length in plane.shape)
    return np.array([float((plane.sum(0) * x).sum()), float((plane.sum(1) * y).sum())]) / float(plane.sum())


@pytest.mark.parametrize("size", [13, 40, 96, 150, 333])
@pytest.mark.parametrize("tilt", [0, 30, -75, 160])
def test_a_face_is_upright_and_in_the_middle_and_goes_back(size: int, tilt: int) -> None:
    box, landmarks = face(size, (541.3, 532.8), tilt)
    close_up = CloseUp(box, landmarks, 96)
    assert close_up.side == 192 and close_up.tilt == pytest.approx(math.radians(tilt))
    for place, wanted in zip(landmarks, POINTS):
        image = Halvings(dots((1060, 1091), place[None], max(2.0, size / 30)))
        plane = (close_up.pixels(image)[1] + 117) / 255  # green, less its mean
        seen = centre(plane)
        np.testing.assert_allclose(seen, wanted * 96 + 96, atol=0.7)
        back = close_up.to_image(close_up.expected(), np.tile(seen, (5, 1)))[1]
        np.testing.assert_allclose(back, np.tile(place, (5, 1)), atol=0.02 * size)


@pytest.mark.parametrize("tilt", [0, 17, 90])
def test_the_expected_box_is_the_box(tilt: int) -> None:
    _, landmarks = face(80, (200, 100), tilt)
    box = np.array([170.0, 50, 230, 150])
    close_up = CloseUp(box, landmarks, 128)
    expected = close_up.expected()
    np.testing.assert_allclose(close_up.to_image(expected, landmarks)[0], box, atol=7 if tilt == 17 else 1e-9)
    width, height = (expected[2:] - expected[:2]) / close_up.scale
    assert (width, height) == (pytest.approx((100, 60)) if tilt == 90 else pytest.approx((60, 100), rel=0.06))


def test_sides_are_swapped_by_a_right_angle_alone() -> None:
    sides = np.array([[30.0, 50.0], [10, 10]])
    for tilt, share in ((0, 0), (math.pi, 0), (math.pi / 2, 1), (-math.pi / 2, 1), (math.pi / 4, 0.5)):
        wanted = sides * (1 - share) + sides[:, ::-1] * share
        np.testing.assert_allclose(swapped_sides(sides, tilt), wanted, atol=1e-9)


def test_beyond_the_image_is_nothing() -> None:
    image = Halvings(torch.ones(3, 100, 140))
    inside = CloseUp(*face(30, (70, 50), 40), 96).pixels(image)
    assert (inside - WHITE[:, None, None]).abs().max() < 1e-3
    corner = CloseUp(*face(60, (-0.5, -0.5)), 96).pixels(image)
    assert (corner[:, 97:, 97:] - WHITE[:, None, None]).abs().max() < 1e-3
    assert corner[:, :95].abs().max() == corner[:, :, :95].abs().max() == 0


def test_whatever_is_proposed_can_be_looked_at() -> None:
    random = np.random.default_rng(0)
    image = Halvings(torch.rand(3, 50, 100))
    for _ in range(300):
        x0, y0 = random.uniform((-50, -50), (150, 100))
        width, height = np.exp(random.uniform(np.log(0.5), np.log(3000), 2))
        close_up = CloseUp(np.array([x0, y0, x0 + width, y0 + height]), random.uniform(-50, 150, (5, 2)), 128)
        assert close_up.pixels(image).shape == (3, 256, 256)
        assert close_up.pixels(image).isfinite().all() and np.isfinite(close_up.expected()).all()


@pytest.mark.parametrize("landmarks", [np.full((5, 2), np.inf), np.full((5, 2), np.nan), np.zeros((5, 2))])
def test_landmarks_that_tell_no_tilt(landmarks: NDArray[np.float64]) -> None:
    assert CloseUp(np.array([0.0, 0, 10, 10]), landmarks, 96).tilt == 0
