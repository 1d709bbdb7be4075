"""The detector's geometry and rules, on a stand-in network that finds coloured squares as RetinaFace finds faces.

Like RetinaFace it knows only a range of sizes: it overlooks squares below 20 px and falls for parts of those above 400.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch
from facexlib.detection.retinaface_utils import encode, encode_landm
from gpen2048.cancelling import cancellable
from gpen2048.detection import FaceDetector
from gpen2048.detectors.retinaface import MEAN_BGR, anchor_boxes
from gpen2048.detectors.windows import TILE
from gpen2048.faces import Face
from numpy.typing import NDArray
from scipy import ndimage
from torch import Tensor, nn

LANDMARKS = np.array([[0.3, 0.4], [0.7, 0.4], [0.5, 0.6], [0.35, 0.8], [0.65, 0.8]])  # of a square's side
SMALLEST_KNOWN, LARGEST_KNOWN = 20, 400


class SquareNetwork(nn.Module):
    """Finds squares that are red on black; how sure it is, is how red they are."""

    def __init__(self) -> None:
        super().__init__()
        self.shapes: list[tuple[int, ...]] = []
        self.inference: list[bool] = []

    def forward(self, views: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        self.shapes.append(tuple(views.shape))
        self.inference.append(torch.is_inference_mode_enabled())
        outputs = [self._find((view + torch.tensor(MEAN_BGR)[:, None, None])[2].numpy() / 255) for view in views]
        boxes, scores, landmarks = (torch.stack(parts) for parts in zip(*outputs))
        return boxes, torch.stack((1 - scores, scores), dim=-1), landmarks

    def _find(self, red: NDArray[np.float32]) -> tuple[Tensor, Tensor, Tensor]:
        anchors = anchor_boxes(*red.shape)
        boxes, landmarks = torch.zeros(len(anchors), 4), torch.zeros(len(anchors), 10)
        scores = torch.zeros(len(anchors))
        # Beyond an image lies the mean colour, 0.48: no red.
        for rows, columns in ndimage.find_objects(ndimage.label(red > 0.55)[0]):
            score = float(red[rows, columns].max())
            for x0, y0, x1, y1 in _known(columns.start, rows.start, columns.stop, rows.stop):
                centre = torch.tensor([(x0 + x1) / 2, (y0 + y1) / 2])
                side = max(x1 - x0, y1 - y0)
                nearest = ((anchors[:, :2] - centre).abs().sum(1) + (anchors[:, 2] - side).abs()).argmin()
                anchor = anchors[nearest : nearest + 1]
                points = torch.tensor(LANDMARKS * [x1 - x0, y1 - y0] + [x0, y0], dtype=torch.float32)
                boxes[nearest] = encode(torch.tensor([[x0, y0, x1, y1]]), anchor, [0.1, 0.2])[0]
                landmarks[nearest] = encode_landm(points.reshape(1, 10), anchor, [0.1, 0.2])[0]
                scores[nearest] = score
        return boxes, scores, landmarks


def _known(x0: float, y0: float, x1: float, y1: float) -> list[tuple[float, ...]]:
    side = max(x1 - x0, y1 - y0)
    if side < SMALLEST_KNOWN:
        return []
    if side <= LARGEST_KNOWN:
        return [(x0, y0, x1, y1)]
    middle = (x0 + x1) / 2
    return [(x0, y0, middle, y1), (middle, y0, x1, y1)]


def picture(height: int, width: int, *squares: tuple[int, int, int], red: float = 0.99) -> Tensor:
    """Black, with a red square of `side` px at each x, y."""
    image = torch.zeros(3, height, width)
    for x, y, side in squares:
        image[0, max(y, 0) : y + side, max(x, 0) : x + side] = red
    return image


def detector() -> FaceDetector:
    return FaceDetector(SquareNetwork(), "squares")


@pytest.mark.parametrize("passes", [0, 1, 4])
def test_a_host_may_stop_it_before_any_pass(passes: int) -> None:
    found, left = detector(), passes

    def check(what: str) -> None:
        nonlocal left
        left -= what == "finding faces"  # and not "compiling", at first
        if left < 0:
            raise KeyError

    with pytest.raises(KeyError), cancellable(check):
        found(picture(500, 700, (100, 120, 60)))
    assert isinstance(found.network, SquareNetwork) and len(found.network.shapes) == passes


def check(faces: list[Face], *squares: tuple[int, int, int]) -> None:
    """Each square is found once, nothing else, to 4 % of its side and half a pixel."""
    assert len(faces) == len(squares), [face.box.round().tolist() for face in faces]
    for x, y, side in squares:
        expected = np.array([x, y, x + side, y + side]) - 0.5  # outer edges, when pixel centres are integers
        face = min(faces, key=lambda found: float(np.abs(found.box - expected).max()))
        bound = 0.5 + 0.04 * side
        assert np.abs(face.box - expected).max() <= bound
        assert np.abs(face.landmarks - (LANDMARKS * side + [x - 0.5, y - 0.5])).max() <= bound


@pytest.mark.parametrize("side", [20, 30, 47, 64, 100, 150, 200, 256, 300, 400, 512, 700, 1000, 1500, 2000])
def test_a_face_of_any_size_is_found_once(side: int) -> None:
    square = (117, 61, side)
    check(detector()(picture(side + 100, side + 400, square)), square)


def test_faces_of_all_sizes_are_found_in_one_picture() -> None:
    squares = ((40, 30, 32), (100, 50, 45), (300, 200, 130), (700, 300, 600), (1500, 100, 1350), (3000, 1000, 1000))
    check(detector()(picture(2100, 4100, *squares)), *squares)


def test_a_face_fills_the_picture() -> None:
    check(detector()(picture(4000, 4000, (20, 20, 3960))), (20, 20, 3960))


def test_a_wide_picture_is_seen_in_tiles_and_no_seam_loses_or_doubles_a_face() -> None:
    squares = tuple((x, 20 + x % 300, 60 + x % 90) for x in range(100, 15800, 331))
    found = detector()
    check(found(picture(600, 16000, *squares)), *squares)
    assert isinstance(found.network, SquareNetwork)
    assert max(max(shape[2:]) for shape in found.network.shapes) <= TILE


def test_a_face_cut_by_the_border_is_reported_where_it_shows() -> None:
    (face,) = detector()(picture(300, 300, (-40, 100, 100)))
    np.testing.assert_allclose(face.box, [-0.5, 99.5, 59.5, 199.5], atol=3)


def test_faces_come_surest_first_and_none_below_the_threshold() -> None:
    image = picture(200, 600, (50, 50, 80), red=0.92)
    image += picture(200, 600, (250, 50, 80), red=0.98)
    image += picture(200, 600, (450, 50, 80), red=0.8)
    assert [round(face.score, 2) for face in detector()(image)] == [0.98, 0.92]
    assert [round(face.score, 2) for face in detector()(image, threshold=0.7)] == [0.98, 0.92, 0.8]
    assert detector()(image, threshold=0.99) == []


@pytest.mark.parametrize("height,width", [(1, 1), (1, 500), (500, 1), (300, 400)])
def test_no_face_is_an_empty_list(height: int, width: int) -> None:
    assert detector()(torch.zeros(3, height, width)) == []


def _seen(image: Tensor, smallest: float = 20) -> float:
    """Pixels that the network is shown to find the one face."""
    found = detector()
    check(found(image, smallest=smallest), (500, 500, 300))
    assert isinstance(found.network, SquareNetwork)
    return sum(float(np.prod(shape)) / 3 for shape in found.network.shapes)


def _grain(height: int, width: int) -> Tensor:
    return 0.3 * torch.rand(3, height, width, generator=torch.Generator().manual_seed(1))


def test_not_looking_for_small_faces_saves_most_of_the_work() -> None:
    image = picture(2000, 3000, (500, 500, 300)) + _grain(2000, 3000)
    assert _seen(image.clamp(0, 1), smallest=160) < _seen(image.clamp(0, 1)) / 3


def test_a_picture_without_detail_is_seen_in_small_only() -> None:
    """6 MP of which all but the square's edge is smooth; of a grainy one, half the size is looked at."""
    image = picture(2000, 3000, (500, 500, 300))
    assert _seen(image) < 1.5e6
    assert 1.5e6 < _seen((image + _grain(2000, 3000)).clamp(0, 1)) < 4e6


def test_it_leaves_no_trace_and_works_in_inference_mode() -> None:
    image = picture(300, 300, (100, 100, 80)).requires_grad_()
    before = image.detach().clone()
    found = detector()
    (face,) = found(image)
    assert isinstance(found.network, SquareNetwork) and all(found.network.inference)
    assert not torch.is_inference_mode_enabled() and torch.equal(image, before)
    assert face.box.dtype == face.landmarks.dtype == np.float64


def test_calls_at_the_same_time_do_not_disturb_each_other() -> None:
    squares = [((30 + 20 * number, 40, 60 + number), (400, 100 + 10 * number, 90)) for number in range(6)]
    images = [picture(400 + number, 600, *each) for number, each in enumerate(squares)]
    found = detector()
    with ThreadPoolExecutor(3) as pool:
        for faces, each in zip(pool.map(found, images), squares):
            check(faces, *each)


@pytest.mark.parametrize(
    "image,message",
    [
        (torch.zeros(1, 3, 8, 8), r"shape \(1, 3, 8, 8\)"),
        (torch.zeros(8, 8, 3), r"shape \(8, 8, 3\)"),
        (torch.zeros(3, 0, 8), r"shape \(3, 0, 8\)"),
        (torch.zeros(3, 8, 8, dtype=torch.uint8), "torch.uint8"),
    ],
)
def test_what_is_no_image_is_refused(image: Tensor, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        detector()(image)


@pytest.mark.parametrize("name,value", [("threshold", 0.0), ("threshold", 1.5), ("threshold", np.nan), ("smallest", 0)])
def test_limits_out_of_range_are_refused(name: str, value: float) -> None:
    with pytest.raises(ValueError, match=f"{name}.*{value}.*wanted more than 0"):
        detector()(torch.zeros(3, 8, 8), **{name: value})
