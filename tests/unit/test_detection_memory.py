"""What a search for faces is said to need against what PyTorch's allocator hands out."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from gpen2048 import detection
from gpen2048.detection import FaceDetector
from gpen2048.detectors import halving, windows
from gpen2048.detectors.halving import Halvings, detail_bytes
from gpen2048.detectors.proposals import Proposals
from gpen2048.detectors.retinaface import KINDS, build_network
from torch import Tensor, nn

PeakBytesOf = Callable[[Callable[[], object]], int]


class Blind(nn.Module):
    """A RetinaFace with random weights that is sure to see no face."""

    def __init__(self, kind: str):
        super().__init__()
        self.retinaface = build_network(kind)

    def forward(self, views: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        boxes, scores, landmarks = self.retinaface(views)
        return boxes, scores.zero_(), landmarks


@pytest.fixture(scope="module", params=sorted(KINDS))
def blind(request: pytest.FixtureRequest) -> FaceDetector:
    return FaceDetector(Blind(request.param), request.param)


def assert_peak(blind: FaceDetector, size: tuple[int, int], peak: int) -> None:
    assert peak <= blind.memory_required(*size) * 1.02  # which leaves out what is small
    assert blind.memory_required(*size) <= peak * 1.3


@pytest.mark.parametrize("size", [(250, 300), (200, 700)])  # one window, and a row of tiles
def test_memory_required_is_the_measured_peak(
    blind: FaceDetector, size: tuple[int, int], peak_bytes_of: PeakBytesOf, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(windows, "TILE", 512)
    monkeypatch.setattr(detection, "CLOSE_UP_BATCH", 1)  # else close-ups need more than images of a size to test
    image = torch.rand(3, *size)
    assert_peak(blind, size, peak_bytes_of(lambda: blind(image)))


def test_close_ups_need_more_than_a_small_image(
    blind: FaceDetector, peak_bytes_of: PeakBytesOf, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(detection, "CLOSE_UP_BATCH", 4)
    image = torch.rand(3, 200, 200)
    boxes = torch.from_numpy(np.tile([60.0, 60, 140, 140], (4, 1)))
    proposed = Proposals(boxes, torch.zeros(4, 5, 2), torch.ones(4))

    @torch.inference_mode()
    def look() -> None:
        blind._look_closely(Halvings(image), proposed, max(detection.CLOSE_UP_SIZES), 0.9)

    assert_peak(blind, (200, 200), peak_bytes_of(look))


@pytest.mark.parametrize("size", [(1200, 1600), (1201, 1599)])
def test_detail_is_told_in_little_memory_where_nothing_is_compiled(
    size: tuple[int, int], peak_bytes_of: PeakBytesOf, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As on every GPU; it decides on how much there a large photo takes."""
    monkeypatch.setattr(halving, "_kernels_for", lambda _: None)
    image = torch.rand(3, *size)
    for number in (0, 1, 2):
        copies = Halvings(image)
        copies.copy(number)
        peak = peak_bytes_of(lambda copies=copies, number=number: copies.detail(number))
        assert 0.7 * detail_bytes(*size, number) < peak < 1.05 * detail_bytes(*size, number)
    assert FaceDetector(nn.Identity(), "retinaface_mobile0.25").memory_required(3000, 4000) >= 48e6 + 108e6
