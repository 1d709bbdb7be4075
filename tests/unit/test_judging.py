"""What is to be done to each face: strengths by size, pose and sharpness, none of which may jump."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from gpen2048 import FaceRestorer, Request, RestoreOptions
from gpen2048.alignment import face_template
from gpen2048.appearance.pose import MEAN_FACE
from gpen2048.appearance.texture import blurred
from gpen2048.faces import Face
from gpen2048.inference import Network
from gpen2048.judging import choose, face_share, judge, tracks
from gpen2048.selection import Choice
from torch import Tensor

GREY = torch.full((3, 400, 400), 0.5)


def face_of(size: float) -> Face:
    return Face(np.array([100, 100, 100 + size, 100 + size]), face_template(100) * size / 100 + 100, 0.99)


def turned_face(degrees: float) -> Face:
    angle = np.radians(degrees)
    across = MEAN_FACE @ [np.cos(angle), 0, np.sin(angle)]
    landmarks = np.stack((across, -MEAN_FACE[:, 1]), axis=1) * 60 + 200
    return Face(np.array([150.0, 150, 250, 250]), landmarks, 0.99)


def strengths(faces: list[Face], **options: Any) -> list[float]:
    reports = judge(Request(GREY, RestoreOptions(strength=0.8, **options)), faces)
    assert all(report.restored == (report.strength > 0) == (not report.reason) for report in reports)
    return [report.strength for report in reports]


def test_by_default_all_get_the_same() -> None:
    assert strengths([face_of(20), face_of(200), turned_face(80)]) == [0.8] * 3


def test_small_faces_are_faded_in_without_a_jump() -> None:
    """Over all sizes, a tenth of a pixel changes the strength by less than anyone sees."""
    sizes = np.arange(20, 90, 0.1)
    given = np.array(strengths([face_of(size) for size in sizes], min_face=32, fade_until=64))
    assert (given[sizes < 32] == 0).all() and np.allclose(given[sizes >= 64], 0.8)
    assert (np.diff(given) >= 0).all() and np.diff(given).max() < 0.005
    popping = np.array(strengths([face_of(size) for size in sizes], min_face=32))
    assert np.diff(popping).max() == pytest.approx(0.8)  # as it is without


def test_the_picture_does_not_pop_either(network_that: Any, group_photo: Tensor, group_faces: list[Face]) -> None:
    """A face just above `min_face`, restored by a network that does much, hardly differs from one just below."""
    face = group_faces[0]
    brighter = FaceRestorer(network_that(lambda crops: (crops + 0.2).clamp(0, 1)))
    changes = []
    for min_face in (face.size + 0.5, face.size - 0.5):
        options = RestoreOptions(strength=1, min_face=int(np.ceil(min_face)), fade_until=int(face.size) + 30)
        changes.append((brighter(group_photo, options, faces=[face]).image - group_photo).abs().max())
    assert changes[0] == 0 and changes[1] < 2 / 255


def test_faces_turned_aside_get_less_and_profiles_nothing() -> None:
    angles = np.arange(0, 90, 0.25)
    given = np.array(strengths([turned_face(angle) for angle in angles], max_turn=60))
    assert np.allclose(given[angles < 44], 0.8) and (given[angles > 60.5] == 0).all()
    assert (np.diff(given) <= 1e-9).all() and np.diff(given).min() > -0.03
    (report,) = judge(Request(GREY, RestoreOptions(max_turn=60)), [turned_face(70)])
    assert report.reason == "turned aside by 60 degrees or more" and report.turn == pytest.approx(70, abs=1)


def test_sharp_large_faces_get_less_blurred_ones_more(portrait: Tensor, portrait_face: Face) -> None:
    large = torch.nn.functional.interpolate(portrait[None, :, :256, 100:356], scale_factor=4, mode="nearest")[0]
    face = Face((portrait_face.box - [100, 0, 100, 0]) * 4, (portrait_face.landmarks - [100, 0]) * 4)
    noise = torch.rand(large.shape, generator=torch.Generator().manual_seed(1)) - 0.5
    pores = (large + blurred(noise, 0.6)).clamp(0, 1)  # detail down to the pixel, unlike the enlarged photo's
    options = RestoreOptions(strength=0.8, adaptive=1.0)
    shares = [face_share(blurred(pores, sigma), face, options).share for sigma in (0.3, 2, 6)]
    assert shares == sorted(shares) and shares[0] < 0.8 < 1.1 < shares[-1]
    assert face_share(portrait, portrait_face, options).share == pytest.approx(
        1.05, abs=0.1
    )  # sharp, 107 px: in between


def test_how_adaptive_is_a_matter_of_degree(group_photo: Tensor, group_faces: list[Face]) -> None:
    given = [
        [report.strength for report in judge(Request(group_photo, RestoreOptions(adaptive=how)), group_faces)]
        for how in (0.0, 0.5, 1.0)
    ]
    assert given[0] == [0.8] * 29
    assert np.allclose(given[1], np.mean([given[0], given[2]], axis=0))
    assert min(given[2]) > 0.95  # all are small
    reports = judge(Request(group_photo, RestoreOptions(strength=1, adaptive=1)), group_faces)
    assert all(report.strength == 1 for report in reports)  # never more than all
    assert strengths([face_of(50)], adaptive=1.0) == [1.0]
    assert judge(Request(GREY, RestoreOptions(strength=0, adaptive=1)), [face_of(50)])[0].strength == 0


def test_the_report_tells_why(group_photo: Tensor, group_faces: list[Face], tiny_passthrough: Network) -> None:
    options = RestoreOptions(adaptive=1.0, min_face=20, fade_until=100)
    (report,) = FaceRestorer(tiny_passthrough)(group_photo, options, faces=group_faces[:1]).faces
    assert report.detail is not None and 20 < report.detail <= report.size
    assert f"{report.size:.0f} px small: strength x 0." in report.note
    assert f"detail of {report.detail:.0f} px: strength x 1.25" in report.note
    assert report.turn < 20


def test_choices_given_are_taken(tiny_passthrough: Network, group_photo: Tensor, group_faces: list[Face]) -> None:
    """In the order of the faces given, whatever order they are reported in."""
    choices = [Choice(0.5), Choice(0.0, "gone"), Choice(1.0, note="here")]
    faces = group_faces[:3]
    request = Request(group_photo, RestoreOptions(order="size", adaptive=1), faces, choices=choices)
    (result,) = FaceRestorer(tiny_passthrough).each([request])
    told = {report.score: (report.strength, report.reason, report.note) for report in result.faces}
    assert told == {
        faces[0].score: (0.4, "", ""),
        faces[1].score: (0.0, "gone", ""),
        faces[2].score: (0.8, "", "here"),
    }
    assert [report.size for report in result.faces] == sorted((face.size for face in faces), reverse=True)


def test_choices_must_be_one_for_each_face(group_photo: Tensor, group_faces: list[Face]) -> None:
    for faces, seen in ((group_faces[:2], "2 faces"), (None, "no faces")):
        with pytest.raises(ValueError, match=f"1 choices for {seen}; wanted one for each face given"):
            Request(group_photo, faces=faces, choices=[Choice()])


def test_shares_are_a_function_of_face_and_picture(group_photo: Tensor, group_faces: list[Face]) -> None:
    """What smoothing over time rests on: a pixel's noise in the landmarks hardly moves the share."""
    options = RestoreOptions(adaptive=1.0, max_turn=40, fade_until=60)
    rng = np.random.default_rng(2)
    for face, choice in zip(group_faces, choose(group_photo, group_faces, options)):
        shaken = Face(face.box + rng.normal(0, 0.3, 4), face.landmarks + rng.normal(0, 0.3, (5, 2)))
        assert face_share(group_photo, shaken, options).share == pytest.approx(choice.share, abs=0.1)


def test_tracks_come_in_the_order_of_the_reports(portrait: Tensor, portrait_face: Face) -> None:
    right = Face(portrait_face.box + [150, 0, 150, 0], portrait_face.landmarks + [150, 0])
    named = [Choice(1.0, "", track="right"), Choice(1.0, "", track="left")]
    found = [right, portrait_face]
    request = Request(portrait, RestoreOptions(order="left-right"), found, choices=named)
    assert [report.box[0] for report in judge(request, found)] == [portrait_face.box[0], right.box[0]]
    assert tracks(request, found) == ["left", "right"]
