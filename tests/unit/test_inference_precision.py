"""Half precision: how far it is from float32, and that it survives weights that float16 alone would not."""

from __future__ import annotations

import importlib.util
import math
from pathlib import Path

import pytest
import torch
from gpen2048 import inference
from gpen2048.errors import UnsoundResultError
from gpen2048.folded.folding import Scales
from gpen2048.folded.passes import TorchPasses
from gpen2048.inference import Network
from gpen2048.network import FullGenerator, NetworkConfig, StyledConv
from gpen2048.weight_files.passthrough import passthrough_state_dict
from torch import Tensor, nn

_path = Path(__file__).with_name("test_inference.py")
_spec = importlib.util.spec_from_file_location("inference_cases", _path)
assert _spec is not None and _spec.loader is not None
cases = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(cases)

CONFIG = cases.CONFIG
HALF = torch.finfo(torch.float16).max


def levels(seen: Tensor, wanted: Tensor) -> tuple[float, float]:
    """Largest and root-mean-square difference in levels of 255."""
    difference = (seen - wanted) / cases.LEVEL
    return float(difference.abs().max()), float(difference.square().mean().sqrt())


def explosive() -> cases.State:
    """Features of fifty thousand from the second encoder layer on, brought back to an image by the last layers."""
    state = cases.random_state()
    state["ecd1.0.1.weight"] *= 5e4
    for key in state:
        if "to_rgb" in key and key.endswith("conv.weight"):
            state[key] *= 2e-5
    return state


def largest_activation(state: cases.State, x: Tensor) -> float:
    """Of the readable network: what plain float16 would have to store."""
    network = FullGenerator(CONFIG)
    network.load_state_dict(state)
    seen: list[float] = []

    def watch(module: nn.Module, inputs: object, output: Tensor) -> None:
        seen.append(float(output.abs().max()))

    for module in network.modules():
        if isinstance(module, StyledConv) or type(module).__name__ == "FusedLeakyReLU":
            module.register_forward_hook(watch)
    with torch.inference_mode():
        network(x)
    return max(seen)


def test_float16_is_within_a_level() -> None:
    state, x = cases.random_state(), cases.random_images(2)
    largest, rms = levels(Network.from_state_dict(CONFIG, state, dtype=torch.float16)(x), cases.reference(state, x))
    assert largest <= 1 and rms <= 0.15


def test_scales_of_a_network_with_few_channels(monkeypatch: pytest.MonkeyPatch) -> None:
    """They come from a pass in float32, whose compiled loops take 16 channels at a time."""
    config = NetworkConfig(64, 1, 1 / 64)
    assert config.channels(64) < 16
    network = Network.from_state_dict(config, passthrough_state_dict(config))
    found = network._scales()
    monkeypatch.setattr(inference, "passes_for", lambda *_: TorchPasses())
    assert found == network._scales() != Scales.none(config)


def test_bfloat16_is_as_exact_as_its_eight_bits() -> None:
    state, x = cases.random_state(), cases.random_images(2)
    largest, rms = levels(Network.from_state_dict(CONFIG, state, dtype=torch.bfloat16)(x), cases.reference(state, x))
    assert largest <= 6 and rms <= 1.2


def test_float16_survives_activations_beyond_its_range() -> None:
    state, x = explosive(), cases.random_images()
    assert largest_activation(state, x) > 1.5 * HALF
    network = Network.from_state_dict(CONFIG, state, dtype=torch.float16)
    largest, rms = levels(network(x), cases.reference(state, x))
    assert network.last_note is None
    assert largest <= 1 and rms <= 0.15


def test_without_scales_the_result_is_made_again_in_bfloat16() -> None:
    state, x = explosive(), cases.random_images()
    network = Network(CONFIG, state, torch.float16, Scales.none(CONFIG))
    largest, _ = levels(network(x), cases.reference(state, x))
    assert network.last_note == "float16 gave no usable result; bfloat16 was used"
    assert largest <= 6


def test_beyond_bfloat16_it_is_float32(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gpen2048.inference.is_sound", lambda image: False)
    state, x = cases.random_state(), cases.random_images()
    network = Network.from_state_dict(CONFIG, state, dtype=torch.bfloat16)
    y = network(x)
    assert network.last_note == "bfloat16 gave no usable result; float32 was used"
    assert levels(y, cases.reference(state, x))[0] <= 6  # the weights stay rounded


def test_the_note_is_of_the_last_call_only() -> None:
    network = Network(CONFIG, explosive(), torch.float16, Scales.none(CONFIG))
    network(cases.random_images())
    assert network.last_note is not None
    network.load_state_dict(Network.from_state_dict(CONFIG, cases.random_state(), dtype=torch.float16).state_dict())
    network(cases.random_images())
    assert network.last_note is None


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
def test_not_a_number_comes_out_as_such(dtype: torch.dtype) -> None:
    """A broken input must not become a plausible face."""
    x = cases.random_images()
    x[0, 1, 30, 40] = float("nan")
    assert not torch.isfinite(Network.from_state_dict(CONFIG, cases.random_state(), dtype=dtype)(x)).all()


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
def test_no_numbers_from_a_sound_image_are_an_error(dtype: torch.dtype) -> None:
    """One exponent's bit in a file without checksums: finite, so that it loads, and black faces."""
    state = cases.random_state()
    state["ecd0.0.0.weight"][0] = 3e38
    network = Network.from_state_dict(CONFIG, state, dtype=dtype)
    with pytest.raises(UnsoundResultError, match="no numbers on cpu: its weights are damaged"):
        network(cases.random_images())


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
def test_a_network_that_returns_its_input(dtype: torch.dtype) -> None:
    """All weights zero but those that carry RGB through the last level: the right answer is known exactly."""
    state = {key: torch.zeros_like(value) for key, value in cases.random_state().items()}
    channels = CONFIG.channels(CONFIG.size)
    last = len(CONFIG.resolutions) - 2
    for key in state:
        if key.endswith("modulation.bias"):
            state[key] += 1
    for colour in range(3):
        state["ecd0.0.0.weight"][colour, colour] = math.sqrt(3)
        state["ecd0.0.1.bias"][colour] = 2  # keeps the leaky ReLU in its linear half
        state[f"generator.to_rgbs.{last}.conv.weight"][0, colour, channels + colour] = math.sqrt(channels)
    state[f"generator.convs.{2 * last + 1}.noise.weight"] += math.sqrt(0.5)
    state[f"generator.to_rgbs.{last}.bias"] -= 2
    x = cases.random_images()
    y = Network.from_state_dict(CONFIG, state, dtype=dtype)(x)
    assert float((y - x).abs().max()) <= 8 * torch.finfo(dtype).eps
