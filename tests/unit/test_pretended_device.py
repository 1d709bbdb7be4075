"""Everything a restoration does, on a device that is none: that nothing is left behind on the CPU, or mixed with it.

The same pixels must come out as on the CPU, where compiled loops do what PyTorch does here.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from gpen2048 import FaceRestorer, Restoration, RestoreOptions, choice, restore_sequence
from gpen2048.detection import FaceDetector
from gpen2048.detectors.retinaface import ANCHORS, build_network
from gpen2048.inference import Network
from gpen2048.network import NetworkConfig
from gpen2048.parsing import FaceParser
from gpen2048.samples import to_planes, to_samples
from gpen2048.weight_files.passthrough import passthrough_state_dict
from pretended_device import CPU, DEVICE, PretendedDevice
from torch import Tensor, nn

CONFIG = NetworkConfig(64, 1, 0.25)
LEVEL = 1 / 255
# Of the network's regression: from the middle, in tenths of an anchor's side.
LANDMARKS = [[-2.0, -1.5], [2.0, -1.5], [0.0, 0.5], [-1.5, 2.5], [1.5, 2.5]]


@pytest.fixture
def device() -> Iterator[PretendedDevice]:
    with PretendedDevice() as pretended:
        yield pretended
    choice._plain.cache_clear()
    choice._compiled.cache_clear()


class Blobs(nn.Module):
    """In RetinaFace's place: anchors are faces as far as they are redder than a ring around them."""

    def __init__(self) -> None:
        super().__init__()
        self.landmarks = nn.Parameter(torch.tensor(LANDMARKS).flatten(), requires_grad=False)

    def forward(self, views: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        red = views[:, 2:] / 255 + 0.48
        scores = torch.cat([self._scores(red, stride, sides) for stride, sides in ANCHORS], dim=1)
        boxes = scores.new_zeros((*scores.shape, 4))
        return boxes, torch.stack((1 - scores, scores), dim=-1), self.landmarks.repeat(*scores.shape, 1)

    def _scores(self, red: Tensor, stride: int, sides: tuple[int, int]) -> Tensor:
        padded = F.pad(red, (0, -red.shape[3] % stride, 0, -red.shape[2] % stride))
        found = []
        for side in sides:
            inside, around = (F.avg_pool2d(padded, s, stride, (s - stride) // 2)[:, 0] for s in (side, 2 * side))
            redder = inside - (4 * around - inside) / 3
            found.append((3 * redder - 1.5).clamp(0, 1))
        return torch.stack(found, dim=-1).flatten(1)


class Classes(nn.Module):
    """In ParseNet's place: a convolution that tells 19 classes by colour."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(19, 3, 1, 1, generator=torch.Generator().manual_seed(0)), False)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        return F.conv2d(x, self.weight), x


@pytest.fixture(scope="module")
def picture() -> Tensor:
    """Two red squares on a noisy ground, of 30 and 60 px, (3, 240, 320)."""
    image = torch.rand(3, 240, 320, generator=torch.Generator().manual_seed(0)) * 0.2
    image[0, 40:70, 50:80] = image[0, 120:180, 180:240] = 0.95
    return image


def network(place: torch.device, dtype: torch.dtype = torch.float32) -> Network:
    state = {key: value.to(place) for key, value in passthrough_state_dict(CONFIG).items()}
    return Network.from_state_dict(CONFIG, state, dtype=dtype)


def test_the_device_refuses_what_a_gpu_refuses(device: PretendedDevice) -> None:
    there, here = torch.ones(3, device=DEVICE), torch.ones(3)
    assert there.device == DEVICE and (there + 1).device == DEVICE and there.cpu().device == CPU
    for wrong in (lambda: there + here, lambda: torch.stack((here, there)), lambda: here.add_(there)):
        with pytest.raises(RuntimeError, match="on mps:0 and on the CPU"):
            wrong()
    for wrong in (there.numpy, lambda: np.asarray(there), there.double):
        with pytest.raises(TypeError, match="on mps:0"):
            wrong()
    copy = there.cpu()
    copy.zero_()
    assert there.sum().item() == 3 and torch.equal(there[torch.tensor([0])].cpu(), torch.ones(1))


DTYPES = [torch.float32, torch.bfloat16]
DTYPES += [] if torch.__version__.startswith("2.1.") else [torch.float16]  # of which the CPU's filter knew nothing


@pytest.mark.parametrize("low_memory", [False, True])
@pytest.mark.parametrize("dtype", DTYPES)
def test_the_network(device: PretendedDevice, dtype: torch.dtype, low_memory: bool) -> None:
    x = torch.rand(2, 3, 64, 64, generator=torch.Generator().manual_seed(0)) * 2 - 1
    there = network(DEVICE, dtype)
    there.low_memory = low_memory
    result = there(x.to(DEVICE))
    assert result.device == DEVICE and device.calls > 500
    assert (result.cpu() - x).abs().max() < (1e-5 if dtype == torch.float32 else 0.03)


def test_samples(device: PretendedDevice) -> None:
    for dtype in (np.uint8, np.uint16):
        samples = np.arange(2 * 5 * 3, dtype=dtype).reshape(2, 5, 3) * 7
        there = to_planes(samples, DEVICE)
        assert there.device == DEVICE
        np.testing.assert_array_equal(to_samples(there, 8 * samples.itemsize), samples)


def test_retinaface(device: PretendedDevice) -> None:
    torch.manual_seed(0)
    plain = build_network("retinaface_mobile0.25")
    views = torch.rand(2, 3, 70, 90) * 255 - 110
    with torch.inference_mode():
        wanted = plain(views)
        found = device.send(plain)(views.to(DEVICE))
    for one, other in zip(found, wanted):
        torch.testing.assert_close(one.cpu(), other, rtol=1e-5, atol=1e-5)


def test_the_detector(device: PretendedDevice, picture: Tensor) -> None:
    wanted = FaceDetector(Blobs(), "blobs")(picture, 0.6)
    found = FaceDetector(device.send(Blobs()), "blobs")(picture.to(DEVICE), 0.6)
    assert len(found) == len(wanted) == 2
    for one, other in zip(found, wanted):
        np.testing.assert_allclose(one.box, other.box, atol=0.01)
        np.testing.assert_allclose(one.landmarks, other.landmarks, atol=0.01)
        assert one.score == pytest.approx(other.score, abs=1e-4)


def restorer(place: torch.device, device: PretendedDevice) -> FaceRestorer:
    detector, parser = Blobs(), Classes()
    if place == DEVICE:
        device.send(detector)
        device.send(parser)
    return FaceRestorer(network(place), FaceDetector(detector, "blobs"), FaceParser(parser), batch=2)


def assert_same(there: Restoration, here: Restoration) -> None:
    assert there.image.device == there.mask.device == DEVICE and here.image.device == CPU
    assert all(crop.device == CPU for crops in there.crops for crop in crops)
    assert len(there.faces) == len(here.faces) == 2 and all(face.restored for face in there.faces)
    for one, other in ((there.image, here.image), (there.mask, here.mask)):
        assert (one.cpu() - other).abs().max() < LEVEL / 2


OPTIONS: dict[str, dict[str, Any]] = {
    "as it is": {},
    "enlarged": {"scale": 2},
    "as large as it must be": {"scale": "auto"},
    "in the photo's colours": {"colour": "original-chroma", "adaptive": 1.0},
    "in like colours": {"colour": "match", "texture": 1.0},
    "the parsed face": {"mask": "parse", "texture": 0.5, "colour": "match"},
    "the face alone": {"mask": "face"},
}


@pytest.mark.parametrize("options", OPTIONS.values(), ids=OPTIONS)
def test_a_picture(device: PretendedDevice, picture: Tensor, options: dict[str, Any]) -> None:
    chosen = RestoreOptions(threshold=0.6, max_turn=90, **options)
    region = torch.ones(24, 32)
    here = restorer(CPU, device)(picture, chosen, region=region)
    there = restorer(DEVICE, device)(picture.to(DEVICE), chosen, region=region)
    assert_same(there, here)


def test_a_sequence(device: PretendedDevice, picture: Tensor) -> None:
    frames = [picture.roll((n, 2 * n), (1, 2)) for n in range(4)]
    chosen = RestoreOptions(threshold=0.6, max_turn=90, mask="parse")
    here = restore_sequence(frames, restorer(CPU, device), chosen)
    there = restore_sequence([frame.to(DEVICE) for frame in frames], restorer(DEVICE, device), chosen)
    for one, other in zip(there, here):
        assert_same(one, other)
