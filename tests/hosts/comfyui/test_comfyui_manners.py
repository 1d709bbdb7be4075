"""Memory asked for once, interrupts obeyed, progress shown, and giving way when memory runs out."""

from __future__ import annotations

import json
import logging
import sys
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn


def run(nodes: dict[str, Any], photos: Tensor, model: Any, bboxes: Any, **inputs: Any) -> Any:
    return nodes["GPENRestoreFaces"].execute(photos, model, bboxes=bboxes, **inputs).args


def test_memory_is_asked_for_once(host: Any, nodes: dict[str, Any], model: Any, photos: Tensor, bboxes: Any) -> None:
    run(nodes, photos, model, bboxes)
    (load,) = host.loads
    assert load["models"] == [model.patcher] and load["full"]
    assert load["memory"] >= model.network.memory_required(1)


def test_scale_auto_asks_for_what_its_faces_need(
    host: Any, nodes: dict[str, Any], model: Any, photos: Tensor, bboxes: Any
) -> None:
    """Not for max_scale, beside which no other model could stay."""
    for scale in ("1", "auto", "4"):
        run(nodes, photos, model, bboxes, scale=scale)
    one, auto, four = (load["memory"] for load in host.loads)
    assert one == auto < four  # no face here needs enlarging


@pytest.mark.parametrize(
    ("boxes", "inputs", "told"),
    [
        ([[], [], []], {}, "GPEN: no face found in 3 frames"),
        (None, {}, "GPEN: 3 faces found in 3 frames, 3 restored"),
        (None, {"min_face": 1000}, "GPEN: 3 faces found in 3 frames, none restored: smaller than 1000 px"),
    ],
)
def test_the_log_has_one_line_on_what_was_done(
    nodes: dict[str, Any], model: Any, photos: Tensor, bboxes: Any, caplog: Any, boxes: Any, inputs: Any, told: str
) -> None:
    with caplog.at_level(logging.INFO):
        run(nodes, photos, model, bboxes if boxes is None else boxes, **inputs)
    assert [record.getMessage() for record in caplog.records if record.name.endswith("restoring")] == [told]


def test_no_activations_are_kept(nodes: dict[str, Any], model: Any, photos: Tensor, bboxes: Any) -> None:
    run(nodes, photos, model, bboxes)
    assert not model.network._kept


def test_interrupts_pass_through_at_every_check(
    host: Any, nodes: dict[str, Any], model: Any, photos: Tensor, bboxes: Any
) -> None:
    whole = run(nodes, photos, model, bboxes)[0]
    host.interrupt_after = 10_000
    run(nodes, photos, model, bboxes)
    checks = 10_000 - host.interrupt_after
    assert checks > 3 * 8  # several in each face's network pass
    for after in range(0, checks, 5):
        host.interrupt_after = after
        with pytest.raises(BaseException) as stopped:
            run(nodes, photos, model, bboxes)
        assert type(stopped.value).__name__ == "Interrupted"
        assert not model.network.low_memory and not model.network._kept
    host.interrupt_after = -1
    assert torch.equal(run(nodes, photos, model, bboxes)[0], whole)


def test_progress_never_goes_back_and_ends_full(
    host: Any, nodes: dict[str, Any], model: Any, photos: Tensor, bboxes: Any
) -> None:
    run(nodes, photos, model, bboxes)
    values = [value for value, _, _ in host.progress]
    assert values == sorted(values) and {total for _, total, _ in host.progress} == {3000}
    assert values[-1] == 3000 and len(set(values)) > 3 * 8
    previews = [preview for _, _, preview in host.progress if preview]
    assert len(previews) == 3 and previews[0][0] == "JPEG" and previews[0][1].size == (512, 512)


@pytest.mark.parametrize("inputs", [{"scale": "auto"}, {"sequence": True}])
def test_the_bar_moves_while_faces_are_looked_for(
    host: Any, nodes: dict[str, Any], model: Any, photos: Tensor, bboxes: Any, inputs: Any
) -> None:
    run(nodes, photos, model, bboxes, **inputs)
    total = 1250 * len(photos)
    values = [value for value, seen, _ in host.progress if seen == total]
    assert len(values) == len(host.progress) and values == sorted(values)
    assert values[0] == 0 and {250, 500} <= set(values) and values[-1] == total


def test_cancel_is_obeyed_while_loops_are_compiled(
    host: Any,
    nodes: dict[str, Any],
    model: Any,
    photos: Tensor,
    bboxes: Any,
    pack: Any,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    cancelling = pack("shared.gpen2048.cancelling")

    def compiling(*_: Any, **__: Any) -> int:
        host.interrupt_after = 3
        try:
            while True:
                cancelling.check_cancelled("compiling")
        except Exception:  # as those do who bear with whatever a compiler raises
            return 0

    monkeypatch.setattr(pack("comfyui_gpen.restoring"), "step_bytes", compiling)
    with pytest.raises(BaseException) as stopped:
        run(nodes, photos, model, bboxes)
    assert type(stopped.value).__name__ == "Interrupted"


def test_out_of_memory_first_takes_less_per_face(
    host: Any, nodes: dict[str, Any], model: Any, photos: Tensor, bboxes: Any, caplog: Any, exhausted: Any
) -> None:
    whole = run(nodes, photos, model, bboxes)[0]
    model.patcher.model = exhausted(model.network, lambda network, batch: network.low_memory)
    with caplog.at_level(logging.WARNING):
        image, _, _, report = run(nodes, photos, model, bboxes)
    assert torch.allclose(image, whole, atol=1e-5) and host.emptied == 1
    assert "low-memory" in caplog.text
    assert "low-memory" in json.loads(report)["frames"][0]["faces"][0]["note"]
    assert not model.network.low_memory  # the next run starts afresh


def test_then_half_precision(
    host: Any, nodes: dict[str, Any], model: Any, photos: Tensor, bboxes: Any, exhausted: Any
) -> None:
    model.patcher.model = exhausted(model.network, lambda network, batch: False)
    image, _, _, report = run(nodes, photos, model, bboxes)
    note = json.loads(report)["frames"][0]["faces"][0]["note"]
    assert "low-memory" in note and "half precision" in note
    assert host.loads[-1]["models"][0].model.convolutions[0].weight.dtype == torch.bfloat16
    assert (image - photos).abs().mean() < 0.1


def test_at_last_the_hosts_own_error(
    nodes: dict[str, Any],
    pack: Any,
    model: Any,
    photos: Tensor,
    bboxes: Any,
    monkeypatch: pytest.MonkeyPatch,
    exhausted: Any,
) -> None:
    model.patcher.model = exhausted(model.network, lambda network, batch: False)
    sparing = pack("comfyui_gpen.sparing")
    read = sparing.load_network
    monkeypatch.setattr(sparing, "load_network", lambda *a, **k: exhausted(read(*a, **k), lambda *_: False).bfloat16())
    with pytest.raises(torch.cuda.OutOfMemoryError):
        run(nodes, photos, model, bboxes)


def test_a_batch_of_crops_is_halved_until_it_fits(pack: Any, model: Any, exhausted: Any) -> None:
    seen: list[int] = []

    def fits(network: Any, batch: int) -> bool:
        seen.append(batch)
        return batch <= 2

    crops = torch.rand(5, 3, 64, 64) * 2 - 1
    whole = model.network(crops)
    model.patcher.model = exhausted(model.network, fits)
    with pack("comfyui_gpen.sparing").SparingNetwork(model, lambda crop: None) as network:
        assert torch.allclose(network(crops), whole, atol=1e-5)
    assert seen == [5, 2, 2, 1]


OUT_OF_MEMORY = [
    torch.cuda.OutOfMemoryError("CUDA out of memory"),
    RuntimeError("MPS backend out of memory (MPS allocated: 8.0 GB)"),
    RuntimeError("Could not allocate tensor with 67108864 bytes. There is not enough GPU video memory available!"),
    RuntimeError("[enforce fail at alloc_cpu.cpp:116] DefaultCPUAllocator: can't allocate memory"),
    MemoryError(),
]


def test_out_of_memory_is_known_on_every_device(pack: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    manners = pack("comfyui_gpen.host")
    for newer in (False, True):
        if newer:  # ComfyUI since 0.17 has its own answer, for CUDA alone
            monkeypatch.setattr(
                manners.mm, "is_oom", lambda e: isinstance(e, torch.cuda.OutOfMemoryError), raising=False
            )
        assert all(manners.is_out_of_memory(error) for error in OUT_OF_MEMORY)
        assert not manners.is_out_of_memory(RuntimeError("shapes differ"))


def test_another_error_is_not_taken_for_lack_of_memory(
    host: Any, nodes: dict[str, Any], model: Any, photos: Tensor, bboxes: Any, exhausted: Any
) -> None:
    def fail(network: Any, batch: int) -> bool:
        raise RuntimeError("something else")

    model.patcher.model = exhausted(model.network, fail)
    with pytest.raises(RuntimeError, match="something else"):
        run(nodes, photos, model, bboxes)
    assert host.emptied == 0


class Doubler:
    """An UPSCALE_MODEL of ComfyUI before it had patchers."""

    scale = 2

    def __init__(self) -> None:
        self.model = nn.Identity()
        self.devices: list[Any] = []

    def to(self, device: Any) -> None:
        self.devices.append(str(device))

    def __call__(self, image: Tensor) -> Tensor:
        return torch.full((1, 3, image.shape[2] * 2, image.shape[3] * 2), 0.5)


@pytest.mark.parametrize("scale", ["2", "4"])
def test_the_upscale_model_makes_the_background(
    nodes: dict[str, Any], model: Any, photos: Tensor, bboxes: Any, scale: str
) -> None:
    doubler = Doubler()
    image, mask, *_ = run(nodes, photos, model, bboxes, upscale_model=doubler, scale=scale)
    assert image.shape == (3, 90 * int(scale), 120 * int(scale), 3)
    assert torch.allclose(image[mask == 0], torch.tensor(0.5)) and (mask == 0).any()
    assert doubler.devices == ["cpu", "cpu"]


def test_the_enlarged_background_lies_where_the_faces_do(pack: Any) -> None:
    """A ramp of 101 px at 1.5: whole pixels would move its end by half a pixel."""
    ramp = torch.arange(101.0)[None, None, None].expand(1, 3, 40, 101) / 101
    doubled = torch.nn.functional.interpolate(ramp, scale_factor=2, mode="bilinear")
    upscaler = Doubler()
    upscaler.__class__ = type("Ramp", (Doubler,), {"__call__": lambda self, image: doubled})
    size = (60, 152)
    result = pack("comfyui_gpen.upscaling").ModelBackground(upscaler)(ramp[0], size)
    place = ((torch.arange(152.0) + 0.5) / (152 / 101) - 0.5) / 101
    assert result.shape == (3, *size)
    assert (result[0, 30, 8:-8] - place[8:-8]).abs().max() < 0.05 / 101


def test_the_upscale_model_takes_no_place_of_what_is_in_use(
    host: Any, nodes: dict[str, Any], model: Any, photos: Tensor, bboxes: Any
) -> None:
    seen: list[list[Any]] = []

    class Watching(Doubler):
        def __call__(self, image: Tensor) -> Tensor:
            seen.append(list(host.loaded))
            return super().__call__(image)

    run(nodes, photos, model, bboxes, upscale_model=Watching(), scale="2")
    assert seen == [[model.patcher]] * 3


def test_at_scale_one_the_upscale_model_rests(nodes: dict[str, Any], model: Any, photos: Tensor, bboxes: Any) -> None:
    doubler = Doubler()
    run(nodes, photos, model, bboxes, upscale_model=doubler)
    assert doubler.devices == []


@pytest.mark.parametrize("dynamic", [None, False, True], ids=["old", "plain", "dynamic"])
def test_weights_left_behind_are_fetched_and_returned(
    pack: Any, monkeypatch: pytest.MonkeyPatch, dynamic: bool | None
) -> None:
    manners = pack("comfyui_gpen.host")
    module = nn.Linear(2, 2)
    moves: list[str] = []
    monkeypatch.setattr(module, "to", lambda device: moves.append(str(device)))  # watched, not moved
    patcher = sys.modules["comfy.model_patcher"].ModelPatcher(module, torch.device("cuda"), torch.device("cpu"))
    if dynamic is not None:
        patcher.is_dynamic = lambda: dynamic
    with manners.loaded([patcher], 0) as device:
        assert device.type == "cuda" and moves == ["cuda"]
    assert moves == ["cuda", "cpu"]


@pytest.mark.parametrize("none", [[], [[]], [[], [], []]])
def test_boxes_of_a_detector_that_found_nothing(nodes: dict[str, Any], photos: Tensor, model: Any, none: Any) -> None:
    image, mask, *_ = run(nodes, photos, model, none)
    assert torch.equal(image, photos) and not mask.any()


@pytest.mark.parametrize(
    "wrong",
    [
        [(38, 69, 40, 50)],
        [None],
        [{"x": 1.0, "y": 2.0, "width": float("nan"), "height": 3.0, "landmarks": [[0, 0]] * 5}],
        [[7], [], []],
        [{"x": 1.0, "y": 2.0, "width": 9.0, "height": 9.0, "landmarks": [["a", 1]] * 5}],
        [{"x": 1.0, "y": 2.0, "width": 9.0, "height": 9.0, "landmarks": 5}],
        [{"x": 1.0, "y": 2.0, "width": 9.0, "height": 9.0, "landmarks": [[0, 0]] * 5, "score": "high"}],
        [{"x": 1.0, "y": 2.0, "width": 9.0, "height": 9.0, "landmarks": [[0, 0]] * 5, "score": True}],
    ],
)
def test_boxes_that_are_none_are_named(nodes: dict[str, Any], photos: Tensor, model: Any, wrong: Any) -> None:
    with pytest.raises(Exception, match=r"box.*wanted (boxes|numbers|a number|five)"):
        run(nodes, photos, model, wrong)


@pytest.mark.parametrize("arrayed", [np.asarray, torch.tensor])
def test_boxes_of_numpy_and_torch(nodes: dict[str, Any], photos: Tensor, model: Any, bboxes: Any, arrayed: Any) -> None:
    """As detectors of other packages make them."""
    frames = bboxes if isinstance(bboxes[0], list) else [bboxes]
    made = [[{**b, "landmarks": arrayed(b["landmarks"]), "score": np.float32(1)} for b in boxes] for boxes in frames]
    assert torch.equal(run(nodes, photos, model, made)[0], run(nodes, photos, model, bboxes)[0])


@pytest.mark.parametrize(
    ("image", "told"), [(torch.zeros(1, 8, 8, 3, dtype=torch.uint8), "uint8; wanted floating"), (None, "type NoneType")]
)
def test_what_is_no_image_is_named(nodes: dict[str, Any], model: Any, bboxes: Any, image: Any, told: str) -> None:
    """Numbers to 255 would be taken as white."""
    with pytest.raises(Exception, match=told):
        run(nodes, image, model, bboxes)


def test_a_mask_of_nothing_is_named(nodes: dict[str, Any], photos: Tensor, model: Any, bboxes: Any) -> None:
    with pytest.raises(Exception, match=r"mask is of shape \(1, 0, 64\)"):
        run(nodes, photos, model, bboxes, mask=torch.zeros(1, 0, 64))
