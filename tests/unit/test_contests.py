"""The largest face of a film, and the most central: one face for as long as it is, not two by turns."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from gpen2048 import RestoreOptions
from gpen2048.faces import Face
from gpen2048.tracking.tracks import FRAMES_AFTER, Tracker

EYES_TO_MOUTH = np.array([[-0.17, -0.2], [0.17, -0.2], [0, 0], [-0.13, 0.2], [0.13, 0.2]])
FRAMES = 60


def _face(x: float, y: float, size: float) -> Face:
    half = size / 2
    return Face([x - half, y - half, x + half, y + half], EYES_TO_MOUTH * size + [x, y], 0.99)


def _followed(frames: list[list[Face]], **options: Any) -> list[list[tuple[float, str]]]:
    """The share of each face of each frame, from left to right, and why it has none."""
    tracker, found = Tracker(RestoreOptions(**options)), []
    image = torch.rand(3, 400, 600, generator=torch.Generator().manual_seed(0))
    for number, faces in enumerate(frames):
        tracker.take(image, faces)
        if number >= FRAMES_AFTER:
            found.append(tracker.faces(number - FRAMES_AFTER))
    tracker.end()
    found += [tracker.faces(number) for number in range(len(found), len(frames))]
    return [[(choice.share, choice.reason) for _, choice in faces] for faces in found]


def _alike(noise: float, ratio: float = 1.02) -> list[list[Face]]:
    """Two faces, the left one a little larger; the detector sees their sizes with noise."""
    rng = np.random.default_rng(3)
    sizes = rng.normal(0, noise, (FRAMES, 2)) + [90 * ratio, 90]
    return [[_face(200, 200, left), _face(420, 200, right)] for left, right in sizes]


@pytest.mark.parametrize("options", [{"select": "largest"}, {"max_faces": 1}])
def test_two_faces_of_like_size_do_not_take_turns(options: dict[str, Any]) -> None:
    frames = _alike(noise=2)
    taken = np.array([left.size > right.size for left, right in frames])
    assert 0.2 < taken.mean() < 0.8  # frame by frame it would be one and the other
    shares = np.array([[share for share, _ in faces] for faces in _followed(frames, **options)])
    assert shares[:, 0].mean() > 0.95 and (shares[:, 1] > 0).mean() < 0.1


def test_a_face_that_becomes_the_largest_takes_over_smoothly() -> None:
    sizes = np.linspace(-30, 30, FRAMES)
    frames = [[_face(200, 200, 90 - grown), _face(420, 200, 90 + grown)] for grown in sizes]
    shares = np.array([[share for share, _ in faces] for faces in _followed(frames, select="largest")])
    assert shares[:20].mean(axis=0).tolist() == [1, 0] and shares[-20:].mean(axis=0).tolist() == [0, 1]
    assert np.abs(np.diff(shares, axis=0)).max() < 0.3


def test_the_most_central_and_the_reason_of_the_others() -> None:
    frames = _alike(noise=0)
    for select, reasons in (("centre", ["", "not the most central face"]), ("largest", ["", "not the largest face"])):
        assert all([reason for _, reason in faces] == reasons for faces in _followed(frames, select=select))


def test_a_face_missed_in_between_stays_the_largest() -> None:
    frames = _alike(noise=0, ratio=1.2)
    for number in (30, 31):
        frames[number] = frames[number][1:]
    assert {share for faces in _followed(frames, select="largest") for share, _ in faces} == {0, 1}


def test_faces_chosen_by_number_are_those_numbers() -> None:
    """Whatever `max_faces` and the smallest size leave of the others."""
    frames = [[_face(60, 200, 40), _face(200, 200, 90), _face(420, 200, 100)]] * FRAMES
    found = _followed(frames, select=(1,), max_faces=2, min_face=64, order="left-right")
    assert {tuple(share for share, _ in faces) for faces in found} == {(0, 1, 0)}


def test_a_face_that_is_lost_fades_in_a_contest_too() -> None:
    """Where the detector is unsure of it, it still is the largest, by less and less."""
    sure = _face(200, 200, 100)
    unsure = Face(sure.box, sure.landmarks, 0.6)
    frames = [[sure if number < 20 else unsure] for number in range(FRAMES)]
    shares = [faces[0][0] if faces else 0.0 for faces in _followed(frames, select="largest")]
    wanted = [faces[0][0] if faces else 0.0 for faces in _followed(frames)]
    assert np.abs(np.diff(shares)).max() < 0.35 and shares == pytest.approx(wanted)
