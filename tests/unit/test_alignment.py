"""Template and transforms against those of GPEN's own code (tests/golden/alignment.json)."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from gpen2048.alignment import crop_transform, face_template
from gpen2048.geometry.transforms import density, enlarged, fit_similarity, invert


@pytest.mark.parametrize("size", [256, 512, 1024, 2048])
def test_the_template_is_the_authors(golden_alignment: Any, size: int) -> None:
    assert np.abs(face_template(size) - golden_alignment["reference_points"][str(size)]).max() < 1e-9


@pytest.mark.parametrize("size", [512, 2048])
def test_the_transforms_are_the_authors(golden_alignment: Any, size: int) -> None:
    for face in golden_alignment["faces"]:
        landmarks = np.array(face["landmarks"])
        to_crop = crop_transform(landmarks, size)
        points = np.column_stack((landmarks, np.ones(5)))
        assert np.abs(points @ to_crop.T - points @ np.array(face[f"to_crop_{size}"]).T).max() < 1e-3
        template = np.column_stack((face_template(size), np.ones(5)))
        theirs = template @ np.array(face[f"to_image_{size}"]).T
        assert np.abs(template @ invert(to_crop).T - theirs).max() < 1e-3


def test_ffhq_frames_a_face_tighter() -> None:
    gpen, ffhq = face_template(512), face_template(512, "ffhq")
    eyes, nose, mouth = [[192.98138, 239.94708], [318.90277, 240.1936]], [256.63416, 314.01935], [201.26117, 371.41043]
    assert np.allclose(ffhq, [*eyes, nose, mouth, [313.08905, 371.15118]])
    assert np.ptp(ffhq[:2, 0]) / np.ptp(gpen[:2, 0]) == pytest.approx(0.2459 / 0.2097, abs=2e-3)


def test_any_similarity_is_found_exactly() -> None:
    rng = np.random.default_rng(3)
    for _ in range(20):
        angle, scale, shift = rng.uniform(-np.pi, np.pi), rng.uniform(0.01, 50), rng.uniform(-999, 999, 2)
        turn = scale * np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
        points = rng.uniform(-100, 100, (5, 2))
        found = fit_similarity(points, points @ turn.T + shift)
        assert np.allclose(found, np.column_stack((turn, shift)), atol=1e-8)
        assert density(found) == pytest.approx(scale)


def test_a_mirrored_face_is_not_mirrored_back() -> None:
    mirrored = face_template(512) * [-1, 1]
    assert np.linalg.det(crop_transform(mirrored, 512)[:, :2]) > 0


def test_enlarging_moves_pixel_centres_as_documented() -> None:
    to_crop = crop_transform(face_template(200) + 31.5, 512)
    p = np.array([[10.0, 20.0], [300.0, 5.0]])
    for scale in (1, 2, 3.7, 4):
        moved = scale * (p + 0.5) - 0.5
        there = np.column_stack((moved, [1, 1])) @ enlarged(to_crop, scale).T
        assert np.allclose(there, np.column_stack((p, [1, 1])) @ to_crop.T)


@pytest.mark.parametrize(
    "landmarks", [np.zeros((4, 2)), np.full((5, 2), np.nan), np.full((5, 2), 3.0), [1, 2], np.zeros((5, 3))]
)
def test_unusable_landmarks_are_named(landmarks: Any) -> None:
    with pytest.raises(ValueError, match="landmarks"):
        crop_transform(landmarks, 512)


def test_an_unknown_template_is_named() -> None:
    with pytest.raises(ValueError, match="'arcface'"):
        face_template(512, "arcface")  # pyright: ignore[reportArgumentType]  the mistake is the test
