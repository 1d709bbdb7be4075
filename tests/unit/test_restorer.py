"""The restorer: contract, reports, progress and cancelling."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
from gpen2048 import FaceRestorer, RestoreOptions, WeightsNotFoundError
from gpen2048.alignment import crop_transform
from gpen2048.errors import InvalidOptionError
from gpen2048.faces import Face
from gpen2048.geometry.transforms import density
from gpen2048.inference import Network
from gpen2048.parsing import FaceParser
from torch import Tensor, nn


class Cancelled(BaseException):
    """As a host's interrupt: not an Exception."""


def test_the_result_keeps_its_contract(tiny_passthrough: Network, group_photo: Tensor, group_faces: list[Face]) -> None:
    result = FaceRestorer(tiny_passthrough)(group_photo, RestoreOptions(scale=2), faces=group_faces)
    assert result.image.shape == (3, 1136, 2656) and result.image.dtype == torch.float32
    assert result.mask.shape == (1136, 2656)
    assert result.image.min() >= 0 and result.image.max() <= 1
    assert result.mask.min() == 0 and result.mask.max() == 1
    assert len(result.faces) == len(result.crops) == 29
    assert all(before.shape == after.shape == (3, 64, 64) for before, after in result.crops)
    assert all(report.restored and report.strength == 0.8 and not report.reason for report in result.faces)
    assert result.faces[3].size == pytest.approx(group_faces[3].size)
    assert not result.image.is_inference()  # usable with autograd and in place


def test_what_was_not_restored_is_reported(
    tiny_passthrough: Network, group_photo: Tensor, group_faces: list[Face]
) -> None:
    result = FaceRestorer(tiny_passthrough)(group_photo, RestoreOptions(select="largest"), faces=group_faces)
    assert sum(report.restored for report in result.faces) == len(result.crops) == 1
    others = [report for report in result.faces if not report.restored]
    assert {report.reason for report in others} == {"not the largest face"}
    assert all(report.strength == 0 for report in others)


def test_strength_zero_gives_the_photo_back(
    tiny_passthrough: Network, group_photo: Tensor, group_faces: list[Face]
) -> None:
    result = FaceRestorer(tiny_passthrough)(group_photo, RestoreOptions(strength=0), faces=group_faces)
    assert torch.equal(result.image, group_photo)


def test_the_input_is_not_written_to(tiny_passthrough: Network, group_photo: Tensor, group_faces: list[Face]) -> None:
    copy = group_photo.clone()
    result = FaceRestorer(tiny_passthrough)(group_photo, RestoreOptions(), faces=group_faces[:3])
    assert torch.equal(group_photo, copy)
    assert result.image.data_ptr() != group_photo.data_ptr()
    assert not torch.equal(result.image, group_photo)  # 64 px crops lose detail, so something was laid back


def test_without_faces_the_photo_comes_back(tiny_passthrough: Network, group_photo: Tensor) -> None:
    result = FaceRestorer(tiny_passthrough, lambda image, threshold: [])(group_photo)  # pyright: ignore[reportArgumentType]  a stand-in
    assert torch.equal(result.image, group_photo) and not result.faces and result.mask.sum() == 0


def test_the_detector_gets_image_and_threshold(tiny_passthrough: Network, group_faces: list[Face]) -> None:
    seen: list[Any] = []

    def detector(image: Tensor, threshold: float) -> list[Face]:
        seen.append((tuple(image.shape), threshold))
        return group_faces[:1]

    result = FaceRestorer(tiny_passthrough, detector)(torch.rand(3, 300, 900), RestoreOptions(threshold=0.5))  # pyright: ignore[reportArgumentType]  a stand-in
    assert seen == [((3, 300, 900), 0.5)] and len(result.faces) == 1


def test_the_detector_need_not_look_for_faces_that_stay_as_they_are(tiny_passthrough: Network) -> None:
    asked: list[float | None] = []

    def detector(image: Tensor, threshold: float, *, smallest: float | None = None) -> list[Face]:
        asked.append(smallest)
        return []

    restorer = FaceRestorer(tiny_passthrough, detector)  # pyright: ignore[reportArgumentType]  a stand-in
    for min_face in (0, 16, 80):
        restorer(torch.zeros(3, 40, 40), RestoreOptions(min_face=min_face))
    assert asked == [None, None, 80]


def test_auto_scale_shrinks_no_face_and_stops_at_the_most(
    tiny_passthrough: Network, group_photo: Tensor, group_faces: list[Face]
) -> None:
    restorer = FaceRestorer(tiny_passthrough)
    options = RestoreOptions(scale="auto")
    small = restorer(group_photo, options, faces=group_faces[:1])
    assert small.scale == 1.0  # a 64 px crop is smaller than these faces' own
    half = Face(group_faces[0].box / 2, group_faces[0].landmarks / 2, 1.0)
    result = restorer(group_photo, options, faces=[half])
    assert result.scale == pytest.approx(density(crop_transform(half.landmarks, 64)))
    assert result.image.shape[1:] == (round(568 * result.scale), round(1328 * result.scale))
    tiny = Face(group_faces[0].box / 2, group_faces[0].landmarks / 8, 1.0)
    photo = group_photo[:, :100, :350].contiguous()
    assert restorer(photo, options, faces=[tiny]).scale == 4.0
    assert restorer(photo, RestoreOptions(scale="auto", max_scale=1.5), faces=[tiny]).image.shape == (3, 150, 525)
    assert restorer.output_scale(photo, [tiny], RestoreOptions(scale="auto", max_scale=6)) == 6.0
    assert restorer.output_scale(photo, [tiny], RestoreOptions(scale=4, max_scale=1)) == 4.0  # asked for, not automatic
    assert restorer.output_scale(photo, [tiny], RestoreOptions(scale="auto", min_face=99)) == 1.0  # nobody is restored


@pytest.mark.parametrize("stop_at", range(14))
def test_cancelling_at_every_stage_passes_through(
    tiny_passthrough: Network, group_photo: Tensor, group_faces: list[Face], stop_at: int
) -> None:
    calls: list[tuple[int, int, str]] = []

    def cancel(done: int, total: int, what: str) -> None:
        calls.append((done, total, what))
        if len(calls) > stop_at:
            raise Cancelled

    restorer = FaceRestorer(tiny_passthrough, lambda image, threshold: group_faces[:2])  # pyright: ignore[reportArgumentType]  a stand-in
    with pytest.raises(Cancelled):
        restorer(group_photo, RestoreOptions(), on_progress=cancel)
    again = restorer(group_photo, RestoreOptions(max_crops=0))  # the state stays valid
    fresh = FaceRestorer(tiny_passthrough)(group_photo, RestoreOptions(max_crops=0), faces=group_faces[:2])
    assert torch.equal(again.image, fresh.image)


def test_progress_tells_every_stage_of_every_face(
    tiny_passthrough: Network, group_photo: Tensor, group_faces: list[Face]
) -> None:
    calls: list[tuple[int, int, str]] = []
    FaceRestorer(tiny_passthrough)(
        group_photo, RestoreOptions(), faces=group_faces[:3], on_progress=lambda *call: calls.append(call)
    )
    told = {what for _, _, what in calls}
    for face in (1, 2, 3):
        for stage in ("straightening", "restoring", "laying back"):
            assert f"face {face} of 3: {stage}" in told
    assert [done for done, _, _ in calls] == sorted(done for done, _, _ in calls)
    assert calls[-1][:2] == (3, 3)
    assert sum("restoring" in what for _, _, what in calls) > 2 * 3  # also between the stages of the network


@pytest.mark.parametrize(
    "image",
    [
        torch.zeros(1, 3, 8, 8),
        torch.zeros(4, 8, 8),
        torch.zeros(8, 8, 3),
        torch.zeros(3, 8, 8, dtype=torch.uint8),
        torch.zeros(3, 0, 8),
        torch.zeros(3, 8, 8, dtype=torch.float64),
    ],
)
def test_a_wrong_image_is_named(tiny_passthrough: Network, image: Tensor) -> None:
    with pytest.raises(ValueError, match=r"wanted torch.float32 \(3, height, width\)"):
        FaceRestorer(tiny_passthrough)(image, faces=[])


@pytest.mark.parametrize("scale", [0, -1.0, math.nan, math.inf])
def test_a_wrong_scale_or_region_is_named(tiny_passthrough: Network, scale: float) -> None:
    restorer, image = FaceRestorer(tiny_passthrough), torch.zeros(3, 8, 8)
    with pytest.raises(ValueError, match=r"scale is .*; wanted more than 0"):
        restorer(image, faces=[], scale=scale)
    for region in (torch.ones(1, 8, 8), torch.ones(8), torch.ones(0, 8)):
        with pytest.raises(ValueError, match=r"region is .*; wanted \(height, width\)"):
            restorer(image, faces=[], region=region)


def test_what_a_network_overshoots_is_cut(network_that: Any, portrait: Tensor, portrait_face: Face) -> None:
    network = network_that(lambda crops: crops * 3 - 1)
    result = FaceRestorer(network, batch=0)(portrait, RestoreOptions(strength=1), faces=[portrait_face])
    for shown in (result.image, result.crops[0][1]):
        assert shown.min() == 0 and shown.max() == 1


def test_no_detector_and_no_faces(tiny_passthrough: Network) -> None:
    with pytest.raises(WeightsNotFoundError, match="no face detector"):
        FaceRestorer(tiny_passthrough)(torch.zeros(3, 8, 8))


def test_edges_of_size(tiny_passthrough: Network, portrait_face: Face) -> None:
    one = FaceRestorer(tiny_passthrough)(torch.rand(3, 1, 1), faces=[portrait_face])
    assert one.image.shape == (3, 1, 1)
    wide = torch.rand(3, 40, 16000)
    face = Face(np.array([15950.0, 0, 15990, 40]), portrait_face.landmarks / 8 + [15940, 0], 1.0)
    result = FaceRestorer(tiny_passthrough)(wide, faces=[face])
    assert torch.equal(result.image[:, :, :15800], wide[:, :, :15800])
    assert result.mask[:, 15900:].max() == 1


@pytest.mark.parametrize("batch", [2, 29])
def test_faces_run_in_batches_with_the_same_result(
    tiny_passthrough: Network, group_photo: Tensor, group_faces: list[Face], batch: int
) -> None:
    one = FaceRestorer(tiny_passthrough)(group_photo, faces=group_faces)
    many = FaceRestorer(tiny_passthrough, batch=batch)(group_photo, RestoreOptions(max_crops=5), faces=group_faces)
    assert torch.allclose(one.image, many.image, atol=1e-5)
    assert len(many.crops) == 5 and [report.strength for report in many.faces] == [0.8] * 29


class HalfParser(nn.Module):
    """Calls the left half of a crop skin (class 1) and the rest background."""

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        scores = torch.zeros(len(x), 19, 512, 512)
        scores[:, 1, :, :256] = 1
        scores[:, 0, :, 256:] = 1
        return scores, x


def test_the_parse_mask_narrows_the_box(tiny_passthrough: Network, portrait: Tensor, portrait_face: Face) -> None:
    restorer = FaceRestorer(tiny_passthrough, parser=FaceParser(HalfParser()))
    box = restorer(portrait, RestoreOptions(), faces=[portrait_face])
    parsed = restorer(portrait, RestoreOptions(mask="parse"), faces=[portrait_face])
    middle = round(portrait_face.landmarks[:, 0].mean())
    assert (parsed.mask <= box.mask + 1e-6).all()
    assert parsed.mask[130, middle - 60] == pytest.approx(1, abs=1e-3)
    assert parsed.mask[130, middle + 60] == pytest.approx(0, abs=1e-3)


def test_the_parse_mask_needs_a_parser(tiny_passthrough: Network, portrait: Tensor, portrait_face: Face) -> None:
    with pytest.raises(InvalidOptionError, match="ParseNet"):
        FaceRestorer(tiny_passthrough)(portrait, RestoreOptions(mask="parse"), faces=[portrait_face])


class Tinted(nn.Module):
    """Adds 10/255 of red to every crop."""

    def __init__(self, network: Network):
        super().__init__()
        self.config = network.config

    def forward(self, x: Tensor, on_stage: object = None) -> Tensor:
        return x + torch.tensor([20 / 255, 0, 0])[:, None, None]


def test_original_chroma_takes_a_tint_out(tiny_passthrough: Network, portrait: Tensor, portrait_face: Face) -> None:
    grey = portrait * 0.5 + 0.2
    drift = {}
    for colour in ("restored", "original-chroma"):
        result = FaceRestorer(Tinted(tiny_passthrough))(  # pyright: ignore[reportArgumentType]  a stand-in
            grey, RestoreOptions(strength=1, colour=colour), faces=[portrait_face]
        )
        before, after = result.crops[0]
        change = (after - before).mean(dim=(1, 2)) * 255
        drift[colour] = (change - change @ torch.tensor([0.2126, 0.7152, 0.0722])).abs().max()
    assert drift["restored"] > 7
    assert drift["original-chroma"] < 0.5


def test_what_the_network_notes_is_in_the_report(network_that: Any, portrait: Tensor, portrait_face: Face) -> None:
    network = network_that(lambda crops: crops)
    network.last_note = "bfloat16 was used"
    small = RestoreOptions(fade_until=4000, min_face=0)
    for options, before in ((RestoreOptions(), ""), (small, "px small")):
        (report,) = FaceRestorer(network)(portrait, options, faces=[portrait_face]).faces
        assert report.note.endswith("bfloat16 was used") and before in report.note
