"""Faces of several frames in one network batch: pixels, reports, memory, progress, and what happens when it fails."""

from __future__ import annotations

import json
import logging
import weakref
from itertools import pairwise
from typing import Any

import pytest
import torch
from torch import Tensor

FACES = (1, 0, 0, 0, 0, 0, 1, 2, 0, 1, 1, 6, 1)  # of each frame


@pytest.fixture
def frames() -> Tensor:
    """IMAGE (13, 90, 120, 4), alpha last."""
    return torch.rand(len(FACES), 90, 120, 4, generator=torch.Generator().manual_seed(5))


@pytest.fixture
def boxes(bboxes: list[list[Any]]) -> list[list[Any]]:
    faces = (bboxes[0] + bboxes[2]) * 2
    return [faces[:count] for count in FACES]


@pytest.fixture
def roomy(pack: Any, monkeypatch: pytest.MonkeyPatch) -> Any:
    """A device other than the CPU, with memory for 4 faces at once."""
    management = pack("comfyui_gpen.batching").mm
    monkeypatch.setattr(management, "is_device_cpu", lambda device: False)
    return management


def run(nodes: dict[str, Any], frames: Tensor, model: Any, boxes: Any, **inputs: Any) -> Any:
    image, mask, crops, report = nodes["GPENRestoreFaces"].execute(frames, model, bboxes=boxes, **inputs).args
    return image, mask, crops, json.loads(report)


@pytest.mark.parametrize("inputs", [{}, {"scale": "2"}, {"max_crops": 5}, {"scale": "auto", "strength": 1.0}])
def test_frames_come_out_as_they_do_alone(
    nodes: dict[str, Any],
    model: Any,
    frames: Tensor,
    boxes: Any,
    exhausted: Any,
    pack: Any,
    monkeypatch: pytest.MonkeyPatch,
    inputs: dict[str, Any],
) -> None:
    image, mask, crops, report = run(nodes, frames, model, boxes, **inputs)  # on the CPU: one face at a time
    monkeypatch.setattr(pack("comfyui_gpen.batching").mm, "is_device_cpu", lambda device: False)
    seen: list[int] = []
    model.patcher.model = exhausted(model.network, lambda network, batch: not seen.append(batch))
    together = run(nodes, frames, model, boxes, **inputs)
    assert seen == [1, 4, 4, 4]  # the first face waits for three frames only
    assert torch.allclose(together[0], image, atol=1e-5) and torch.equal(together[1], mask)
    assert together[0].shape[-1] == 4 and together[3] == report
    assert len(together[2]) == len(crops) == inputs.get("max_crops", 8)
    assert all(torch.allclose(one, other, atol=1e-5) for one, other in zip(together[2], crops))
    if "scale" not in inputs:
        assert torch.equal(together[0][..., 3], frames[..., 3])


@pytest.mark.parametrize("free, at_once", [(8 << 30, 4), (0, 1)])
def test_no_more_frames_are_held_than_faces_go_together(
    nodes: dict[str, Any],
    roomy: Any,
    pack: Any,
    model: Any,
    frames: Tensor,
    boxes: Any,
    monkeypatch: pytest.MonkeyPatch,
    free: int,
    at_once: int,
) -> None:
    restoring = pack("comfyui_gpen.restoring")
    held: weakref.WeakSet[Any] = weakref.WeakSet()
    most = 0

    class Watched(restoring.Request):
        def __post_init__(self) -> None:
            nonlocal most
            held.add(self)
            most = max(most, len(held))

        __hash__ = object.__hash__

    monkeypatch.setattr(restoring, "Request", Watched)
    monkeypatch.setattr(roomy, "get_free_memory", lambda device: free)
    run(nodes, frames, model, boxes)
    # One more while the generator still has the last one that it gave.
    assert at_once <= most <= at_once + 1


def test_memory_is_asked_for_all_frames_held(
    host: Any, nodes: dict[str, Any], roomy: Any, model: Any, frames: Tensor, boxes: Any
) -> None:
    run(nodes, frames[:1], model, boxes[:1])
    run(nodes, frames, model, boxes)
    one, several = (load["memory"] for load in host.loads)
    held = 3 * 90 * 120 * (3 + 3 + 3 + 2) * 4  # of three more: photo, background, change, weight and mask
    assert several - one == held


def test_out_of_memory_halves_the_batch(
    host: Any, nodes: dict[str, Any], roomy: Any, model: Any, frames: Tensor, boxes: Any, exhausted: Any
) -> None:
    whole, *_ = run(nodes, frames, model, boxes)
    seen: list[int] = []
    model.patcher.model = exhausted(model.network, lambda network, batch: not seen.append(batch) and batch <= 2)
    image, _, _, report = run(nodes, frames, model, boxes)
    assert torch.allclose(image, whole, atol=1e-5) and seen == [1, 4, 2, 2, 2, 2, 2, 2] and host.emptied == 1
    assert "2 faces at once" in report["frames"][11]["faces"][0]["note"]


def test_interrupts_pass_through_and_leave_nothing_behind(
    host: Any, nodes: dict[str, Any], roomy: Any, model: Any, frames: Tensor, boxes: Any
) -> None:
    host.interrupt_after = 10_000
    whole, *_ = run(nodes, frames, model, boxes)
    checks = 10_000 - host.interrupt_after
    for after in range(0, checks, 11):
        host.interrupt_after = after
        with pytest.raises(BaseException) as stopped:
            run(nodes, frames, model, boxes)
        assert type(stopped.value).__name__ == "Interrupted" and not model.network._kept
    host.interrupt_after = -1
    assert torch.equal(run(nodes, frames, model, boxes)[0], whole)


def test_the_bar_moves_with_every_stage_of_a_batch(
    host: Any, nodes: dict[str, Any], roomy: Any, model: Any, frames: Tensor, boxes: Any
) -> None:
    run(nodes, frames, model, boxes)
    values = [value for value, _, _ in host.progress]
    assert values == sorted(values) and values[-1] == 1000 * len(FACES)
    steps = [after - before for before, after in pairwise(values)]
    assert max(steps) <= 5000  # the five frames without a face, all at once
    assert sorted(steps)[-3] <= 1000
    assert len([preview for _, _, preview in host.progress if preview]) == 4  # the last crop of each batch


def test_an_error_tells_its_frame(
    nodes: dict[str, Any], roomy: Any, pack: Any, model: Any, frames: Tensor, boxes: Any, caplog: Any
) -> None:
    wrong = [*boxes[:10], [{**boxes[0][0], "width": "wide"}], *boxes[11:]]
    with pytest.raises(ValueError, match=r"^frame 10 of 13 \(the first is 0\): a bounding box is"):
        run(nodes, frames, model, wrong)
    with pytest.raises(ValueError, match=r"^a bounding box is"):
        run(nodes, frames[:1], model, [wrong[10]])
    with pytest.raises(ValueError, match=r"^mask is for 2 frames; the image has 13"):
        run(nodes, frames, model, boxes, mask=torch.ones(2, 9, 12))


@pytest.mark.parametrize("kind", ["GpenError", "RuntimeError"])
def test_what_the_host_must_recognise_keeps_its_type(
    nodes: dict[str, Any],
    roomy: Any,
    pack: Any,
    model: Any,
    frames: Tensor,
    boxes: Any,
    caplog: Any,
    monkeypatch: pytest.MonkeyPatch,
    kind: str,
) -> None:
    error = RuntimeError("no luck") if kind == "RuntimeError" else pack("shared.gpen2048").CheckpointError("no luck")
    told = 0

    def find(choice: Any, number: int, *rest: Any) -> Any:
        nonlocal told
        told = number
        if number == 7:
            raise error
        return original(choice, number, *rest)

    choosing = pack("comfyui_gpen.choosing").Choice
    original = choosing.faces
    monkeypatch.setattr(choosing, "faces", find)
    with caplog.at_level(logging.WARNING), pytest.raises(type(error)) as raised:
        run(nodes, frames, model, boxes)
    assert told == 7 and "frame 7 of 13" in (caplog.text if kind == "RuntimeError" else str(raised.value))
