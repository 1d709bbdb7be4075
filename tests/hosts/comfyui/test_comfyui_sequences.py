"""Restore Faces with `sequence`: as the runtime restores films, in the host's manners."""

from __future__ import annotations

import json
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import torch
from gpen2048 import Face, FaceRestorer, RestoreOptions, load_network, restore_sequence
from torch import Tensor

FRAMES = 18


@pytest.fixture
def film() -> Tensor:
    """IMAGE (18, 90, 120, 4) of one scene, alpha last."""
    still = torch.rand(1, 90, 120, 4, generator=torch.Generator().manual_seed(6))
    return (still + torch.linspace(0, 0.05, FRAMES)[:, None, None, None]).clamp(max=1)


@pytest.fixture
def jittering(bboxes: list[list[Any]]) -> list[list[Any]]:
    """One face in each frame, a little elsewhere each time."""
    shifts = torch.randn(FRAMES, 2, generator=torch.Generator().manual_seed(7)).tolist()
    (face,) = bboxes[2]
    return [
        [{**face, "x": 40 + x, "y": 25 + y, "landmarks": [[u + x, v + y] for u, v in face["landmarks"]]}]
        for x, y in shifts
    ]


def run(nodes: dict[str, Any], film: Tensor, model: Any, boxes: Any, **inputs: Any) -> Any:
    image, mask, crops, report = nodes["GPENRestoreFaces"].execute(film, model, bboxes=boxes, **inputs).args
    return image, mask, crops, json.loads(report)


def test_a_sequence_is_as_the_runtime_restores_it(
    nodes: dict[str, Any], model: Any, film: Tensor, jittering: Any, network_file: Path
) -> None:
    image, mask, crops, report = run(nodes, film, model, jittering, sequence=True, max_crops=3)
    faces = [[Face([b["x"], b["y"], b["x"] + 40, b["y"] + 40], b["landmarks"]) for b in boxes] for boxes in jittering]
    pixels = [frame[..., :3].movedim(-1, 0).contiguous() for frame in film]
    wanted = list(restore_sequence(pixels, FaceRestorer(load_network(network_file)), RestoreOptions(), faces=faces))
    assert torch.equal(image[..., :3], torch.stack([result.image.movedim(0, -1) for result in wanted]))
    assert torch.equal(mask, torch.stack([result.mask for result in wanted]))
    assert torch.equal(image[..., 3], film[..., 3]) and len(crops) == 3
    assert [frame["frame"] for frame in report["frames"]] == list(range(FRAMES))
    alone = run(nodes, film, model, jittering)[3]
    assert _wander(report) < 0.5 * _wander(alone)


def _wander(report: Any) -> float:
    eyes = torch.tensor([frame["faces"][0]["landmarks"][0] for frame in report["frames"]])
    return eyes.diff(dim=0).abs().mean().item()


def test_a_mask_chooses_in_a_sequence_too(nodes: dict[str, Any], model: Any, film: Tensor, jittering: Any) -> None:
    _, mask, _, report = run(nodes, film, model, jittering, sequence=True, mask=torch.zeros(1, 9, 12))
    assert not mask.any()
    assert {face["reason"] for frame in report["frames"] for face in frame["faces"]} == {"outside the mask"}


def test_a_sequence_asks_for_the_frames_it_looks_at(
    host: Any, nodes: dict[str, Any], model: Any, film: Tensor, jittering: Any
) -> None:
    run(nodes, film, model, jittering)
    run(nodes, film, model, jittering, sequence=True)
    alone, sequence = (load["memory"] for load in host.loads)
    assert sequence - alone == 14 * 90 * 120 * 3 * 4


def test_a_sequence_obeys_interrupts_and_shows_progress(
    host: Any, nodes: dict[str, Any], model: Any, film: Tensor, jittering: Any
) -> None:
    host.interrupt_after = 10_000
    run(nodes, film, model, jittering, sequence=True)
    checks = 10_000 - host.interrupt_after
    values = [value for value, _, _ in host.progress]
    assert values == sorted(values) and values[-1] == 1250 * FRAMES and checks > FRAMES * 6
    for after in (0, checks // 10, checks // 4):
        host.interrupt_after = after
        with pytest.raises(BaseException) as stopped:
            run(nodes, film, model, jittering, sequence=True)
        assert type(stopped.value).__name__ == "Interrupted"


class Wavering:
    """A detector that finds one face in every frame, but is sure of it in most only."""

    kind = "stand-in"

    def __init__(self, pack: Any, box: dict[str, Any]):
        self.network = torch.nn.Identity()
        self._face = pack("shared.gpen2048").Face
        corners = [box["x"], box["y"], box["x"] + box["width"], box["y"] + box["height"]]
        self._what = (corners, box["landmarks"])
        self._calls = 0

    def __call__(self, image: Tensor, threshold: float, *, smallest: float = 20.0) -> list[Any]:
        frame = self._calls % FRAMES
        self._calls += 1
        score = 0.6 if frame % 4 == 2 or 5 <= frame < 9 else 0.95
        return [self._face(*self._what, score)] if score >= threshold else []

    def memory_required(self, height: int, width: int, *, max_tilt: float = 0) -> int:
        return height * width


@pytest.fixture
def wavering(pack: Any, model: Any, bboxes: list[list[Any]]) -> dict[str, Any]:
    """The box of the face that the model's detector finds, of which it is not always sure."""
    (box,) = bboxes[2]
    model.detector = Wavering(pack, box)
    model.others["detector"] = pack("comfyui_gpen.model").managed(model.detector.network)
    return box


def test_a_wire_that_lets_all_faces_through_changes_nothing(
    nodes: dict[str, Any], model: Any, film: Tensor, wavering: dict[str, Any]
) -> None:
    """Faces that the detector is not always sure of are followed all the same, and numbered as without the wire."""
    around = {key: value for key, value in wavering.items() if key != "landmarks"}
    *wanted, report = run(nodes, film, model, None, sequence=True)
    assert all(face["strength"] == 0.8 for frame in report["frames"] for face in frame["faces"])
    wires = {"mask": torch.ones(1, 9, 12), "bboxes": [[around]] * FRAMES}
    for names in (("mask",), ("bboxes",), ("mask", "bboxes")):
        inputs = {"bboxes": None, **{name: wires[name] for name in names}}
        image, mask, _, text = nodes["GPENRestoreFaces"].execute(film, model, sequence=True, **inputs).args
        assert torch.equal(image, wanted[0]) and torch.equal(mask, wanted[1])
        assert json.loads(text)["frames"] == report["frames"]


def test_a_frame_without_boxes_does_not_make_the_others_sure(
    nodes: dict[str, Any], model: Any, film: Tensor, wavering: dict[str, Any]
) -> None:
    """Another detector's boxes have no landmarks, and a frame where it missed the face has no box."""
    around = {key: value for key, value in wavering.items() if key != "landmarks"}
    boxes = [[around]] * (FRAMES - 1) + [[]]
    shown = run(nodes, film, model, boxes, sequence=True)[3]["frames"]
    assert min(frame["faces"][0]["strength"] for frame in shown[:12]) > 0.75


def test_masks_of_a_film_s_frames_fade_a_face_out_and_in(
    nodes: dict[str, Any], model: Any, film: Tensor, wavering: dict[str, Any]
) -> None:
    masks = torch.ones(FRAMES, 9, 12)
    masks[8:] = 0
    shown = run(nodes, film, model, None, sequence=True, mask=masks)[3]["frames"]
    assert [len(frame["faces"]) for frame in shown] == [1] * FRAMES
    strengths = [frame["faces"][0]["strength"] for frame in shown]
    assert strengths[0] > 0.7 and strengths[-1] < 0.1 and all(a >= b for a, b in pairwise(strengths))
    assert max(a - b for a, b in pairwise(strengths)) < 0.25
    reasons = {face["reason"] for frame in shown for face in frame["faces"] if not face["restored"]}
    assert reasons <= {"outside the mask"}
