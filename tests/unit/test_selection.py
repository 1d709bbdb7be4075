"""Which faces are restored."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from gpen2048.alignment import face_template
from gpen2048.faces import Face
from gpen2048.options import RestoreOptions
from gpen2048.selection import refusals

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
