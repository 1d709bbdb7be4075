"""Which faces are restored."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from gpen2048 import Request
from gpen2048.alignment import face_template
from gpen2048.faces import Face
from gpen2048.judging import judge
from gpen2048.options import RestoreOptions
from gpen2048.selection import ordered, refusals
from torch import Tensor

IMAGE = (200, 300)


def _face(x: float, y: float, side: float) -> Face:
    return Face(np.array([x, y, x + side, y + side]), face_template(int(side)) + [x, y], 0.99)


FACES = [_face(0, 0, 20), _face(130, 80, 40), _face(200, 50, 60), _face(20, 150, 10)]


@pytest.mark.parametrize(
    ("options", "restored"),
    [
        ({}, [0, 1, 2]),
        ({"min_face": 0}, [0, 1, 2, 3]),
        ({"min_face": 30}, [1, 2]),
        ({"select": "largest"}, [2]),
        ({"select": "centre"}, [1]),
        ({"select": "0,2"}, [0, 2]),
        ({"select": [0, 3]}, [0]),
        ({"select": "9"}, []),
        ({"max_faces": 2}, [1, 2]),
        ({"max_faces": 2, "order": "left-right"}, [1, 2]),  # the order numbers faces; the largest are kept by any
        ({"select": "largest", "min_face": 100}, []),
    ],
)
def test_who_is_restored(options: dict[str, Any], restored: list[int]) -> None:
    reasons = refusals(FACES, RestoreOptions(**options), IMAGE)
    assert [number for number, reason in enumerate(reasons) if not reason] == restored


def test_everyone_else_is_told_why() -> None:
    assert refusals(FACES, RestoreOptions(select="largest"), IMAGE) == [
        "not the largest face",
        "not the largest face",
        "",
        "smaller than 16 px",
    ]
    assert refusals([_face(290, 400, 50), _face(-90, 0, 50)], RestoreOptions(), IMAGE) == ["outside the picture"] * 2
    assert refusals(FACES, RestoreOptions(max_faces=1, select="0,1"), IMAGE)[2] == "not selected"
    assert refusals([], RestoreOptions(), IMAGE) == []


@pytest.mark.parametrize(
    ("order", "places"),
    [("found", [0, 1, 2, 3]), ("left-right", [0, 3, 1, 2]), ("size", [2, 1, 0, 3]), ("score", [3, 0, 1, 2])],
)
def test_faces_are_numbered_in_order(order: str, places: list[int]) -> None:
    faces = [Face(f.box, f.landmarks, score) for f, score in zip(FACES, (0.97, 0.96, 0.95, 0.99))]
    assert ordered(faces, order) == places
    assert ordered([], order) == []


def test_numbers_of_a_selection_go_by_the_order(group_photo: Tensor, group_faces: list[Face]) -> None:
    """Of the group of 29: the first from the left, the surest, the largest, the five largest, the middle one."""

    def restored(**options: Any) -> list[int]:
        reports = judge(Request(group_photo, RestoreOptions(**options)), group_faces)
        assert len(reports) == 29
        known = {tuple(face.box): number for number, face in enumerate(group_faces)}
        return [known[tuple(report.box)] for report in reports if report.restored]

    lefts = [float(face.box[0] + face.box[2]) for face in group_faces]
    sizes = [face.size for face in group_faces]
    scores = [face.score for face in group_faces]
    assert restored(select="0", order="left-right") == [int(np.argmin(lefts))]
    assert restored(select="28", order="left-right") == [int(np.argmax(lefts))]
    assert restored(select="0", order="size") == restored(select="largest") == [int(np.argmax(sizes))]
    assert restored(select="0", order="score") == [int(np.argmax(scores))]
    assert restored(select="3,1", order="found") == [1, 3]
    assert restored(order="left-right") == np.argsort(lefts, kind="stable").tolist()
    assert sorted(restored(max_faces=5)) == sorted(np.argsort(sizes)[-5:].tolist())
    least_sure = sorted(scores)[0]
    assert len(restored(min_score=least_sure + 1e-9)) == 28
    (middle,) = restored(select="centre")
    assert abs((lefts[middle] - 1327) / 2) < 60


def test_a_region_is_a_mask_of_any_size(group_photo: Tensor, group_faces: list[Face]) -> None:
    left_half = torch.zeros(568, 1328)
    left_half[:, :664] = 1
    for region in (left_half, left_half[::4, ::8], torch.tensor([[1.0, 0.0]])):
        for report in judge(Request(group_photo, region=region), group_faces):
            assert report.restored == ((report.box[0] + report.box[2]) / 2 < 663.5)
            assert report.restored or report.reason == "outside the region"
    assert "outside the region" in refusals([_face(-15, 10, 20)], RestoreOptions(), IMAGE, torch.ones(9, 9))


def test_of_the_faces_in_the_region_the_largest() -> None:
    region = torch.zeros(20, 30)
    region[:, :18] = 1  # without the largest face
    assert refusals(FACES, RestoreOptions(select="largest"), IMAGE, region).index("") == 1


def test_unsure_faces_are_told_from_others() -> None:
    faces = [_face(0, 0, 20), Face(FACES[1].box, FACES[1].landmarks, 0.5)]
    assert refusals(faces, RestoreOptions(min_score=0.6), IMAGE) == ["", "score below 0.6"]


def test_the_most_central_face_is_not_lost_among_the_largest() -> None:
    """`max_faces` counts what is left."""
    large, middle = _face(10, 10, 60), _face(190, 190, 20)
    options = RestoreOptions(select="centre", max_faces=1)
    assert refusals([large, middle], options, (400, 400)) == ["not the most central face", ""]


def test_a_region_is_what_is_above_a_half_at_the_pixel_of_the_middle() -> None:
    region = torch.tensor([[0.4, 0.6, 1.0, 0.0]])
    for left, wanted in ((0, False), (100, True), (200, True), (300, False), (90, True), (89, False)):
        reasons = refusals([_face(left, 0, 20)], RestoreOptions(min_face=1), (400, 400), region)
        assert (not reasons[0]) == wanted, left
    # Pixel 99.5 ends where pixel 100 begins, and with it the second quarter of 400.
    assert refusals([_face(89, 0, 21)], RestoreOptions(min_face=1), (400, 400), region) == [""]
