"""Faces tilted by any angle, with a stand-in detector that knows upright ones alone: five dots, each with a colour."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from gpen2048 import FaceRestorer, RestoreOptions
from gpen2048.detection import FaceDetector
from gpen2048.detectors.tilting import angles, tilted_faces, view_size
from gpen2048.faces import Face
from gpen2048.inference import Network
from numpy.typing import NDArray
from torch import Tensor, nn

COLOURS = torch.tensor([[1.0, 0, 0], [0, 1, 0], [0, 0, 1], [1, 1, 0], [0, 1, 1]])
POINTS = np.array([[-18.0, -15], [18, -15], [0, 4], [-13, 20], [13, 20]])  # from the middle of an upright face
HALF = 40
KNOWN_TILT = 25  # degrees


def with_face(size: tuple[int, int], middle: tuple[float, float], tilt: float) -> tuple[Tensor, NDArray[np.float64]]:
    """A picture and the landmarks of its face, whose head leans clockwise by `tilt` degrees."""
    radians = np.radians(tilt)
    turn = np.array([[np.cos(radians), -np.sin(radians)], [np.sin(radians), np.cos(radians)]])
    landmarks = POINTS @ turn.T + middle
    y, x = torch.meshgrid(torch.arange(size[0]), torch.arange(size[1]), indexing="ij")
    image = torch.zeros(3, *size)
    for (u, v), colour in zip(landmarks.tolist(), COLOURS):
        image += colour[:, None, None] * torch.exp(-((x - u) ** 2 + (y - v) ** 2) / 8)
    return image.clamp(0, 1), landmarks


def roll(landmarks: NDArray[np.float64]) -> float:
    x, y = landmarks[1] - landmarks[0]
    return float(np.degrees(np.arctan2(y, x)))


def upright_face(image: Tensor) -> list[Face]:
    """The one face of `image`, if it is nearly upright; the surer the more it is."""
    height, width = image.shape[1:]
    y, x = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
    found: list[list[float]] = []
    for colour in COLOURS:
        like = (image[colour > 0].amin(dim=0) - image[colour == 0].amax(dim=0)).clamp(min=0)
        weight = like * (like > 0.3 * like.max())
        found.append([float((weight * x).sum() / weight.sum()), float((weight * y).sum() / weight.sum())])
    landmarks = np.array(found)
    if abs(roll(landmarks)) > KNOWN_TILT:
        return []
    middle = landmarks.mean(axis=0) - POINTS.mean(axis=0)
    return [Face([*(middle - HALF), *(middle + HALF)], landmarks, 1 - abs(roll(landmarks)) / 100)]


@pytest.mark.parametrize("tilt", range(-180, 180, 15))
def test_a_face_tilted_by_any_angle_is_found_where_it_is(tilt: int) -> None:
    image, landmarks = with_face((170, 241), (93, 80), tilt)
    assert len(upright_face(image)) == (abs(tilt) <= KNOWN_TILT)
    (face,) = tilted_faces(upright_face, image, 180)
    np.testing.assert_allclose(face.landmarks, landmarks, atol=0.3)
    np.testing.assert_allclose(face.box.reshape(2, 2).mean(axis=0), [93, 80], atol=2)
    assert face.size == pytest.approx(2 * HALF, rel=1e-3) and face.score > 0.7


@pytest.mark.parametrize("most,found", [(0, 15), (45, 60), (90, 105), (135, 150), (180, 180)])
def test_no_further_tilt_is_looked_for_than_wanted(most: int, found: int) -> None:
    for tilt in range(0, 181, 15):
        for side in (1, -1):
            image, _ = with_face((200, 200), (100, 100), side * tilt)
            assert len(tilted_faces(upright_face, image, most)) == (tilt <= found)


def test_views_are_every_45_degrees_and_none_twice() -> None:
    assert angles(0) == angles(22.5) == [0]
    assert angles(45) == angles(67.5) == [0, 45, -45] and angles(90) == [0, 45, -45, 90, -90]
    assert sorted(angles(180)) == list(range(-135, 181, 45))


def test_quarter_turns_show_the_very_pixels() -> None:
    image = torch.rand(3, 40, 61, generator=torch.Generator().manual_seed(2))
    views: list[Tensor] = []
    tilted_faces(lambda view: views.append(view) or [], image, 180)
    shown = dict(zip(angles(180), views))
    for angle, turns in ((0, 0), (90, -1), (-90, 1), (180, 2)):
        wanted = torch.rot90(image, turns, (1, 2))
        assert shown[angle].shape == wanted.shape and (shown[angle] - wanted).abs().max() < 1e-5
    assert shown[45].shape[1:] == view_size(40, 61, 45) == (71, 71)


def test_boxes_of_sideways_faces_lie_on_their_side() -> None:
    face = Face([10, 20, 40, 80], POINTS + [25, 50], 0.95)

    def tall(view: Tensor) -> list[Face]:
        return [face] if view.shape[1:] == (200, 100) else []

    for found in tilted_faces(tall, torch.zeros(3, 100, 200), 90):
        assert found.box[2] - found.box[0] == pytest.approx(60) and found.box[3] - found.box[1] == pytest.approx(30)


def test_beyond_the_picture_a_view_is_plain() -> None:
    image = torch.rand(3, 60, 60, generator=torch.Generator().manual_seed(3)) * 0.1 + 0.9
    views: list[Tensor] = []
    tilted_faces(lambda view: views.append(view) or [], image, 45)
    for view in views[1:]:
        plain = (view - torch.tensor([123.0, 117, 104])[:, None, None] / 255).abs().amax(dim=0) < 1e-6
        assert plain.float().mean() == pytest.approx(0.5, abs=0.02) and view[:, ~plain].min() > 0.85
        assert plain[0, :40].all() and not plain[42, 2:-2].any()


def test_the_restorer_looks_for_tilted_faces_when_told(tiny_passthrough: Network) -> None:
    image, landmarks = with_face((170, 241), (93, 80), 90)

    def detector(view: Tensor, threshold: float) -> list[Face]:
        assert threshold == 0.8
        return upright_face(view)

    restorer = FaceRestorer(tiny_passthrough, detector)  # pyright: ignore[reportArgumentType]  a stand-in
    assert restorer(image, RestoreOptions(threshold=0.8)).faces == []
    (report,) = restorer(image, RestoreOptions(threshold=0.8, max_tilt=90)).faces
    np.testing.assert_allclose(report.landmarks, landmarks, atol=0.3)


def test_turned_views_take_memory_too() -> None:
    detector = FaceDetector(nn.Identity(), "retinaface_mobile0.25")
    plain, turned = (detector.memory_required(3000, 4000, max_tilt=tilt) for tilt in (0, 90))
    assert turned - plain >= 3 * 4 * 4950**2 and detector.memory_required(3000, 4000) == plain
