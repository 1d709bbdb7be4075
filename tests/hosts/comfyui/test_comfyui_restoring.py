"""Restore Faces: pixels, batches, choice of faces."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from gpen2048 import Face, FaceRestorer, RestoreOptions, load_network, read_image
from gpen2048.cli import main
from torch import Tensor


def restore(nodes: dict[str, Any], image: Tensor, model: Any, **inputs: Any) -> tuple[Tensor, Tensor, Any, Any]:
    image, mask, faces, report = nodes["GPENRestoreFaces"].execute(image, model, **inputs).args
    return image, mask, faces, json.loads(report)


def test_every_frame_is_as_the_runtime_restores_it(
    nodes: dict[str, Any], model: Any, photos: Tensor, bboxes: Any, network_file: Path
) -> None:
    before = photos.clone()
    image, mask, faces, report = restore(nodes, photos, model, bboxes=bboxes)
    restorer = FaceRestorer(load_network(network_file))
    for number, boxes in enumerate(bboxes):
        found = [Face([b["x"], b["y"], b["x"] + 40, b["y"] + 40], b["landmarks"]) for b in boxes]
        wanted = restorer(photos[number].movedim(-1, 0).contiguous(), RestoreOptions(), faces=found)
        assert torch.equal(image[number], wanted.image.movedim(0, -1))
        assert torch.equal(mask[number], wanted.mask)
    assert torch.equal(image[1], photos[1]) and mask[1].sum() == 0  # no face: unchanged
    assert torch.equal(photos, before)
    assert [tuple(face.shape) for face in faces] == [(1, 64, 64, 3)] * 3
    assert [len(frame["faces"]) for frame in report["frames"]] == [2, 0, 1]
    assert all(face["restored"] for frame in report["frames"] for face in frame["faces"])


@pytest.mark.parametrize("scale", ["1", "2"])
def test_pixels_equal_the_command_lines(
    nodes: dict[str, Any], model: Any, photo_path: Path, network_file: Path, tmp_path: Path, scale: str
) -> None:
    landmarks = [[400, 220], [416, 219], [408, 229], [402, 238], [415, 237]]
    (tmp_path / "faces.json").write_text(json.dumps([{"landmarks": landmarks, "box": [388, 200, 428, 250]}]))
    output = tmp_path / "out.png"
    arguments = ["--network", network_file, "--landmarks", tmp_path / "faces.json", "--scale", scale]
    assert main([str(a) for a in ("restore", photo_path, "-o", output, *arguments, "--device", "cpu")]) == 0
    photo = read_image(photo_path).pixels.movedim(0, -1)[None]
    place = {"x": 388, "y": 200, "width": 40, "height": 50, "landmarks": landmarks}
    image, *_ = restore(nodes, photo, model, bboxes=[[place]], scale=scale)
    difference = (image[0] - read_image(output).pixels.movedim(0, -1)).abs().max()
    assert difference <= 1 / 255
    assert scale != "1" or not torch.equal(image, photo)


def test_alpha_grey_and_half_precision(nodes: dict[str, Any], model: Any, photos: Tensor, bboxes: Any) -> None:
    alpha = torch.rand(3, 90, 120, 1)
    image, *_ = restore(nodes, torch.cat((photos, alpha), dim=-1), model, bboxes=bboxes)
    assert image.shape == (3, 90, 120, 4) and torch.equal(image[..., 3:], alpha)
    image, *_ = restore(nodes, torch.cat((photos, alpha), dim=-1), model, bboxes=bboxes, scale="2")
    assert image.shape == (3, 180, 240, 4)
    image, *_ = restore(nodes, photos[..., :1], model, bboxes=bboxes)
    assert image.shape == photos.shape
    image, *_ = restore(nodes, photos.half(), model, bboxes=bboxes)
    assert torch.equal(image[1].half(), photos[1].half())
    with pytest.raises(Exception, match="wanted \\(frames"):
        restore(nodes, photos[0], model, bboxes=bboxes)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_pixel_that_is_no_number_spreads_no_further(
    nodes: dict[str, Any], model: Any, photos: Tensor, bboxes: Any, value: float, caplog: pytest.LogCaptureFixture
) -> None:
    black, broken = photos.clone(), photos.clone()
    black[1, 30, 40], broken[1, 30, 40] = (0 if value != value else 1), value
    wanted, *_ = restore(nodes, black, model, bboxes=bboxes, scale="2")
    image, *_ = restore(nodes, broken, model, bboxes=bboxes, scale="2")
    assert torch.equal(image, wanted)
    assert caplog.text.count("frame 1 of 3 (the first is 0): some pixels are no numbers") == 1
    assert broken[1, 30, 40].isfinite().logical_not().all()  # the host's own image is as it was


def test_auto_gives_all_frames_one_size(nodes: dict[str, Any], model: Any, photos: Tensor) -> None:
    points = [[50, 40], [56, 40], [53, 44], [51, 47], [55, 47]]
    small = {"x": 40.0, "y": 30.0, "width": 24.0, "height": 24.0, "landmarks": points}
    image, _, _, report = restore(nodes, photos, model, bboxes=[[], [small], []], scale="auto")
    scales = {frame["scale"] for frame in report["frames"]}
    assert len(scales) == 1 and 1 < scales.pop() <= 4 and image.shape[1] > 90


def test_a_box_without_a_score_counts_and_one_with_another_thing_is_named(
    nodes: dict[str, Any], model: Any, photos: Tensor, bboxes: Any
) -> None:
    box = bboxes[0][0]
    _, _, _, report = restore(nodes, photos[:1], model, bboxes=[[{**box, "score": None}]])
    assert report["frames"][0]["faces"][0]["score"] == 1
    with pytest.raises(Exception, match="a bounding box has score 'high'; wanted a number"):
        restore(nodes, photos[:1], model, bboxes=[[{**box, "score": "high"}]])


def test_mask_and_boxes_choose_faces(nodes: dict[str, Any], model: Any, photos: Tensor, bboxes: Any) -> None:
    mask = torch.zeros(1, 9, 12)
    mask[:, :, :6] = 1  # the left half, at a tenth of the size
    _, _, _, report = restore(nodes, photos, model, bboxes=bboxes, mask=mask)
    told = [[(f["restored"], f["reason"]) for f in frame["faces"]] for frame in report["frames"]]
    assert told == [[(True, ""), (False, "outside the mask")], [], [(False, "outside the mask")]]


def test_numbers_count_faces_outside_the_mask_too(
    nodes: dict[str, Any], model: Any, photos: Tensor, bboxes: Any
) -> None:
    """Detect Faces numbers them without the mask, and `select` means its numbers."""
    mask = torch.zeros(1, 9, 12)
    mask[:, :, 6:] = 1  # the right half: face 1
    for select, restored in {"0": [False, False], "1": [False, True], "all": [False, True]}.items():
        _, _, _, report = restore(nodes, photos[:1], model, bboxes=bboxes[:1], mask=mask, select=select)
        assert [face["restored"] for face in report["frames"][0]["faces"]] == restored


@pytest.mark.parametrize("select", ["all", "1", "largest"])
def test_scale_auto_goes_by_the_faces_that_are_restored(
    nodes: dict[str, Any], model: Any, photos: Tensor, select: str
) -> None:
    points = torch.tensor([[0.3, 0.4], [0.7, 0.4], [0.5, 0.6], [0.35, 0.8], [0.65, 0.8]])
    sizes = {(10.0, 30.0): 12, (70.0, 30.0): 20}  # the smaller one would be enlarged more
    faces = [
        {"x": x, "y": y, "width": size, "height": size, "landmarks": (points * size + torch.tensor([x, y])).tolist()}
        for (x, y), size in sizes.items()
    ]
    mask = torch.zeros(1, 9, 12)
    mask[:, :, 6:] = 1
    _, _, _, alone = restore(nodes, photos[:1], model, bboxes=[faces[1:]], scale="auto")
    for frames in (1, 3):
        boxes = [faces, *[[]] * (frames - 1)]
        _, _, _, report = restore(
            nodes, photos[:frames], model, bboxes=boxes, mask=mask, scale="auto", select=select, min_face=0
        )
        assert [frame["scale"] for frame in report["frames"]] == [alone["frames"][0]["scale"]] * frames
        assert report["frames"][0]["faces"][1]["restored"] and 1 < report["frames"][0]["scale"] < 4


class Detector:
    kind = "stand-in"

    def __init__(self, *faces: Face):
        self.faces = list(faces)
        self.network = torch.nn.Identity()
        self.seen: list[tuple[int, ...]] = []

    def __call__(self, image: Tensor, threshold: float, *, smallest: float = 20.0) -> list[Face]:
        self.network(image)
        self.seen.append(tuple(image.shape[1:]))
        self.smallest = smallest
        return self.faces

    def memory_required(self, height: int, width: int, *, max_tilt: float = 0) -> int:
        return height * width * (10**6 if max_tilt else 1)


def test_foreign_boxes_choose_among_the_faces_found(
    nodes: dict[str, Any], pack: Any, model: Any, photos: Tensor, bboxes: Any
) -> None:
    own = pack("shared.gpen2048").Face
    found = [own([b["x"], b["y"], b["x"] + 40, b["y"] + 40], b["landmarks"]) for b in bboxes[0]]
    model.detector = Detector(*found)
    model.others["detector"] = pack("comfyui_gpen.model").managed(model.detector.network)
    around = {"x": 60, "y": 10, "width": 60, "height": 70}
    for given in (around, [around], [[around]]):
        _, _, _, report = restore(nodes, photos[:1], model, bboxes=given)
        assert [f["reason"] for f in report["frames"][0]["faces"]] == ["outside the bounding boxes", ""]
    with pytest.raises(ValueError, match="for 2 frames; the image has 3"):
        restore(nodes, photos, model, bboxes=[[around], []])


@pytest.fixture
def detecting(pack: Any, model: Any) -> Detector:
    """A detector, in the model, that finds three faces in every picture, the surest first."""
    own = pack("shared.gpen2048").Face
    boxes = {(60, 30, 80, 50): 0.99, (10, 20, 50, 60): 0.98, (90, 50, 119, 89): 0.97}
    model.detector = Detector(*(own(box, landmarks_in(*box), score) for box, score in boxes.items()))
    model.others["detector"] = pack("comfyui_gpen.model").managed(model.detector.network)
    return model.detector


def landmarks_in(x0: int, y0: int, x1: int, y1: int) -> Any:
    points = np.array([[0.3, 0.4], [0.7, 0.4], [0.5, 0.6], [0.35, 0.8], [0.65, 0.8]])
    return points * (x1 - x0, y1 - y0) + (x0, y0)


@pytest.mark.parametrize("order", ["found", "left-right", "size", "score"])
def test_detect_faces_numbers_them_as_restore_faces_does(
    nodes: dict[str, Any], model: Any, photos: Tensor, detecting: Detector, order: str
) -> None:
    boxes, *_ = nodes["GPENDetectFaces"].execute(photos[:1], model, order=order).args
    shown = [face["x"] for face in boxes[0]]
    assert shown == {"left-right": [10, 60, 90], "size": [10, 90, 60]}.get(order, [60, 10, 90])
    for inputs in ({"order": order}, {"bboxes": boxes}, {"bboxes": boxes, "order": order}):
        _, _, _, report = restore(nodes, photos[:1], model, **inputs)
        assert [face["box"][0] for face in report["frames"][0]["faces"]] == shown


def test_scale_auto_finds_faces_before_the_network_is_in_memory(
    host: Any, nodes: dict[str, Any], model: Any, photos: Tensor, detecting: Detector
) -> None:
    restore(nodes, photos, model, scale="auto")
    assert [load["models"] for load in host.loads] == [[model.others["detector"]], [model.patcher]]


def test_faces_that_are_too_small_are_not_looked_for(
    nodes: dict[str, Any], model: Any, photos: Tensor, detecting: Detector
) -> None:
    for inputs, smallest in (({}, 20), ({"min_face": 30}, 30), ({"min_face": 30, "mask": torch.ones(1, 9, 12)}, 30)):
        restore(nodes, photos[:1], model, **inputs)
        assert detecting.smallest == smallest


def test_tilted_faces_are_looked_for_when_told(
    host: Any, nodes: dict[str, Any], model: Any, photos: Tensor, detecting: Detector
) -> None:
    quarter = [(90, 120), (148, 148), (148, 148), (120, 90), (120, 90)]
    for scale in ("1", "auto"):
        restore(nodes, photos[:1], model, max_tilt=90, scale=scale)
        assert detecting.seen == quarter and host.loads[-1 if scale == "1" else -2]["memory"] >= 10**10
        detecting.seen.clear()
    nodes["GPENDetectFaces"].execute(photos[:1], model, max_tilt=90)
    assert detecting.seen == quarter and host.loads[-1]["memory"] >= 10**10


def test_numbers_lie_inside_the_preview(pack: Any) -> None:
    numbered, own = pack("comfyui_gpen.boxes").numbered, pack("shared.gpen2048").Face
    boxes = ([40, 20, 70, 50], [10, 20, 40, 89], [-5, 20, 40, 95], [118, 0, 130, 200])  # the picture ends at 119, 89
    previews = [numbered(torch.ones(3, 90, 120), [own(box, landmarks_in(*box))]) for box in boxes]
    black = [int((preview[..., 0] < 0.5).sum()) for preview in previews]  # the number itself
    assert black[0] > 5 and black == black[:1] * 4


def test_boxes_come_back_as_they_went(nodes: dict[str, Any], pack: Any, model: Any, photos: Tensor) -> None:
    face = pack("shared.gpen2048").Face([10, 20, 50, 60], np.array([[22, 36], [38, 36], [30, 44], [24, 52], [36, 52]]))
    model.detector = Detector(face)
    model.others["detector"] = pack("comfyui_gpen.model").managed(model.detector.network)
    boxes, preview, mask = nodes["GPENDetectFaces"].execute(photos, model).args
    assert len(boxes) == 3 and boxes[0][0]["x"] == 10 and boxes[0][0]["width"] == 40
    assert preview.shape == photos.shape and not torch.equal(preview, photos)
    assert mask.shape == (3, 90, 120) and mask[0, 20:61, 10:51].all() and mask[0].sum() == 41 * 41
    found, *_ = restore(nodes, photos, model)
    again, *_ = restore(nodes, photos, model, bboxes=boxes)
    assert torch.equal(found, again)


def test_nothing_to_show_is_skipped(nodes: dict[str, Any], model: Any, photos: Tensor) -> None:
    _, _, faces, _ = restore(nodes, photos, model, bboxes=[[], [], []])
    assert type(faces).__name__ == "ExecutionBlocker"


def test_crops_kept_are_bounded_over_the_batch(nodes: dict[str, Any], model: Any, photos: Tensor, bboxes: Any) -> None:
    _, _, faces, _ = restore(nodes, photos, model, bboxes=bboxes, max_crops=2)
    assert len(faces) == 2


def test_a_crop_is_restored_at_the_networks_size(nodes: dict[str, Any], model: Any) -> None:
    crops = torch.rand(5, 64, 64, 3)
    (image,) = nodes["GPENRestoreCrop"].execute(crops, model, strength=1.0).args
    assert image.shape == (5, 64, 64, 3) and torch.allclose(image, crops, atol=1e-4)  # a pass-through network
    (image,) = nodes["GPENRestoreCrop"].execute(torch.rand(1, 100, 80, 3), model).args
    assert image.shape == (1, 64, 64, 3)


@pytest.mark.parametrize("node", ["GPENRestoreFaces", "GPENDetectFaces", "GPENRestoreCrop"])
def test_a_wire_of_any_type_that_brings_another_model(nodes: dict[str, Any], node: str) -> None:
    with pytest.raises(ValueError, match="gpen_model is of type Linear; wanted what Load GPEN gives"):
        nodes[node].execute(torch.rand(1, 64, 64, 3), torch.nn.Linear(1, 1))
