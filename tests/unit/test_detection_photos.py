"""The real detector on real photos. Needs RetinaFace's weights, which are not ours to ship."""

from __future__ import annotations

import json
import os
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
import torch.nn.functional as F
from gpen2048.detection import FaceDetector, load_detector
from gpen2048.detectors.retinaface import anchor_boxes, decode_boxes, decode_landmarks, network_input
from gpen2048.detectors.tilting import turned, view_size
from gpen2048.faces import Face
from gpen2048.geometry.resampling import lanczos_resize, warp
from numpy.typing import NDArray
from torch import Tensor
from torchvision.ops import box_iou, nms

PROJECT = Path(__file__).resolve().parents[2]
FILES = ("detection_Resnet50_Final.pth", "detection_mobilenet0.25_Final.pth")
FOLDERS = (PROJECT / "weights", PROJECT.parent / "shared" / "data")
PHOTO = PROJECT / "tests" / "data" / "solvay-1927.png"
GOLDEN = json.loads((PROJECT / "tests" / "golden" / "alignment.json").read_text())["faces"]
GOLDEN_BOXES = np.array([face["box"] for face in GOLDEN])
GOLDEN_LANDMARKS = np.array([face["landmarks"] for face in GOLDEN])


@pytest.fixture(scope="module")
def detector() -> FaceDetector:
    named = os.environ.get("GPEN_DETECTOR")
    paths = [Path(named)] if named else [folder / file for folder in FOLDERS for file in FILES]
    for path in paths:
        if named or path.exists():
            return load_detector(path)
    pytest.skip(f"needs {' or '.join(FILES)} in weights/, or its path in GPEN_DETECTOR")


def pixels(array: NDArray[np.uint8]) -> Tensor:
    """(H, W, 3) uint8 to (3, H, W) float32."""
    return torch.from_numpy(array.copy()).permute(2, 0, 1).float() / 255


def solvay() -> NDArray[np.uint8]:
    return np.asarray(cv2.cvtColor(cv2.imread(str(PHOTO)), cv2.COLOR_BGR2RGB), dtype=np.uint8)


def astronaut() -> Tensor:
    return pixels(pytest.importorskip("skimage.data", reason="needs scikit-image for its portrait").astronaut())


def resized(image: Tensor, height: int, width: int) -> Tensor:
    return F.interpolate(image[None], size=(height, width), mode="bilinear", antialias=True)[0]


def check_group(faces: list[Face], scale: float = 1.0, offset: tuple[float, float] = (0, 0)) -> None:
    """Each golden face once, nothing else; overlaps and landmarks to what RetinaFace varies by from size to size."""
    expected = torch.tensor(GOLDEN_BOXES * scale + np.tile(offset, 2) - 0.5)  # golden pixels count from the corner
    overlaps, index = box_iou(torch.tensor(np.stack([face.box for face in faces])), expected).max(dim=1)
    assert len(faces) == 29 and sorted(index.tolist()) == list(range(29))
    assert overlaps.min() > 0.6
    landmarks = GOLDEN_LANDMARKS[index.numpy()] * scale + offset - 0.5
    errors = [eye_errors(face, points) for face, points in zip(faces, landmarks)]
    assert np.mean(errors) < 0.1


def eye_errors(face: Face, landmarks: NDArray[np.float64]) -> NDArray[np.float64]:
    """Distance of each landmark from where it should be, in eye distances."""
    return np.linalg.norm(face.landmarks - landmarks, axis=1) / np.linalg.norm(landmarks[0] - landmarks[1])


def test_input_and_decoding_give_the_golden_faces(detector: FaceDetector) -> None:
    """The golden faces are the plain network's, on the photo shrunk to 1280 px, in px from the image's corner."""
    if detector.kind != "retinaface_mobile0.25":
        pytest.skip(f"golden faces are those of retinaface_mobile0.25, this is {detector.kind}")
    scale = 1280 / 1328
    shrunk = cv2.resize(solvay(), None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    view = network_input(pixels(np.asarray(shrunk, dtype=np.uint8)))
    with torch.inference_mode():
        offsets, scores, points = (output[0] for output in detector.network(view[None]))
    anchors = anchor_boxes(*view.shape[1:])
    boxes, landmarks = decode_boxes(offsets, anchors) / scale, decode_landmarks(points, anchors) / scale
    sure = (scores[:, 1] > 0.9).nonzero()[:, 0]
    kept = sure[nms(boxes[sure], scores[sure, 1], 0.4)]
    np.testing.assert_allclose(boxes[kept].numpy(), GOLDEN_BOXES, atol=0.01)
    np.testing.assert_allclose(landmarks[kept].numpy(), GOLDEN_LANDMARKS, atol=0.01)


def test_group_photo(detector: FaceDetector) -> None:
    faces = detector(pixels(solvay()))
    check_group(faces)
    scores = [face.score for face in faces]
    assert scores == sorted(scores, reverse=True) and scores[-1] >= 0.9


def test_group_photo_mirrored(detector: FaceDetector) -> None:
    """Pins the half pixel: counting from the centre of the first pixel instead of its edge gives 0.5 px here."""
    image = pixels(solvay())
    faces, mirrored = detector(image), detector(image.flip(2))
    points = np.stack([face.landmarks[[1, 0, 2, 4, 3]] for face in mirrored])
    points[..., 0] = image.shape[2] - 1 - points[..., 0]
    nearest = [int(np.abs(points - face.landmarks).sum((1, 2)).argmin()) for face in faces]
    offsets = np.stack([face.landmarks for face in faces]) - points[nearest]
    assert np.abs(offsets.mean((0, 1))).max() < 0.3


def test_group_photo_with_faces_of_20_px(detector: FaceDetector) -> None:
    scale = 0.465
    image = pixels(solvay())
    small = resized(image, round(568 * scale), round(1328 * scale))
    check_group(detector(small), small.shape[2] / 1328)


@pytest.mark.parametrize("grain", [3, 4])
def test_group_photo_enlarged_with_grain(detector: FaceDetector, grain: int) -> None:
    """Enlarged grain looks like a face to RetinaFace in close-ups, but not at half the size."""
    large = lanczos_resize(pixels(solvay()), 2, (1136, 2656)).clamp(0, 1)
    noise = torch.randn(large.shape, generator=torch.Generator().manual_seed(120 + grain))
    check_group(detector((large + grain / 255 * noise).clamp(0, 1)), 2)


def test_group_photo_in_a_canvas_of_16000_px(detector: FaceDetector) -> None:
    canvas = torch.full((3, 700, 16000), 0.4)
    canvas[:, 60:628, 8000:9328] = pixels(solvay())
    check_group(detector(canvas), offset=(8000, 60))


@pytest.mark.parametrize("height", [256, 1500, 4000])
def test_close_up_of_any_size(detector: FaceDetector, height: int) -> None:
    """A head that fills the picture: one face, its landmarks where they are in the whole photo of 512 px."""
    portrait = astronaut()
    (reference,) = detector(portrait)
    x0, y0, side = 130, 10, 200
    scale = height / side
    (face,) = detector(resized(portrait[:, y0 : y0 + side, x0 : x0 + side], height, height))
    errors = eye_errors(face, (reference.landmarks + 0.5 - [x0, y0]) * scale - 0.5)
    assert errors.max() < 0.06


def test_face_larger_than_4000_px(detector: FaceDetector) -> None:
    """Chin and hair cut off, 4300 px of face."""
    portrait = astronaut()
    (reference,) = detector(portrait)
    x0, y0, width, height = 172, 60, 110, 120
    (face,) = detector(resized(portrait[:, y0 : y0 + height, x0 : x0 + width], height * 40, width * 40))
    assert face.size > 4000
    assert eye_errors(face, (reference.landmarks + 0.5 - [x0, y0]) * 40 - 0.5).max() < 0.12


def test_face_at_the_border(detector: FaceDetector) -> None:
    portrait = astronaut()
    (reference,) = detector(portrait)
    x0, y0 = 190, 85  # through the temple, and just above the brows
    faces = detector(portrait[:, y0:, x0:])
    assert len(faces) == 1
    assert eye_errors(faces[0], reference.landmarks - [x0, y0]).max() < 0.12


@pytest.mark.parametrize("shape", [(1, 1), (3, 2000), (600, 800)])
@pytest.mark.parametrize("name", ["black", "white", "noise"])
def test_pictures_of_nothing(detector: FaceDetector, shape: tuple[int, int], name: str) -> None:
    noise = torch.rand(3, *shape, generator=torch.Generator().manual_seed(0))
    image = {"black": torch.zeros(3, *shape), "white": torch.ones(3, *shape), "noise": noise}[name]
    assert detector(image) == []


@pytest.mark.parametrize("name", ["chelsea", "coffee"])
def test_a_cat_and_a_cup_are_no_faces(detector: FaceDetector, name: str) -> None:
    data = pytest.importorskip("skimage.data", reason="needs scikit-image for its photos")
    assert detector(pixels(getattr(data, name)())) == []


@pytest.mark.parametrize("tilt", [-25, -10, 10, 25])
def test_landmarks_do_not_depend_on_the_tilt(detector: FaceDetector, tilt: int) -> None:
    """Before close-ups were turned they were off by 0.05 of the eye distance at 10 degrees and by 0.11 at 25."""
    image = pixels(solvay())
    height, width = image.shape[1:]
    to_image = turned(tilt, (height, width), view_size(height, width, tilt))
    tilted = warp(image, to_image, view_size(height, width, tilt), limits=(0, 1))
    wanted = np.array([face.landmarks for face in detector(image)])
    apart: list[float] = []
    for face in detector(tilted):
        landmarks = face.landmarks @ to_image[:, :2].T + to_image[:, 2]
        distances = np.abs(wanted - landmarks).max(axis=(1, 2)) / np.linalg.norm(landmarks[1] - landmarks[0])
        if distances.min() < 0.5:  # none of those that warp mirrors into the corners
            apart.append(float(distances.min()))
    assert len(apart) >= (len(wanted) if abs(tilt) == 10 else 25)
    assert np.mean(apart) < 0.03 and np.max(apart) < 0.13
