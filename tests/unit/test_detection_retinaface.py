"""Anchors, decoding and weight files against facexlib, and every wrong file by its own message."""

from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np
import pytest
import torch
from facexlib.detection.retinaface import generate_config
from facexlib.detection.retinaface_utils import PriorBox, batched_decode, batched_decode_landm
from gpen2048.detection import load_detector
from gpen2048.detectors.retinaface import (
    KINDS,
    anchor_boxes,
    build_network,
    decode_boxes,
    decode_landmarks,
    network_input,
    network_kind,
)
from gpen2048.errors import CheckpointError, WeightsNotFoundError
from safetensors.torch import save_file

MOBILE, RESNET = "retinaface_mobile0.25", "retinaface_resnet50"


def facexlib_priors(height: int, width: int, network: str) -> torch.Tensor:
    return PriorBox(generate_config(network), image_size=(height, width)).forward()


def sizes(height: int, width: int) -> torch.Tensor:
    return torch.tensor([width, height, width, height], dtype=torch.float32)


@pytest.mark.parametrize("height,width", [(1, 1), (8, 8), (33, 7), (100, 150), (256, 256), (427, 641)])
@pytest.mark.parametrize("network", [name for name, _ in KINDS.values()])
def test_anchors_are_those_of_facexlibs_loop(height: int, width: int, network: str) -> None:
    expected = facexlib_priors(height, width, network) * sizes(height, width)
    anchors = anchor_boxes(height, width)
    assert anchors.dtype == torch.float32
    torch.testing.assert_close(anchors, expected, rtol=1e-6, atol=1e-4)


def test_anchors_are_cached_within_a_bound() -> None:
    anchor_boxes.cache_clear()
    assert anchor_boxes(40, 50) is anchor_boxes(40, 50)
    for width in range(1, 40):
        anchor_boxes(8, width)
    assert anchor_boxes.cache_info().currsize <= 16


def test_decoding_is_that_of_facexlib() -> None:
    height, width = 90, 130
    priors = facexlib_priors(height, width, "mobile0.25")[None]
    random = torch.Generator().manual_seed(0)
    offsets = torch.randn(3, priors.shape[1], 4, generator=random) * 3
    points = torch.randn(3, priors.shape[1], 10, generator=random) * 3
    anchors = anchor_boxes(height, width)
    expected = batched_decode(offsets, priors, [0.1, 0.2]) * sizes(height, width)
    torch.testing.assert_close(decode_boxes(offsets, anchors), expected, rtol=1e-5, atol=1e-3)
    expected = batched_decode_landm(points, priors, [0.1, 0.2]) * sizes(height, width)[:2].repeat(5)
    torch.testing.assert_close(decode_landmarks(points, anchors).flatten(2), expected, rtol=1e-5, atol=1e-3)


def test_input_is_bgr_without_the_mean() -> None:
    pixel = torch.tensor([1.0, 0.5, 0.0])[:, None, None]
    expected = torch.tensor([0 - 104, 127.5 - 117, 255 - 123])[:, None, None]
    torch.testing.assert_close(network_input(pixel), expected)


def _give_statistics(network: torch.nn.Module) -> None:
    """Batch norms that do something."""
    for module in network.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            for values in (module.running_mean, module.running_var, module.weight.data, module.bias.data):
                assert values is not None
                values.uniform_(0.3, 0.9)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("prefix,suffix", [("", ".pth"), ("module.", ".pt"), ("", ".safetensors")])
def test_kind_and_weights_come_from_the_file(kind: str, prefix: str, suffix: str, tmp_path: Path) -> None:
    torch.manual_seed(0)
    saved = build_network(kind)
    _give_statistics(saved)
    state = {prefix + key: tensor for key, tensor in saved.state_dict().items()}
    path = tmp_path / f"anything{suffix}"
    save_file(state, path) if suffix == ".safetensors" else torch.save(state, path)
    with warnings.catch_warnings(record=True) as complaints:
        warnings.simplefilter("always")
        detector = load_detector(path)
    assert not [str(each.message) for each in complaints if "torchvision" in each.filename]
    assert detector.kind == kind
    assert not detector.network.training
    view = torch.rand(1, 3, 70, 90, generator=torch.Generator().manual_seed(1)) * 255 - 110
    with torch.no_grad():
        for one, other in zip(detector.network(view), saved(view)):
            torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-4)
    assert not [module for module in detector.network.modules() if isinstance(module, torch.nn.BatchNorm2d)]


def test_resnet_runs_on_a_small_image(tmp_path: Path) -> None:
    torch.manual_seed(0)
    network = build_network(RESNET)
    for key, parameter in network.named_parameters():  # random weights else see faces everywhere
        if key.startswith("ClassHead"):
            torch.nn.init.zeros_(parameter)
        if key.startswith("ClassHead") and key.endswith("bias"):
            parameter.data[0::2] = 9.0
    path = tmp_path / "detector.pth"
    torch.save(network.state_dict(), path)
    detector = load_detector(path)
    assert detector(torch.rand(3, 70, 50)) == []
    with torch.inference_mode():
        boxes, scores, landmarks = detector.network(torch.rand(1, 3, 70, 50))
    anchors = len(anchor_boxes(70, 50))
    assert (boxes.shape, scores.shape, landmarks.shape) == ((1, anchors, 4), (1, anchors, 2), (1, anchors, 10))
    torch.testing.assert_close(scores[..., 1], torch.full((1, anchors), 1 / (1 + np.exp(9))), rtol=1e-3, atol=0)


def test_without_a_path_it_names_the_files() -> None:
    with pytest.raises(
        WeightsNotFoundError, match=r"detection_Resnet50_Final\.pth.*detection_mobilenet0\.25_Final\.pth"
    ):
        load_detector()


def test_a_path_to_nothing_is_named(tmp_path: Path) -> None:
    with pytest.raises(WeightsNotFoundError, match=r"absent\.pth"):
        load_detector(tmp_path / "absent.pth")


class Hostile:
    def __reduce__(self) -> tuple[object, tuple[str]]:
        return print, ("this must not run",)


def test_files_that_are_no_detector(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    state = build_network(MOBILE).state_dict()
    whole = tmp_path / "whole.pth"
    torch.save(state, whole)
    (tmp_path / "folder.pth").mkdir()
    (tmp_path / "empty.pth").write_bytes(b"")
    (tmp_path / "truncated.pth").write_bytes(whole.read_bytes()[:200_000])
    torch.save({"weight": Hostile()}, tmp_path / "hostile.pth")
    torch.save({"generator.input.input": torch.zeros(1, 8, 4, 4)}, tmp_path / "gpen.pth")
    torch.save({"something": torch.zeros(1)}, tmp_path / "other.pth")
    expected = {"folder": "folder", "empty": "empty", "truncated": "truncated", "hostile": "run code"}
    expected |= {"gpen": "a GPEN network; wanted a RetinaFace", "other": "something.*wanted a RetinaFace"}
    for name, message in expected.items():
        with pytest.raises(CheckpointError, match=message) as caught:
            load_detector(tmp_path / f"{name}.pth")
        assert f"{name}.pth" in str(caught.value)
    assert "must not run" not in capsys.readouterr().out


def test_weights_that_are_not_sound(tmp_path: Path) -> None:
    path = tmp_path / "detector.pth"
    key = "BboxHead.0.conv1x1.weight"
    state = build_network(MOBILE).state_dict()
    assert network_kind(state, path) == MOBILE
    changes = {
        f"misses 1 keys, such as {key}": {k: v for k, v in state.items() if k != key},
        "has unknown 1 keys, such as extra": {**state, "extra": torch.zeros(1)},
        r"shape \(2, 2\); wanted \(8, 64, 1, 1\)": {**state, key: torch.zeros(2, 2)},
        "holds NaN or infinity": {**state, key: torch.full_like(state[key], np.nan)},
    }
    for message, changed in changes.items():
        torch.save(changed, path)
        with pytest.raises(CheckpointError, match=message):
            load_detector(path)
