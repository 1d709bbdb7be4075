"""Defaults of PyTorch that a host, or another extension in it, has changed for the whole process."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from gpen2048 import FaceRestorer, Restoration, RestoreOptions, choice
from gpen2048.detection import load_detector
from gpen2048.detectors.close_ups import CloseUp
from gpen2048.detectors.halving import Halvings
from gpen2048.detectors.retinaface import anchor_boxes, build_network
from gpen2048.faces import Face
from gpen2048.folded import styles
from gpen2048.inference import Network
from gpen2048.network import NetworkConfig
from gpen2048.parsing import load_parser
from gpen2048.weight_files.passthrough import passthrough_state_dict
from torch import Tensor

CONFIG = NetworkConfig(64, 1, 0.25)
CPU = torch.device("cpu")
DEFAULTS: list[Any] = [torch.float64, torch.float16, torch.bfloat16, torch.device("meta")]


@pytest.fixture(params=DEFAULTS, ids=str)
def changed(request: pytest.FixtureRequest) -> Iterator[type]:
    """Another default, before anything has been tried or kept. Gives how levels are done without it."""
    usual = type(choice.levels_for(CPU, torch.float32, NetworkConfig(64)))
    cached = [choice._walked, choice._compiled, choice._plain, anchor_boxes, styles._places]
    for function in cached:
        function.cache_clear()
    if isinstance(request.param, torch.device):
        torch.set_default_device(request.param)
    else:
        torch.set_default_dtype(request.param)
    yield usual
    torch.set_default_device(None)
    torch.set_default_dtype(torch.float32)
    for function in cached:
        function.cache_clear()


@pytest.fixture(scope="module")
def detector_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("defaults") / "detection_mobilenet0.25_Final.pth"
    torch.save(build_network("retinaface_mobile0.25").state_dict(), path)
    return path


@pytest.fixture(scope="module")
def parser_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from facexlib.parsing.parsenet import ParseNet

    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("defaults") / "parsing_parsenet.pth"
    torch.save(ParseNet(in_size=512, out_size=512, parsing_ch=19).state_dict(), path)
    return path


@pytest.fixture(scope="module")
def state() -> dict[str, Tensor]:
    return passthrough_state_dict(CONFIG)


@pytest.fixture(scope="module")
def images() -> Tensor:
    return torch.rand(2, 3, 64, 64, generator=torch.Generator().manual_seed(0)) * 2 - 1


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16])
def test_the_network(changed: type, state: dict[str, Tensor], images: Tensor, dtype: torch.dtype) -> None:
    network = Network.from_state_dict(CONFIG, state, dtype=dtype)
    result = network(images)
    assert result.dtype == torch.float32 and network.last_note is None
    assert (result - images).abs().max() < (1e-5 if dtype == torch.float32 else 0.03)
    assert type(choice.levels_for(CPU, torch.float32, NetworkConfig(64))) is changed


OPTIONS: list[dict[str, Any]] = [{"colour": "match", "texture": 1.0}, {"mask": "parse", "scale": 2}]


@pytest.fixture(scope="module")
def restored(
    state: dict[str, Tensor], parser_file: Path, group_photo: Tensor, group_faces: list[Face]
) -> Callable[[dict[str, Any]], Restoration]:
    def restore(options: dict[str, Any]) -> Restoration:
        restorer = FaceRestorer(Network.from_state_dict(CONFIG, state), parser=load_parser(parser_file))
        return restorer(group_photo, RestoreOptions(adaptive=0.5, **options), faces=group_faces[:2])

    return restore


@pytest.fixture(scope="module")
def wanted(restored: Callable[[dict[str, Any]], Restoration]) -> list[Restoration]:
    """What comes out under PyTorch's own defaults, which a module's fixtures are made under."""
    return [restored(options) for options in OPTIONS]


@pytest.mark.parametrize("number", range(len(OPTIONS)))
def test_a_picture(
    wanted: list[Restoration], changed: type, restored: Callable[[dict[str, Any]], Restoration], number: int
) -> None:
    result, usual = restored(OPTIONS[number]), wanted[number]
    assert all(face.restored for face in result.faces)
    for seen, expected in ((result.image, usual.image), (result.mask, usual.mask)):
        assert seen.dtype == torch.float32 and seen.device == CPU
        assert (seen - expected).abs().max() < 1e-5


def test_autocast_changes_nothing(detector_file: Path, parser_file: Path, group_photo: Tensor) -> None:
    """Of the networks around GPEN, too: in bfloat16 landmarks would wander by a pixel."""
    detector, parser = load_detector(detector_file), load_parser(parser_file)
    views = group_photo[None, :, :128, :160]
    usual = detector._predict(views)[0], parser.classes(views)
    with torch.autocast("cpu", torch.bfloat16):
        changed = detector._predict(views)[0], parser.classes(views)
    assert all(torch.equal(a, b) for a, b in zip(usual[0], changed[0])) and torch.equal(usual[1], changed[1])
    close_up = CloseUp(np.array([30.0, 20, 90, 80]), np.array([[45, 40], [70, 50], [55, 60], [42, 66], [62, 74]]), 96)
    shown = close_up.pixels(Halvings(group_photo))
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(close_up.pixels(Halvings(group_photo)), shown)


def test_the_detector(changed: type, detector_file: Path) -> None:
    detector = load_detector(detector_file)
    assert {weight.dtype for weight in detector.network.parameters()} == {torch.float32}
    image = torch.full((3, 90, 120), 0.5, dtype=torch.float32, device="cpu")
    assert detector(image, 0.9) == []
