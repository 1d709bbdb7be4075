"""Which face is which, with the faces of a real photo on made-up ways."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
from gpen2048.faces import Face
from gpen2048.tracking.matching import MOST_MISSED, Sighting, link

FACE = Face([100, 100, 180, 200], [[120, 130], [160, 130], [140, 155], [125, 175], [155, 175]])


def _moved(face: Face, x: float, y: float = 0) -> Face:
    return Face(face.box + [x, y, x, y], face.landmarks + [x, y], face.score)


def _link_all(faces: list[list[Face]]) -> list[list[Sighting]]:
    frames = [[Sighting(number, face) for face in found] for number, found in enumerate(faces)]
    for number in range(len(frames)):
        link(frames[: number + 1])
    return frames


def test_29_faces_under_a_pan_keep_their_identities(group_faces: list[Face]) -> None:
    rng = np.random.default_rng(0)
    orders = [rng.permutation(len(group_faces)).tolist() for _ in range(12)]
    frames = _link_all([[_moved(group_faces[n], 8.0 * t) for n in order] for t, order in enumerate(orders)])
    for t, (order, sightings) in enumerate(zip(orders, frames)):
        for number, sighting in zip(order, sightings):
            if t:
                assert sighting.before is frames[t - 1][orders[t - 1].index(number)]


def test_a_missed_detection_is_bridged_at_the_speed_the_face_had() -> None:
    seen = [[_moved(FACE, 20 * t)] if t not in (3, 4, 5) else [] for t in range(8)]
    frames = _link_all(seen)
    assert frames[2][0].after is frames[6][0]  # 80 px further: a face's own width
    still = _link_all([[FACE], [], [_moved(FACE, 75)]])
    assert still[0][0].after is None


def test_a_face_gone_for_long_does_not_come_back() -> None:
    for missed in (MOST_MISSED, MOST_MISSED + 1):
        frames = _link_all([[FACE], *[[]] * missed, [FACE]])
        assert (frames[-1][0].before is frames[0][0]) == (missed == MOST_MISSED)


def test_faces_that_pass_each_other_stay_themselves() -> None:
    left, right = FACE, _moved(FACE, 200)
    seen = [[_moved(left, 10 * t), _moved(right, -10 * t, 20)] for t in range(21)]
    frames = _link_all(seen)
    for (one, other), (next_one, next_other) in pairwise(frames):
        assert one.after is next_one and other.after is next_other


def test_faces_of_other_sizes_and_places_are_strangers() -> None:
    small = Face(FACE.box * 0.5 + 70, FACE.landmarks * 0.5 + 70)
    for other in (small, _moved(FACE, 70), _moved(FACE, 0, 90)):
        frames = _link_all([[FACE], [other]])
        assert frames[0][0].after is None and frames[1][0].before is None


def test_a_chain_reaches_as_far_as_asked() -> None:
    frames = _link_all([[FACE]] * 20)
    assert [s.frame for s in frames[10][0].chain(10, 3)] == list(range(7, 14))
    assert [s.frame for s in frames[0][0].chain(2, 4)] == list(range(7))


def test_a_link_needs_both_a_shared_place_and_landmarks_that_are_near() -> None:
    """A hand before the face, or a detector's slip, moves the one without the other."""
    elsewhere = Face(FACE.box, FACE.landmarks + [60, 0])  # 0.67 face sizes
    apart = Face(FACE.box + [85, 0, 85, 0], FACE.landmarks)
    for other in (elsewhere, apart):
        frames = _link_all([[FACE], [other]])
        assert frames[0][0].after is None
