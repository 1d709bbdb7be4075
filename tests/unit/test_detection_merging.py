"""Faces, windows and the merging rules on cases small enough to check by hand."""

from __future__ import annotations

import itertools
import math
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
import torch
from gpen2048.detectors.halving import Halvings
from gpen2048.detectors.proposals import Proposals, drop_fragments, hinted, merge, vote
from gpen2048.detectors.windows import OVERLAP, SMALL_OVERLAP, SMALL_TILE, TILE, Window, scales, tiles
from gpen2048.faces import Face
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torchvision.ops import box_iou


def proposals(*boxes: tuple[float, ...], scores: tuple[float, ...] = ()) -> Proposals:
    """Made-up faces with every landmark on the box's first corner."""
    corners = torch.tensor(boxes, dtype=torch.float64).reshape(-1, 4)
    landmarks = corners[:, None, :2].expand(-1, 5, 2)
    chosen = scores or tuple(0.99 - 0.01 * number for number in range(len(boxes)))
    return Proposals(corners, landmarks, torch.tensor(chosen, dtype=torch.float64))


def test_face_size_is_the_side_of_the_square_with_its_area() -> None:
    face = Face(np.array([10, 20, 50, 110]), np.zeros((5, 2)), 0.5)
    assert face.size == 60
    assert face.box.dtype == face.landmarks.dtype == np.float64


@pytest.mark.parametrize(
    "box,landmarks,score,message",
    [
        (np.zeros(3), np.zeros((5, 2)), 1.0, r"box of shape \(3,\); wanted \(4,\)"),
        (np.array([0, 0, 1, 1]), np.zeros((10,)), 1.0, r"landmarks of shape \(10,\); wanted \(5, 2\)"),
        (np.array([0, 0, 1, np.nan]), np.zeros((5, 2)), 1.0, "box .*nan.* is not finite"),
        (np.array([0, 0, 1, 1]), np.full((5, 2), np.inf), 1.0, "landmarks .*inf.* is not finite"),
        (
            np.array([0, 0, 1, 1]),
            np.full((5, 2), -3e5),
            1.0,
            "landmarks .* wanted at most 200000 px",
        ),
        (np.array([5, 0, 5, 1]), np.zeros((5, 2)), 1.0, "is empty"),
        (np.array([0, 0, 1, 1]), np.zeros((5, 2)), math.nan, "score nan"),
    ],
)
def test_a_face_that_cannot_be_is_refused(box: object, landmarks: object, score: float, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Face(box, landmarks, score)  # pyright: ignore[reportArgumentType] the point of the test


def test_merging_keeps_the_surest_of_one_face_and_both_neighbours() -> None:
    one, again, neighbour = (0.0, 0.0, 10.0, 10.0), (1.0, 0.0, 11.0, 10.0), (9.0, 0.0, 19.0, 10.0)
    merged = merge([proposals(again, neighbour, scores=(0.7, 0.8)), proposals(one, scores=(0.9,))])
    assert merged.boxes.tolist() == [list(one), list(neighbour)]
    assert merged.scores.tolist() == [0.9, 0.8]


def test_merging_nothing_gives_nothing() -> None:
    assert merge([]).boxes.shape == (0, 4)
    assert drop_fragments(merge([])).landmarks.shape == (0, 5, 2)


def test_a_fragment_inside_a_face_goes_and_so_does_a_box_around_faces() -> None:
    face, eye, neighbour = (0, 0, 100, 100), (20, 20, 50, 50), (90, 0, 190, 100)
    assert drop_fragments(proposals(face, eye, neighbour)).boxes.tolist() == [list(face), list(neighbour)]
    crowd = (-10, -10, 400, 400)
    assert drop_fragments(proposals(face, neighbour, crowd)).boxes.tolist() == [list(face), list(neighbour)]


def test_a_small_face_half_hidden_behind_a_large_one_stays() -> None:
    large, small = (0, 0, 100, 100), (85, 0, 115, 30)
    assert len(drop_fragments(proposals(large, small)).scores) == 2


def test_voting_is_the_weighted_mean_of_the_same_face() -> None:
    seen = proposals((0, 0, 10, 10), (0, 0, 14, 10), (0, 0, 10, 10), (100, 0, 110, 10), scores=(0.9, 0.6, 0.2, 0.99))
    seen = Proposals(*(part[None] for part in seen))
    found = vote(seen, torch.tensor([[0.0, 0.0, 11.0, 10.0]]).double(), threshold=0.5)
    torch.testing.assert_close(found.boxes, torch.tensor([[0, 0, (0.9 * 10 + 0.6 * 14) / 1.5, 10]]).double())
    assert found.scores.tolist() == [0.9]


def test_voting_without_voters_scores_zero_even_beside_infinite_boxes() -> None:
    seen = proposals((-math.inf, 0, math.inf, 10), (100, 0, 110, 10))
    found = vote(Proposals(*(part[None] for part in seen)), torch.tensor([[0.0, 0.0, 10.0, 10.0]]).double(), 0.5)
    assert found.scores.tolist() == [0]
    assert found.boxes.isfinite().all()


SHAPES = [(1, 1), (20, 20), (128, 129), (568, 1328), (3000, 4000), (700, 16000), (16000, 1), (9000, 12000)]


@pytest.mark.parametrize("height,width", SHAPES)
@pytest.mark.parametrize("smallest", [5, 20, 77.7, 400])
def test_windows_form_a_pyramid_from_the_smallest_face_to_the_whole_image(
    height: int, width: int, smallest: float
) -> None:
    found = scales(height, width, smallest)
    for scale, small in itertools.product(found, (False, True)):
        for window in tiles(height, width, scale, small=small):
            reduced = 2**window.halved
            assert 0 <= window.x0 < window.x1 <= -(-width // reduced)
            assert 0 <= window.y0 < window.y1 <= -(-height // reduced)
            assert max(window.shape) <= (SMALL_TILE if small else TILE)
            assert window.scale / reduced == pytest.approx(scale) and window.scale > 0.5
    assert all(fine == 2 * coarse for coarse, fine in pairwise(found))
    assert min(1, 30 / smallest) <= found[-1] <= min(1.5, 30 / smallest)
    assert min(height, width) * found[0] <= OVERLAP


@pytest.mark.parametrize("height", [200, 1536, 1537, 2945, 5000, 15999])
@pytest.mark.parametrize("small", [False, True])
def test_a_face_as_large_as_the_overlap_is_whole_in_a_tile(height: int, small: bool) -> None:
    for scale in scales(height, 300, 20):
        windows = tiles(height, 300, scale, small=small)
        spans = [(window.y0, window.y1) for window in windows]
        face = min((SMALL_OVERLAP if small else OVERLAP) / windows[0].scale, spans[-1][1])
        for start in np.linspace(0, spans[-1][1] - face, 997):
            assert any(y0 <= start + 1e-6 and start + face <= y1 + 1e-6 for y0, y1 in spans)


def test_large_faces_are_left_to_coarser_levels_but_for_the_coarsest() -> None:
    for small, overlap in ((False, OVERLAP), (True, SMALL_OVERLAP)):
        for window in tiles(3000, 4000, 0.3, small=small):
            assert window.largest * window.scale == pytest.approx(2 * overlap)
    assert tiles(3000, 4000, 0.03, all_sizes=True)[0].largest == math.inf


def test_the_view_and_its_coordinates_agree() -> None:
    """The centre of a bright square, measured in the view and mapped back, is where it was drawn."""
    image = torch.zeros(1, 200, 300)
    image[:, 90:110, 140:160] = 1  # centre of mass at pixel (149.5, 99.5)
    for scale in (0.13, 0.5, 0.77, 1, 1.5, 2.3):
        window = Window(101, 52, 211, 151, scale)
        view = window.view(Halvings(image))[0].double()
        assert view.shape == window.shape
        y, x = (torch.arange(length).double() + 0.5 for length in view.shape)  # from the view's corner
        centre = torch.stack(((view.sum(0) * x).sum(), (view.sum(1) * y).sum())) / view.sum()
        expected = torch.tensor([149.5, 99.5]).double()
        torch.testing.assert_close(window.to_image(centre), expected, rtol=0, atol=0.2)


def test_a_view_of_a_halved_copy_agrees_too() -> None:
    image = torch.zeros(1, 201, 301)
    image[:, 90:110, 140:160] = 1
    window = Window(25, 13, 53, 38, 0.8, halved=2)
    view = window.view(Halvings(image))[0].double()
    y, x = (torch.arange(length).double() + 0.5 for length in view.shape)
    centre = torch.stack(((view.sum(0) * x).sum(), (view.sum(1) * y).sum())) / view.sum()
    torch.testing.assert_close(window.to_image(centre), torch.tensor([149.5, 99.5]).double(), rtol=0, atol=0.2)
    assert window.holds(torch.tensor([[149.5, 99.5]])) and not window.holds(torch.tensor([[99.0, 99.5]]))


def test_shrinking_does_not_alias() -> None:
    checkerboard = (torch.arange(400)[:, None] + torch.arange(400)) % 2
    view = Window(0, 0, 400, 400, 0.26).view(Halvings(checkerboard[None].float()))
    assert (view - 0.5).abs().max() < 2 / 255


def test_a_large_face_without_a_hint_is_none() -> None:
    found = proposals((0, 0, 50, 50), (100, 0, 150, 50), (200, 0, 230, 30))
    hints = proposals((3, 2, 55, 51), (130, 0, 180, 50), scores=(0.03, 0.03))
    assert hinted(found, hints, 40).boxes[:, 0].tolist() == [0, 200]
    assert hinted(found, proposals(), 40).boxes[:, 0].tolist() == [200]
    assert len(hinted(proposals(), hints, 40).scores) == 0


class Largest(TorchDispatchMode):
    """Keeps how many elements the largest tensor has that is made meanwhile."""

    elements = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        results = func(*args, **(kwargs or {}))
        if isinstance(results, Tensor):
            self.elements = max(self.elements, results.numel())
        return results


def test_a_crowds_hints_take_little_memory() -> None:
    generator = torch.Generator().manual_seed(7)

    def boxes(count: int) -> Proposals:
        corner = torch.rand(count, 2, generator=generator, dtype=torch.float64) * 3000
        sides = 30 + 40 * torch.rand(count, 1, generator=generator, dtype=torch.float64)
        return proposals(*torch.cat((corner, corner + sides), dim=1).tolist(), scores=(0.5,) * count)

    found, hints = boxes(2000), boxes(3000)
    small = (found.boxes[:, 2:] - found.boxes[:, :2]).prod(dim=1).sqrt() < 40
    wanted = small | (box_iou(found.boxes, hints.boxes) > 0.4).any(dim=1)
    assert 500 < wanted.sum() < 1900
    with Largest() as seen:
        assert torch.equal(hinted(found, hints, 40).boxes, found.boxes[wanted])
    assert 0 < seen.elements <= 64 * 3000 * 2
