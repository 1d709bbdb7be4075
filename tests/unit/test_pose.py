"""How far a face is turned, against OpenCV's own camera."""

from __future__ import annotations

import numpy as np
import pytest
from gpen2048.alignment import face_template
from gpen2048.appearance.pose import MEAN_FACE, turn
from gpen2048.faces import Face
from numpy.typing import NDArray


def seen(yaw: float, pitch: float = 0.0, roll: float = 0.0, distance: float = 8.0) -> NDArray[np.float64]:
    """The mean face's landmarks in a picture taken from `distance` (in 10 cm), turned by degrees."""
    import cv2

    turns = [np.radians([0, yaw, 0]), np.radians([pitch, 0, 0]), np.radians([0, 0, roll])]
    rotation = np.eye(3)
    for angles in turns:
        rotation = cv2.Rodrigues(angles)[0] @ rotation
    facing = MEAN_FACE * [1, -1, -1]  # OpenCV's camera looks along z, with y down
    camera = np.array([[1000.0, 0, 500], [0, 1000, 500], [0, 0, 1]])
    points, _ = cv2.projectPoints(facing, cv2.Rodrigues(rotation)[0], np.array([0, 0, distance]), camera, np.zeros(4))
    return points.reshape(5, 2)


@pytest.mark.parametrize("yaw", [0, 15, 30, -45, 60, -75, 85])
@pytest.mark.parametrize(("pitch", "roll"), [(0, 0), (15, 40), (-15, -80)])
def test_it_is_the_camera_s_angle(yaw: float, pitch: float, roll: float) -> None:
    assert turn(seen(yaw, pitch, roll)) == pytest.approx(abs(yaw), abs=3)  # perspective is what is left


def test_it_does_not_depend_on_place_or_size() -> None:
    landmarks = seen(35)
    assert turn(landmarks * 0.1 + [300, -40]) == pytest.approx(turn(landmarks), abs=1e-6)


def test_the_detector_s_jitter_is_no_great_matter() -> None:
    rng = np.random.default_rng(3)
    landmarks = seen(30)
    eyes = np.linalg.norm(landmarks[1] - landmarks[0])
    turns = [turn(landmarks + rng.normal(0, 0.03 * eyes, (5, 2))) for _ in range(100)]
    assert np.std(turns) < 5 and np.mean(turns) == pytest.approx(30, abs=3)


def test_faces_that_look_at_the_camera(group_faces: list[Face], portrait_face: Face) -> None:
    for kind in ("gpen", "ffhq"):
        assert turn(face_template(512, kind)) < 2
    assert turn(portrait_face.landmarks) < 10
    assert max(turn(face.landmarks) for face in group_faces) < 20  # nobody on the photo shows a profile
